import { imageVarlink } from '../contract/varlink/image.js';
import { machineVarlink } from '../contract/varlink/machine.js';
import { ownMachineVarlink } from '../contract/varlink/own-machine.js';
import type { Output } from '../wire/varlink/schema.js';
import type { Backend, BindOptions, CommandRequest, Copy, IdKind, OpenedTerminal, RunningCommand } from './backend.js';
import { defined, formatAssignments, readAddress, readAssignments } from './convert.js';
import { isMachinedError, MachinedError } from './error.js';
import type {
  Address, CallSettings, Image, KillWhom, Machine, MetadataSettings, NewMachine, Pool, RemovedImage, TerminalRequest,
} from './model.js';
import { onlyDescriptor } from './native.js';
import { VarlinkClient } from './varlink.js';
import { startOverVarlink } from './varlink-command.js';

export interface VarlinkAddresses {
  readonly machineSocket: string;
  /** systemd 257 has images on a socket of their own. */
  readonly imageSocket: string;
  /** What this project adds. */
  readonly ownSocket: string;
}

type MachineOutput = Output<(typeof machineVarlink)['methods']['List']>;
type ImageOutput = Output<(typeof imageVarlink)['methods']['List']>;

/** Parameters that releases before 262 do not have: to them, they are as wrong as a method that is not there. */
const laterParameters = new Set(['allocateUnit', 'controlAddress']);

/** The registry over Varlink: systemd 257 and newer, and this project. */
export class VarlinkBackend implements Backend {
  readonly #machines: VarlinkClient;
  readonly #images: VarlinkClient;
  readonly #own: VarlinkClient;

  constructor({ machineSocket, imageSocket, ownSocket }: VarlinkAddresses) {
    this.#machines = new VarlinkClient(machineSocket);
    this.#images = new VarlinkClient(imageSocket);
    this.#own = new VarlinkClient(ownSocket);
  }

  /** Rejects if nobody listens. */
  connect(): Promise<void> {
    return this.#machines.connect();
  }

  /** What this project adds. */
  get own(): VarlinkClient {
    return this.#own;
  }

  async list({ metadata, ...settings }: MetadataSettings): Promise<readonly Machine[]> {
    const outputs = await this.#machines.callForAll(machineVarlink, 'List', { ...asking(metadata), ...interactive(settings) }, settings);
    return outputs.map(readMachine);
  }

  async get(name: string, { metadata, ...settings }: MetadataSettings): Promise<Machine> {
    const input = { name, ...asking(metadata), ...interactive(settings) };
    return readMachine(await this.#machines.call(machineVarlink, 'List', input, settings));
  }

  async getByPid(pid: number, { metadata, ...settings }: MetadataSettings): Promise<Machine> {
    const input = { pid: { pid }, ...asking(metadata), ...interactive(settings) };
    return readMachine(await this.#machines.call(machineVarlink, 'List', input, settings));
  }

  async register(machine: NewMachine, settings: CallSettings): Promise<void> {
    const { networkInterfaces, vsockCid, allocateUnit = false, ...others } = machine;
    const input = defined({
      ...others,
      ifIndices: networkInterfaces,
      vSockCid: vsockCid,
      allocateUnit: allocateUnit ? true : undefined,
      ...interactive(settings),
    });
    try {
      await this.#machines.call(machineVarlink, 'Register', input, settings);
    } catch (error) {
      if (!isMachinedError(error, 'invalid-argument') || !laterParameters.has(error.parameter ?? '')) throw error;
      throw new MachinedError('not-offered', `This release cannot register a machine with ${error.parameter}`, error);
    }
  }

  async unregister(name: string, settings: CallSettings): Promise<void> {
    await this.#machines.call(machineVarlink, 'Unregister', { name, ...interactive(settings) }, settings);
  }

  async terminate(name: string, settings: CallSettings): Promise<void> {
    await this.#machines.call(machineVarlink, 'Terminate', { name, ...interactive(settings) }, settings);
  }

  async kill(name: string, signal: number, whom: KillWhom, settings: CallSettings): Promise<void> {
    await this.#machines.call(machineVarlink, 'Kill', { name, whom, signal, ...interactive(settings) }, settings);
  }

  async addresses(name: string, settings: CallSettings): Promise<readonly Address[]> {
    return (await this.#inspect(name, 'addresses', settings)) ?? [];
  }

  async osRelease(name: string, settings: CallSettings): Promise<Readonly<Record<string, string>>> {
    const found = await this.#inspect(name, 'osRelease', settings);
    if (found === undefined) throw new MachinedError('no-os-release', `${name} has no os-release file`);
    return found;
  }

  async uidShift(name: string, settings: CallSettings): Promise<number> {
    const found = await this.#inspect(name, 'uidShift', settings);
    if (found === undefined) throw new MachinedError('no-uid-shift', `The ids of ${name} are not mapped in one piece`);
    return found;
  }

  async openTerminal(name: string, request: TerminalRequest, settings: CallSettings): Promise<OpenedTerminal> {
    const program = request.mode === 'shell' ? request : undefined;
    const input = defined({
      name,
      mode: request.mode,
      user: program?.user,
      path: program?.program,
      args: program?.arguments,
      environment: program?.environment && formatAssignments(program.environment),
      ...interactive(settings),
    });
    const { output, fds } = await this.#machines.callForDescriptors(machineVarlink, 'Open', input, settings);
    return { fd: await onlyDescriptor(fds, output.ptyFileDescriptor), path: output.ptyPath };
  }

  exec(request: CommandRequest, settings: CallSettings): Promise<RunningCommand> {
    return this.#ownCall(() => startOverVarlink(this.#own, request, settings));
  }

  async openRoot(name: string, settings: CallSettings): Promise<number> {
    const input = { name, ...interactive(settings) };
    const { output, fds } = await this.#machines.callForDescriptors(machineVarlink, 'OpenRootDirectory', input, settings);
    return onlyDescriptor(fds, output.fileDescriptor);
  }

  async bind(name: string, source: string, destination: string, options: BindOptions, settings: CallSettings): Promise<void> {
    const input = { name, source, destination, ...options, ...interactive(settings) };
    await this.#machines.call(machineVarlink, 'BindMount', input, settings);
  }

  async unbind(name: string, destination: string, settings: CallSettings): Promise<void> {
    const input = { name, destination, ...interactive(settings) };
    await this.#ownCall(() => this.#own.call(ownMachineVarlink, 'Unbind', input, settings));
  }

  async copy({ direction, machine, source, destination, replace }: Copy, settings: CallSettings): Promise<void> {
    const input = { name: machine, source, destination, ...(replace && { replace }), ...interactive(settings) };
    await this.#machines.call(machineVarlink, direction === 'from' ? 'CopyFrom' : 'CopyTo', input, settings);
  }

  async mapFrom(name: string, kind: IdKind, id: number, settings: CallSettings): Promise<number> {
    const input = { name, ...(kind === 'user' ? { uid: id } : { gid: id }) };
    const { uid, gid } = await this.#machines.call(machineVarlink, 'MapFrom', input, settings);
    return present(kind === 'user' ? uid : gid, 'MapFrom');
  }

  async mapTo(kind: IdKind, id: number, settings: CallSettings): Promise<{ readonly machine: string; readonly id: number }> {
    const input = kind === 'user' ? { uid: id } : { gid: id };
    const { uid, gid, machineName } = await this.#machines.call(machineVarlink, 'MapTo', input, settings);
    return { machine: present(machineName, 'MapTo'), id: present(kind === 'user' ? uid : gid, 'MapTo') };
  }

  async listImages({ metadata, ...settings }: MetadataSettings): Promise<readonly Image[]> {
    const outputs = await this.#images.callForAll(imageVarlink, 'List', { ...asking(metadata), ...interactive(settings) }, settings);
    return outputs.map(readImage);
  }

  async getImage(name: string, { metadata, ...settings }: MetadataSettings): Promise<Image> {
    const input = { name, ...asking(metadata), ...interactive(settings) };
    return readImage(await this.#images.call(imageVarlink, 'List', input, settings));
  }

  async cloneImage(name: string, newName: string, readOnly: boolean, settings: CallSettings): Promise<void> {
    await this.#images.call(imageVarlink, 'Clone', { name, newName, readOnly, ...interactive(settings) }, settings);
  }

  async renameImage(name: string, newName: string, settings: CallSettings): Promise<void> {
    await this.#images.call(imageVarlink, 'Update', { name, newName, ...interactive(settings) }, settings);
  }

  async removeImage(name: string, settings: CallSettings): Promise<void> {
    await this.#images.call(imageVarlink, 'Remove', { name, ...interactive(settings) }, settings);
  }

  async setImageReadOnly(name: string, readOnly: boolean, settings: CallSettings): Promise<void> {
    await this.#images.call(imageVarlink, 'Update', { name, readOnly, ...interactive(settings) }, settings);
  }

  async setImageLimit(name: string, limit: bigint, settings: CallSettings): Promise<void> {
    await this.#images.call(imageVarlink, 'Update', { name, limit, ...interactive(settings) }, settings);
  }

  async pool(): Promise<Pool> {
    throw new MachinedError('not-offered', 'What images take together is told over D-Bus only');
  }

  async setPoolLimit(limit: bigint, settings: CallSettings): Promise<void> {
    await this.#images.call(imageVarlink, 'SetPoolLimit', { limit, ...interactive(settings) }, settings);
  }

  async cleanPool(mode: 'hidden' | 'all', settings: CallSettings): Promise<readonly RemovedImage[]> {
    const removed = await this.#images.callForAll(imageVarlink, 'CleanPool', { mode, ...interactive(settings) }, settings);
    return removed.map(({ name, usageExclusive }) => defined({ name, freed: usageExclusive }));
  }

  [Symbol.dispose](): void {
    for (const client of [this.#machines, this.#images, this.#own]) client.close();
  }

  /** One of the things that are found inside. Where it is not, the second call says why. */
  async #inspect<K extends 'addresses' | 'osRelease' | 'uidShift'>(name: string, what: K, settings: CallSettings): Promise<Machine[K]> {
    const found = (await this.get(name, { ...settings, metadata: true }))[what];
    if (found !== undefined) return found;
    const input = { name, acquireMetadata: 'yes' as const, ...interactive(settings) };
    return readMachine(await this.#machines.call(machineVarlink, 'List', input, settings))[what];
  }

  /** A daemon that has no such socket is another one. */
  async #ownCall<T>(call: () => Promise<T>): Promise<T> {
    try {
      return await call();
    } catch (error) {
      if (!isMachinedError(error, 'unreachable')) throw error;
      throw new MachinedError('not-offered', `Only machined can do this, and it does not run: ${error.message}`, { cause: error });
    }
  }
}

function asking(metadata: boolean | undefined): { readonly acquireMetadata?: 'graceful' } {
  return metadata === true ? { acquireMetadata: 'graceful' } : {};
}

function interactive(settings: CallSettings): { readonly allowInteractiveAuthentication?: true } {
  return settings.interactive === true ? { allowInteractiveAuthentication: true } : {};
}

function present<T>(value: T | undefined, method: string): T {
  if (value === undefined) throw new MachinedError('protocol', `${method} was answered without what was asked for`);
  return value;
}

/** Also for machines of io.machined.Machine, whose fields are the same and more. */
export function readMachine(output: MachineOutput): Machine {
  const { vSockCid, OSRelease, UIDShift, UID, addresses, leader, supervisor, ...same } = output;
  return defined({
    ...same,
    leader: leader && defined({ pid: leader.pid, pidfdId: leader.pidfdId }),
    supervisor: supervisor && defined({ pid: supervisor.pid, pidfdId: supervisor.pidfdId }),
    vsockCid: vSockCid,
    uid: UID,
    addresses: addresses?.map(({ family, address, ifindex }) => readAddress(family, address, ifindex)).filter((one) => one !== undefined),
    osRelease: OSRelease && readAssignments(OSRelease),
    uidShift: UIDShift,
  });
}

function readImage(output: ImageOutput): Image {
  const { name, path, type, readOnly, usage, usageExclusive, limit, limitExclusive, hostname, machineId } = output;
  return defined({
    name, path, type, readOnly, usage, usageExclusive, limit, limitExclusive, hostname, machineId,
    created: output.creationTimestamp,
    modified: output.modificationTimestamp,
    machineInfo: output.machineInfo && readAssignments(output.machineInfo),
    osRelease: output.OSRelease && readAssignments(output.OSRelease),
  });
}
