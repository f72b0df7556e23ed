// The text of a machine's state file, which libsystemd (sd-login(3), sd_machine_get_class) and others read, in the form
// that systemd-machined 262 gives it; and of the side file with what that form has no place for.
import { noVsockCid, type Machine, type MachineClass, type ProcessIdentity } from '../domain/machine.js';
import { isNullId, scopeName } from '../domain/registration.js';
import { sameProcess } from '../domain/registry.js';
import type { StoredMachine } from '../ports/store.js';
import { EnvFileError, formatAssignment, parseEnvFile } from '../wire/env-file.js';

/** A file that says less, or something else, than a state file must. */
export class DamagedFileError extends Error {
  override readonly name = 'DamagedFileError';
}

const header = '# This is private data. Do not parse.\n';

export function formatStateFile({ machine, job }: StoredMachine): string {
  return header + formatFields([
    ['NAME', machine.name],
    ['UID', machine.owner],
    ['SCOPE', machine.unit],
    ['SCOPE_JOB', job],
    ['SERVICE', machine.service],
    ['ROOT', machine.rootDirectory],
    ['ID', machine.id],
    ['LEADER', machine.leader.pid],
    ['LEADER_PIDFDID', machine.leader.pidfdId],
    ['SUPERVISOR', machine.supervisor?.pid],
    ['SUPERVISOR_PIDFDID', machine.supervisor?.pidfdId],
    ['CLASS', machine.class],
    ['REALTIME', machine.timestamp.realtime],
    ['MONOTONIC', machine.timestamp.monotonic],
    ['NETIF', machine.networkInterfaces.map((index) => ` ${index}`).join('')],
    ['VSOCK_CID', machine.vsockCid === 0 ? undefined : machine.vsockCid],
    ['SSH_ADDRESS', machine.sshAddress],
    ['SSH_PRIVATE_KEY_PATH', machine.sshPrivateKeyPath],
    ['CONTROL_ADDRESS', machine.controlAddress],
  ]);
}

/**
 * Reads what systemd-machined 252 to 262, or this project, wrote for the machine `name`. The machine has no subgroup
 * and runs: see parseSideFile. Throws DamagedFileError.
 */
export function parseStateFile(name: string, bytes: Uint8Array): StoredMachine {
  const fields = new Fields(bytes);
  if (fields.text('NAME') !== name) throw new DamagedFileError('it is not the state file of this machine');
  const unit = fields.text('SCOPE');
  const machine: Machine = {
    name,
    id: fields.id('ID'),
    class: fields.machineClass('CLASS'),
    service: fields.text('SERVICE'),
    leader: fields.process('LEADER') ?? missing('LEADER'),
    supervisor: fields.process('SUPERVISOR'),
    rootDirectory: fields.text('ROOT'),
    unit,
    subgroup: '',
    networkInterfaces: fields.interfaces('NETIF'),
    vsockCid: fields.number('VSOCK_CID', 0xffffffff) ?? missingVsockCid(fields),
    sshAddress: fields.text('SSH_ADDRESS'),
    sshPrivateKeyPath: fields.text('SSH_PRIVATE_KEY_PATH'),
    controlAddress: fields.text('CONTROL_ADDRESS'),
    owner: fields.number('UID', 0xfffffffe) ?? 0,
    timestamp: { realtime: fields.bigint('REALTIME') ?? 0n, monotonic: fields.bigint('MONOTONIC') ?? 0n },
    allocatedUnit: unit === scopeName(name),
    state: 'running',
  };
  return { machine, job: fields.text('SCOPE_JOB') };
}

/** systemd 262 leaves out 0 alone; 252 and 257, which tell nobody's UID either, leave out that there is none. */
function missingVsockCid(fields: Fields): number {
  return fields.text('UID') === '' ? noVsockCid : 0;
}

/** undefined if the state file says it all. */
export function formatSideFile(machine: Machine): string | undefined {
  if (machine.subgroup === '' && machine.state !== 'closing') return undefined;
  return header + formatFields([
    ['LEADER', machine.leader.pid],
    ['LEADER_PIDFDID', machine.leader.pidfdId],
    ['SUBGROUP', machine.subgroup],
    ['STATE', machine.state === 'closing' ? 'closing' : ''],
  ]);
}

/**
 * Adds what the side file says to a machine. A side file with another leader is one of an earlier machine of that name,
 * left behind while another daemon was at work: it says nothing. Throws DamagedFileError.
 */
export function applySideFile(machine: Machine, bytes: Uint8Array): Machine {
  const fields = new Fields(bytes);
  const leader = fields.process('LEADER') ?? missing('LEADER');
  if (!sameProcess(leader, machine.leader)) return machine;
  const state = fields.text('STATE') === 'closing' ? 'closing' : machine.state;
  return { ...machine, subgroup: fields.text('SUBGROUP'), state };
}

/** Fields without a value are left out. */
function formatFields(fields: readonly (readonly [string, string | number | bigint | undefined])[]): string {
  let text = '';
  for (const [key, value] of fields) {
    if (value !== undefined && value !== '') text += formatAssignment(key, String(value));
  }
  return text;
}

function missing(key: string): never {
  throw new DamagedFileError(`it has no ${key}`);
}

const decimal = /^[0-9]{1,20}$/;
const largestNumber = 0xffff_ffff_ffff_ffffn;
const largestPid = 0x7fffffff;
const largestInterface = 0x7fffffff;

/** Access to the fields by type; a field that is there must be of its type. */
class Fields {
  readonly #values: ReadonlyMap<string, string>;

  constructor(bytes: Uint8Array) {
    try {
      this.#values = parseEnvFile(bytes);
    } catch (error) {
      if (error instanceof EnvFileError) throw new DamagedFileError(error.message);
      throw error;
    }
  }

  /** '' if it is not there. */
  text(key: string): string {
    return this.#values.get(key) ?? '';
  }

  /** Of 64 bits. */
  bigint(key: string): bigint | undefined {
    const text = this.text(key);
    if (text === '') return undefined;
    const value = decimal.test(text) ? BigInt(text) : this.#refuse(key);
    return value > largestNumber ? this.#refuse(key) : value;
  }

  /** 0 … `largest` */
  number(key: string, largest: number): number | undefined {
    const text = this.text(key);
    if (text === '') return undefined;
    const value = decimal.test(text) ? Number(text) : this.#refuse(key);
    return value > largest ? this.#refuse(key) : value;
  }

  process(key: string): ProcessIdentity | undefined {
    const pid = this.number(key, largestPid);
    if (pid === 0) this.#refuse(key);
    return pid === undefined ? undefined : { pid, pidfdId: this.bigint(`${key}_PIDFDID`) };
  }

  id(key: string): string | undefined {
    const id = this.text(key).toLowerCase();
    if (isNullId(id)) return undefined;
    return /^[0-9a-f]{32}$/.test(id) ? id : this.#refuse(key);
  }

  machineClass(key: string): MachineClass {
    const name = this.text(key);
    return name === 'container' || name === 'vm' ? name : this.#refuse(key);
  }

  interfaces(key: string): readonly number[] {
    if (this.text(key) === '') return [];
    const words = this.text(key).split(/[ \t]+/).filter((word) => word !== '');
    return words.map((word) => {
      const index = /^[0-9]{1,10}$/.test(word) ? Number(word) : 0;
      return index >= 1 && index <= largestInterface ? index : this.#refuse(key);
    });
  }

  #refuse(key: string): never {
    throw new DamagedFileError(`its ${key} makes no sense: ${JSON.stringify(this.text(key).slice(0, 100))}`);
  }
}
