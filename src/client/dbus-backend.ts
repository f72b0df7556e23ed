import { imageInterface } from '../contract/dbus/image.js';
import { machineInterface } from '../contract/dbus/machine.js';
import { managerInterface } from '../contract/dbus/manager.js';
import { ownManagerInterface } from '../contract/dbus/own-manager.js';
import { noVsockCid } from '../domain/machine.js';
import { escapeLabel, unescapeLabel } from '../wire/dbus/object-path.js';
import { variant, type Variant } from '../wire/dbus/value.js';
import {
  noLimit, type Backend, type BindOptions, type CommandRequest, type Copy, type IdKind, type OpenedTerminal, type RunningCommand,
} from './backend.js';
import { BusClient, type PropertiesOf } from './bus.js';
import { startOverBus } from './dbus-command.js';
import { defined, formatAssignments, readAddress } from './convert.js';
import { isMachinedError, MachinedError } from './error.js';
import { loadNative } from './native.js';
import type {
  Address, CallSettings, Image, KillWhom, Machine, MachineClass, MachineState, MetadataSettings, NewMachine, Pool, Process,
  RemovedImage, TerminalRequest,
} from './model.js';

/** Names and paths. Source: org.freedesktop.machine1(5). */
export const busName = 'org.freedesktop.machine1';
export const managerPath = '/org/freedesktop/machine1';
const machinesPath = `${managerPath}/machine`;
const imagesPath = `${managerPath}/image`;
const ownPath = '/io/machined';

/** MACHINE_COPY_REPLACE of the WithFlags methods: an existing destination is replaced. */
const replaceFlag = 1n;
/** Objects that are asked at a time. */
const batchSize = 100;

/** The registry over D-Bus: every release of systemd-machined, and this project. */
export class DBusBackend implements Backend {
  readonly #address: string;
  readonly #bus: BusClient;

  /** `address` as in $DBUS_SYSTEM_BUS_ADDRESS. */
  constructor(address: string) {
    this.#address = address;
    this.#bus = new BusClient(address, busName);
  }

  /** Rejects if there is no bus. */
  connect(): Promise<void> {
    return this.#bus.connect();
  }

  /** For signals. */
  get bus(): BusClient {
    return this.#bus;
  }

  async list(settings: MetadataSettings): Promise<readonly Machine[]> {
    const { machines } = await this.#manage('ListMachines', {}, settings);
    return inBatches(machines, ([name, , , path]) => this.#describe(name, path, settings), 'no-such-machine');
  }

  async get(name: string, settings: MetadataSettings): Promise<Machine> {
    const { machine } = await this.#manage('GetMachine', { name }, settings);
    return this.#describe(name, machine, settings);
  }

  async getByPid(pid: number, settings: MetadataSettings): Promise<Machine> {
    const { machine } = await this.#manage('GetMachineByPID', { pid }, settings);
    return this.#describe(nameInPath(machine), machine, settings);
  }

  async register(machine: NewMachine & { readonly leader: number }, settings: CallSettings): Promise<void> {
    if (machine.controlAddress !== undefined) throw new MachinedError('not-offered', 'A control address can be registered over Varlink only');
    const isExtended = machine.vsockCid !== undefined || machine.sshAddress !== undefined || machine.sshPrivateKeyPath !== undefined;
    if (isExtended) return this.#registerExtended(machine, settings);
    const { name, id = '', service = '', leader, rootDirectory = '', networkInterfaces = [] } = machine;
    const input = {
      name, service, leader, class: machine.class, id: Buffer.from(id, 'hex'), root_directory: rootDirectory, ifindices: networkInterfaces,
    };
    if (machine.allocateUnit === true) await this.#manage('CreateMachineWithNetwork', { ...input, scope_properties: [] }, settings);
    else await this.#manage('RegisterMachineWithNetwork', input, settings);
  }

  async unregister(name: string, settings: CallSettings): Promise<void> {
    await this.#manage('UnregisterMachine', { name }, settings);
  }

  async terminate(name: string, settings: CallSettings): Promise<void> {
    await this.#manage('TerminateMachine', { id: name }, settings);
  }

  async kill(name: string, signal: number, whom: KillWhom, settings: CallSettings): Promise<void> {
    await this.#manage('KillMachine', { name, whom, signal }, settings);
  }

  async addresses(name: string, settings: CallSettings): Promise<readonly Address[]> {
    const { addresses } = await this.#manage('GetMachineAddresses', { name }, settings);
    return addresses.map(([family, bytes]) => readAddress(family, bytes)).filter((address) => address !== undefined);
  }

  async osRelease(name: string, settings: CallSettings): Promise<Readonly<Record<string, string>>> {
    const { fields } = await this.#manage('GetMachineOSRelease', { name }, settings);
    return Object.fromEntries(fields);
  }

  async uidShift(name: string, settings: CallSettings): Promise<number> {
    return (await this.#manage('GetMachineUIDShift', { name }, settings)).shift;
  }

  async openTerminal(name: string, request: TerminalRequest, settings: CallSettings): Promise<OpenedTerminal> {
    const { pty, pty_path: path } = await this.#open(name, request, settings);
    return { fd: pty, path };
  }

  exec(request: CommandRequest, settings: CallSettings): Promise<RunningCommand> {
    return ownCall(() => startOverBus(new BusClient(this.#address, busName), ownPath, request, settings));
  }

  async openRoot(name: string, settings: CallSettings): Promise<number> {
    const { output } = await this.#bus.callForDescriptors(managerInterface, managerPath, 'OpenMachineRootDirectory', { name }, settings);
    return output.fd;
  }

  async bind(name: string, source: string, destination: string, { readOnly, mkdir }: BindOptions, settings: CallSettings): Promise<void> {
    await this.#manage('BindMountMachine', { name, source, destination, read_only: readOnly, mkdir }, settings);
  }

  async unbind(name: string, destination: string, settings: CallSettings): Promise<void> {
    await ownCall(() => this.#bus.call(ownManagerInterface, ownPath, 'UnbindMachine', { name, destination }, settings));
  }

  async copy({ direction, machine: name, source, destination, replace }: Copy, settings: CallSettings): Promise<void> {
    const input = { name, source, destination };
    if (!replace) await this.#manage(direction === 'from' ? 'CopyFromMachine' : 'CopyToMachine', input, settings);
    else {
      const method = direction === 'from' ? 'CopyFromMachineWithFlags' : 'CopyToMachineWithFlags';
      await this.#manage(method, { ...input, flags: replaceFlag }, settings);
    }
  }

  async mapFrom(name: string, kind: IdKind, id: number, settings: CallSettings): Promise<number> {
    if (kind === 'user') return (await this.#manage('MapFromMachineUser', { name, uid_inner: id }, settings)).uid_outer;
    return (await this.#manage('MapFromMachineGroup', { name, gid_inner: id }, settings)).gid_outer;
  }

  async mapTo(kind: IdKind, id: number, settings: CallSettings): Promise<{ readonly machine: string; readonly id: number }> {
    if (kind === 'user') {
      const { machine_name: machine, uid_inner: inner } = await this.#manage('MapToMachineUser', { uid_outer: id }, settings);
      return { machine, id: inner };
    }
    const { machine_name: machine, gid_inner: inner } = await this.#manage('MapToMachineGroup', { gid_outer: id }, settings);
    return { machine, id: inner };
  }

  async listImages(settings: MetadataSettings): Promise<readonly Image[]> {
    const { images } = await this.#manage('ListImages', {}, settings);
    const paths = images.map((image) => [image[0], image[6]] as const);
    return inBatches(paths, ([name, path]) => this.#describeImage(name, path, settings), 'no-such-image');
  }

  async getImage(name: string, settings: MetadataSettings): Promise<Image> {
    const { image } = await this.#manage('GetImage', { name }, settings);
    return this.#describeImage(name, image, settings);
  }

  async cloneImage(name: string, newName: string, readOnly: boolean, settings: CallSettings): Promise<void> {
    await this.#manage('CloneImage', { name, new_name: newName, read_only: readOnly }, settings);
  }

  async renameImage(name: string, newName: string, settings: CallSettings): Promise<void> {
    await this.#manage('RenameImage', { name, new_name: newName }, settings);
  }

  async removeImage(name: string, settings: CallSettings): Promise<void> {
    await this.#manage('RemoveImage', { name }, settings);
  }

  async setImageReadOnly(name: string, readOnly: boolean, settings: CallSettings): Promise<void> {
    await this.#manage('MarkImageReadOnly', { name, read_only: readOnly }, settings);
  }

  async setImageLimit(name: string, size: bigint, settings: CallSettings): Promise<void> {
    await this.#manage('SetImageLimit', { name, size }, settings);
  }

  async pool(settings: CallSettings): Promise<Pool> {
    const { PoolPath = '', PoolUsage, PoolLimit } = await this.#bus.properties(managerInterface, managerPath, settings);
    return defined({ path: PoolPath, usage: readSize(PoolUsage), limit: readSize(PoolLimit) });
  }

  async setPoolLimit(size: bigint, settings: CallSettings): Promise<void> {
    await this.#manage('SetPoolLimit', { size }, settings);
  }

  async cleanPool(mode: 'hidden' | 'all', settings: CallSettings): Promise<readonly RemovedImage[]> {
    const { images } = await this.#manage('CleanPool', { mode }, settings);
    return images.map(([name, freed]) => defined({ name, freed: readSize(freed) }));
  }

  [Symbol.dispose](): void {
    this.#bus.close();
  }

  #manage: BoundManager = (method, input, settings) => this.#bus.call(managerInterface, managerPath, method, input, settings);

  /** The leader goes by a descriptor here: what else would tell it from its successor is not known to this side. */
  async #registerExtended(machine: NewMachine & { readonly leader: number }, settings: CallSettings): Promise<void> {
    const { name, id, allocateUnit = false } = machine;
    const native = await loadNative();
    const leader = native.openProcess(machine.leader);
    const properties: [string, Variant][] = [['Class', variant('s', machine.class)], ['LeaderPIDFD', variant('h', leader)]];
    const add = (property: string, type: string, value: unknown): void => {
      if (value !== undefined) properties.push([property, { signature: type, value }]);
    };
    add('Id', 'ay', id === undefined ? undefined : Buffer.from(id, 'hex'));
    add('Service', 's', machine.service);
    add('RootDirectory', 's', machine.rootDirectory);
    add('NetworkInterfaces', 'ai', machine.networkInterfaces);
    add('VSockCID', 'u', machine.vsockCid);
    add('SSHAddress', 's', machine.sshAddress);
    add('SSHPrivateKeyPath', 's', machine.sshPrivateKeyPath);
    const call = this.#bus;
    try {
      if (allocateUnit) {
        await call.callForDescriptors(managerInterface, managerPath, 'CreateMachineEx', { name, properties, scope_properties: [] }, settings);
      } else {
        await call.callForDescriptors(managerInterface, managerPath, 'RegisterMachineEx', { name, properties }, settings);
      }
    } finally {
      native.close(leader);
    }
  }

  async #open(name: string, request: TerminalRequest, settings: CallSettings): Promise<{ readonly pty: number; readonly pty_path: string }> {
    const open = this.#bus;
    if (request.mode === 'tty') return (await open.callForDescriptors(managerInterface, managerPath, 'OpenMachinePTY', { name }, settings)).output;
    if (request.mode === 'login') return (await open.callForDescriptors(managerInterface, managerPath, 'OpenMachineLogin', { name }, settings)).output;
    const { user = '', program: path = '', arguments: args = [], environment = {} } = request;
    const input = { name, user, path, args, environment: formatAssignments(environment) };
    return (await open.callForDescriptors(managerInterface, managerPath, 'OpenMachineShell', input, settings)).output;
  }

  async #describe(name: string, path: string, { metadata, ...settings }: MetadataSettings): Promise<Machine> {
    const machine = readMachine(name, await this.#propertiesOf(machineInterface, path, 'no-such-machine', settings));
    if (metadata !== true) return machine;
    const [addresses, osRelease, uidShift] = await Promise.all([
      ifHad(this.addresses(name, settings)), ifHad(this.osRelease(name, settings)), ifHad(this.uidShift(name, settings)),
    ]);
    return { ...machine, ...defined({ addresses, osRelease, uidShift }) };
  }

  async #describeImage(name: string, path: string, { metadata, ...settings }: MetadataSettings): Promise<Image> {
    const image = readImage(name, await this.#propertiesOf(imageInterface, path, 'no-such-image', settings));
    if (metadata !== true) return image;
    const [hostname, id, machineInfo, osRelease] = await Promise.all([
      ifHad(this.#manage('GetImageHostname', { name }, settings)),
      ifHad(this.#manage('GetImageMachineID', { name }, settings)),
      ifHad(this.#manage('GetImageMachineInfo', { name }, settings)),
      ifHad(this.#manage('GetImageOSRelease', { name }, settings)),
    ]);
    const inside = {
      hostname: unlessEmpty(hostname?.hostname),
      machineId: id && readId(id.id),
      machineInfo: machineInfo && Object.fromEntries(machineInfo.machine_info),
      osRelease: osRelease && Object.fromEntries(osRelease.os_release),
    };
    return { ...image, ...defined(inside) };
  }

  /** What has gone since it was listed or found is not there. */
  async #propertiesOf<D extends typeof machineInterface | typeof imageInterface>(
    declaration: D,
    path: string,
    goneCode: 'no-such-machine' | 'no-such-image',
    settings: CallSettings,
  ): Promise<PropertiesOf<D>> {
    try {
      return await this.#bus.properties(declaration, path, settings);
    } catch (error) {
      if (isMachinedError(error, 'not-offered')) throw new MachinedError(goneCode, error.message, error);
      throw error;
    }
  }
}

type Manager = typeof managerInterface;
type ManagerCall<M extends keyof Manager['methods']> = typeof BusClient.prototype.call<Manager, M>;
type BoundManager = <M extends keyof Manager['methods']>(
  method: M,
  input: Parameters<ManagerCall<M>>[3],
  settings: CallSettings,
) => ReturnType<ManagerCall<M>>;

export function machinePath(name: string): string {
  return `${machinesPath}/${escapeLabel(name)}`;
}

export function imagePath(name: string): string {
  return `${imagesPath}/${escapeLabel(name)}`;
}

function nameInPath(path: string): string {
  const name = unescapeLabel(path.slice(path.lastIndexOf('/') + 1));
  if (name === undefined) throw new MachinedError('protocol', `${path} is not the path of a machine`);
  return name;
}

/** A call to what this project adds. */
async function ownCall<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    if (!isMachinedError(error, 'not-offered')) throw error;
    throw new MachinedError('not-offered', `Only machined can do this, and it does not run: ${error.message}`, error);
  }
}

/** What becomes of each item, but for those that have gone in the meantime. */
async function inBatches<T, R>(items: readonly T[], each: (item: T) => Promise<R>, goneCode: 'no-such-machine' | 'no-such-image'): Promise<R[]> {
  const results: R[] = [];
  const unlessGone = async (item: T): Promise<R | undefined> => {
    try {
      return await each(item);
    } catch (error) {
      if (isMachinedError(error, goneCode)) return undefined;
      throw error;
    }
  };
  for (let start = 0; start < items.length; start += batchSize) {
    const batch = await Promise.all(items.slice(start, start + batchSize).map(unlessGone));
    for (const result of batch) if (result !== undefined) results.push(result);
  }
  return results;
}

/** undefined where the registry says that it cannot be had; a broken connection stays an error. */
async function ifHad<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    if (!isMachinedError(error) || error.code === 'disconnected' || error.code === 'unreachable') throw error;
    return undefined;
  }
}

function readMachine(name: string, properties: PropertiesOf<typeof machineInterface>): Machine {
  const { Timestamp: realtime, TimestampMonotonic: monotonic, VSockCID, NetworkInterfaces } = properties;
  return defined({
    name,
    class: properties.Class as MachineClass,
    id: properties.Id && readId(properties.Id),
    service: unlessEmpty(properties.Service),
    leader: readProcess(properties.Leader, properties.LeaderPIDFDId),
    supervisor: readProcess(properties.Supervisor, properties.SupervisorPIDFDId),
    rootDirectory: unlessEmpty(properties.RootDirectory),
    unit: unlessEmpty(properties.Unit),
    subgroup: unlessEmpty(properties.Subgroup),
    timestamp: readTimestamp(realtime, monotonic),
    networkInterfaces: NetworkInterfaces,
    vsockCid: VSockCID === noVsockCid ? undefined : VSockCID,
    sshAddress: unlessEmpty(properties.SSHAddress),
    sshPrivateKeyPath: unlessEmpty(properties.SSHPrivateKeyPath),
    uid: properties.UID,
    state: properties.State as MachineState | undefined,
  });
}

function readImage(name: string, properties: PropertiesOf<typeof imageInterface>): Image {
  return defined({
    name,
    type: properties.Type ?? '',
    readOnly: properties.ReadOnly ?? false,
    path: unlessEmpty(properties.Path),
    created: readTime(properties.CreationTimestamp),
    modified: readTime(properties.ModificationTimestamp),
    usage: readSize(properties.Usage),
    usageExclusive: readSize(properties.UsageExclusive),
    limit: readSize(properties.Limit),
    limitExclusive: readSize(properties.LimitExclusive),
  });
}

function readTimestamp(realtime: bigint | undefined, monotonic: bigint | undefined): Machine['timestamp'] {
  const timestamp = defined({ realtime: readTime(realtime), monotonic: readTime(monotonic) });
  return Object.keys(timestamp).length === 0 ? undefined : timestamp;
}

/** 0 and the greatest number stand for a time that is not known. */
function readTime(microseconds: bigint | undefined): number | undefined {
  return microseconds === undefined || microseconds === 0n || microseconds === noLimit ? undefined : Number(microseconds);
}

function readSize(bytes: bigint | undefined): number | undefined {
  return bytes === undefined || bytes === noLimit ? undefined : Number(bytes);
}

function readProcess(pid: number | undefined, pidfdId: bigint | undefined): Process | undefined {
  if (pid === undefined || pid === 0) return undefined;
  return pidfdId === undefined || pidfdId === 0n ? { pid } : { pid, pidfdId };
}

function readId(bytes: Uint8Array): string | undefined {
  return bytes.some((byte) => byte !== 0) ? Buffer.from(bytes).toString('hex') : undefined;
}

function unlessEmpty(text: string | undefined): string | undefined {
  return text === '' ? undefined : text;
}
