/**
 * machined/client/state: what sd-login(3) tells of machines, from the files that the daemon keeps. It works without
 * asking the daemon, and needs no authorization; what is read may be a moment old.
 */
import { readdir, readFile, readlink } from 'node:fs/promises';
import path from 'node:path';
import { isMachineName } from '../domain/name.js';
import { noVsockCid } from '../domain/machine.js';
import { DamagedFileError, parseStateFile } from '../host/state-file.js';
import { placeOfCgroup } from '../host/units/cgroup-path.js';
import { defined } from './convert.js';
import { MachinedError } from './error.js';
import type { Machine } from './model.js';

/** Where the files of the host's machines are. */
export const stateDirectory = '/run/systemd/machines';

/** Bytes; no daemon writes as much. */
const largestFile = 64 * 1024;

/** The names of all machines, without the host's own: sd_get_machine_names(3). None, where no daemon has ever run. */
export async function machineNames(directory = stateDirectory): Promise<readonly string[]> {
  const entries = await unlessMissing(readdir(directory));
  return (entries ?? []).filter(isMachineName).sort();
}

/**
 * What the file of a machine says; undefined if there is no such machine. Rejects with MachinedError `protocol` for a file
 * that is damaged, `invalid-argument` for what is no machine's name.
 */
export async function machineState(name: string, directory = stateDirectory): Promise<Machine | undefined> {
  if (!isMachineName(name)) throw new MachinedError('invalid-argument', `${JSON.stringify(name)} is not the name of a machine`);
  const bytes = await unlessMissing(readFile(path.join(directory, name)));
  return bytes === undefined ? undefined : readState(name, bytes);
}

/**
 * The machine that a process runs in: sd_pid_get_machine_name(3). undefined if it runs in none, or has ended; and, as files
 * name machines by their units alone, for those that are less than a unit: containers of systemd-nspawn 262. A daemon
 * knows better: `getByPid`.
 */
export async function machineOfProcess(pid: number, directory = stateDirectory): Promise<string | undefined> {
  const text = await unlessMissing(readFile(`/proc/${pid}/cgroup`, 'utf8'));
  const cgroup = text?.split('\n').find((line) => line.startsWith('0::'))?.slice(3);
  const unit = cgroup === undefined ? undefined : placeOfCgroup(cgroup)?.unit;
  if (unit === undefined) return undefined;
  const target = await unlessMissing(readlink(path.join(directory, `unit:${unit}`)));
  return target !== undefined && isMachineName(target) ? target : undefined;
}

function readState(name: string, bytes: Buffer): Machine {
  try {
    if (bytes.length > largestFile) throw new DamagedFileError('it is too long');
    const { machine } = parseStateFile(name, bytes);
    return defined({
      name,
      class: machine.class,
      id: machine.id,
      service: machine.service || undefined,
      leader: defined(machine.leader),
      supervisor: machine.supervisor && defined(machine.supervisor),
      rootDirectory: machine.rootDirectory || undefined,
      unit: machine.unit || undefined,
      timestamp: { realtime: Number(machine.timestamp.realtime), monotonic: Number(machine.timestamp.monotonic) },
      networkInterfaces: machine.networkInterfaces,
      vsockCid: machine.vsockCid === noVsockCid ? undefined : machine.vsockCid,
      sshAddress: machine.sshAddress || undefined,
      sshPrivateKeyPath: machine.sshPrivateKeyPath || undefined,
      controlAddress: machine.controlAddress || undefined,
      uid: machine.owner,
    });
  } catch (error) {
    if (!(error instanceof DamagedFileError)) throw error;
    throw new MachinedError('protocol', `The state file of ${name} cannot be read: ${error.message}`, { cause: error });
  }
}

async function unlessMissing<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    // ESRCH: the process has ended while its file was read
    if (code === 'ENOENT' || code === 'ESRCH' || code === 'ENOTDIR') return undefined;
    throw error;
  }
}
