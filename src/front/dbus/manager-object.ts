import type { Handlers, Readers } from '../../contract/dbus/declare.js';
import { managerInterface } from '../../contract/dbus/manager.js';
import {
  checkMachineClass,
  checkMachineId,
  checkMachineName,
  checkNetworkInterfaces,
  checkRootDirectory,
} from '../../domain/registration.js';
import { systemFailure } from '../../domain/failure.js';
import { checkImageName, type Image } from '../../domain/image.js';
import type { Machine, MachineClass } from '../../domain/machine.js';
import { noVsockCid } from '../../domain/machine.js';
import type { Pool } from '../../ports/pool.js';
import type { Processes } from '../../ports/processes.js';
import type { MachineCommands } from '../../service/commands.js';
import type { OperationDesk } from '../../service/operation-desk.js';
import type { RegisterRequest } from '../../service/machines.js';
import type { ShellInput } from '../../service/terminals.js';
import type { IdKind, Users } from '../../service/users.js';
import { markUnchanging } from '../../wire/dbus/marshal.js';
import type { Variant } from '../../wire/dbus/value.js';
import { openLeader, readExtendedProperties } from './extended-registration.js';
import { imageMethods, metadataMethods, noSize, poolMethods } from './image-methods.js';
import type { ImageServices } from './image-object.js';
import type { IncomingCall } from './incoming.js';
import { addressRows, sshInfo, terminalReply, type MachineServices } from './machine-object.js';
import { fileMethods } from './machine-files.js';
import { bindInterface, type ObjectKind } from './objects.js';
import { imagePath, machinePath } from './paths.js';

export interface ManagerServices extends MachineServices, ImageServices {
  readonly commands: MachineCommands;
  readonly users: Users;
  readonly pool: Pool;
  readonly processes: Processes;
  readonly operations: OperationDesk;
}

/** The arguments that the plain ways to register have in common. */
interface PlainArguments {
  readonly name: string;
  readonly id: Uint8Array;
  readonly service: string;
  readonly class: string;
  readonly leader: number;
  readonly root_directory: string;
}

type ScopeProperties = readonly (readonly [string, Variant])[];

export function managerObject(services: ManagerServices): ObjectKind<ManagerServices> {
  const readers: Readers<typeof managerInterface, ManagerServices> = {
    PoolPath: ({ pool }) => pool.path,
    PoolUsage: ({ pool }) => pool.usage() ?? noSize,
    PoolLimit: ({ pool }) => pool.limit() ?? noSize,
  };
  const interfaces = [bindInterface(managerInterface, managerHandlers(services), readers)];
  return { interfaces, find: () => services };
}

function managerHandlers(services: ManagerServices): Handlers<typeof managerInterface, IncomingCall, ManagerServices> {
  return {
    ...lookups(services), ...imageLookups(services), ...registrations(services), ...controls(services),
    ...inspections(services), ...terminalsOf(services), ...filesOf(services), ...imageMethodsOf(services),
  };
}

function lookups({ machines }: ManagerServices) {
  const rows = new MachineRows();
  return {
    GetMachine: (_: ManagerServices, { name }: { name: string }) => ({ machine: machinePath(machines.byName(name).name) }),
    GetMachineByPID: async (_: ManagerServices, { pid }: { pid: number }, call: IncomingCall) => ({
      machine: machinePath((await machines.byPid(checkPid(pid), call)).name),
    }),
    ListMachines: () => ({ machines: rows.of(machines.all()) }),
  };
}

/** Throws Failure 'system' (EINVAL): no pid_t has that number. */
function checkPid(pid: number): number {
  if (pid > 0x7fffffff) throw systemFailure('EINVAL', 'Invalid argument');
  return pid;
}

type MachineRow = readonly [name: string, className: string, service: string, path: string];

/** The answer of ListMachines, kept until there are other machines: those that are there do not change, but are replaced. */
class MachineRows {
  #machines: readonly Machine[] = [];
  #rows: readonly MachineRow[] = [];

  of(machines: Iterable<Machine>): readonly MachineRow[] {
    const current = [...machines];
    if (!isSameList(current, this.#machines)) {
      this.#machines = current;
      this.#rows = markUnchanging(current.map(machineRow));
    }
    return this.#rows;
  }
}

function isSameList(one: readonly Machine[], other: readonly Machine[]): boolean {
  return one.length === other.length && one.every((machine, index) => machine === other[index]);
}

function machineRow(machine: Machine): MachineRow {
  return [machine.name, machine.class, machine.service, machinePath(machine.name)];
}

function imageLookups({ images }: ManagerServices) {
  return {
    GetImage: (_: ManagerServices, { name }: { name: string }) => ({ image: imagePath(images.byName(name).name) }),
    ListImages: async () => ({ images: (await images.list()).map(imageRow) }),
  };
}

function imageRow(image: Image): [string, string, boolean, bigint, bigint, bigint, string] {
  const { name, type, readOnly, creationTime, modificationTime, usage } = image;
  return [name, type, readOnly, creationTime, modificationTime, usage ?? noSize, imagePath(name)];
}

function registrations(services: ManagerServices) {
  const { machines } = services;
  const register = async (call: IncomingCall, request: RegisterRequest) => ({
    path: machinePath((await machines.register(call, request)).name),
  });
  const plain = (input: PlainArguments, interfaces: readonly number[], scope: ScopeProperties | undefined) =>
    plainRequest(services, input, interfaces, scope);
  return {
    CreateMachine: (_: ManagerServices, input: PlainArguments & { scope_properties: ScopeProperties }, call: IncomingCall) =>
      register(call, plain(input, [], input.scope_properties)),
    CreateMachineWithNetwork: (
      _: ManagerServices,
      input: PlainArguments & { ifindices: readonly number[]; scope_properties: ScopeProperties },
      call: IncomingCall,
    ) => register(call, plain(input, input.ifindices, input.scope_properties)),
    RegisterMachine: (_: ManagerServices, input: PlainArguments, call: IncomingCall) =>
      register(call, plain(input, [], undefined)),
    RegisterMachineWithNetwork: (
      _: ManagerServices,
      input: PlainArguments & { ifindices: readonly number[] },
      call: IncomingCall,
    ) => register(call, plain(input, input.ifindices, undefined)),
    CreateMachineEx: (
      _: ManagerServices,
      input: { name: string; properties: ScopeProperties; scope_properties: ScopeProperties },
      call: IncomingCall,
    ) => register(call, extendedRequest(services, input.name, input.properties, input.scope_properties)),
    RegisterMachineEx: (_: ManagerServices, input: { name: string; properties: ScopeProperties }, call: IncomingCall) =>
      register(call, extendedRequest(services, input.name, input.properties, undefined)),
  };
}

function plainRequest(
  { machines, processes }: ManagerServices,
  input: PlainArguments,
  interfaces: readonly number[],
  scope: ScopeProperties | undefined,
): RegisterRequest {
  const registration = {
    name: checkMachineName(input.name),
    id: checkMachineId(input.id),
    class: classOrNone(input.class),
    service: input.service,
    rootDirectory: checkRootDirectory(input.root_directory),
    networkInterfaces: checkNetworkInterfaces(interfaces),
    vsockCid: noVsockCid,
    sshAddress: '',
    sshPrivateKeyPath: '',
    controlAddress: '',
  };
  machines.refuseName(registration.name);
  return { registration, leader: openLeader(processes, input.leader), scope: scopeOf(scope) };
}

function extendedRequest(
  { machines, processes }: ManagerServices,
  name: string,
  properties: ScopeProperties,
  scope: ScopeProperties | undefined,
): RegisterRequest {
  checkMachineName(name);
  const { registration, leader } = readExtendedProperties(name, properties, processes);
  try {
    machines.refuseName(name);
  } catch (error) {
    leader?.[Symbol.dispose]();
    throw error;
  }
  return { registration, leader, scope: scopeOf(scope) };
}

function scopeOf(properties: ScopeProperties | undefined): RegisterRequest['scope'] {
  if (properties === undefined) return undefined;
  return { properties: properties.map(([name, value]) => ({ name, signature: value.signature, value: value.value })) };
}

/** '' is only refused after the caller was authorized. */
function classOrNone(text: string): MachineClass | undefined {
  return text === '' ? undefined : checkMachineClass(text);
}

function controls({ machines }: ManagerServices) {
  return {
    UnregisterMachine: async (_: ManagerServices, { name }: { name: string }, call: IncomingCall) => {
      await machines.unregister(call, { name });
      return {};
    },
    TerminateMachine: async (_: ManagerServices, { id }: { id: string }, call: IncomingCall) => {
      await machines.terminate(call, { name: id });
      return {};
    },
    KillMachine: async (
      _: ManagerServices,
      { name, whom, signal }: { name: string; whom: string; signal: number },
      call: IncomingCall,
    ) => {
      await machines.kill(call, { name }, whom, signal);
      return {};
    },
  };
}

function inspections({ machines, inspector, users }: ManagerServices) {
  const mapFrom = (kind: IdKind, name: string, inside: number) => users.mapFrom(kind, machines.byName(name), inside);
  const mapTo = (kind: IdKind, outside: number) => {
    const { machine, inside } = users.mapTo(kind, outside);
    return { machine_name: machine.name, machine_path: machinePath(machine.name), inside };
  };
  return {
    GetMachineAddresses: async (_: ManagerServices, { name }: { name: string }) => ({
      addresses: addressRows(await inspector.addresses(machines.byName(name))),
    }),
    GetMachineSSHInfo: (_: ManagerServices, { name }: { name: string }) => sshInfo(inspector, machines.byName(name)),
    GetMachineOSRelease: async (_: ManagerServices, { name }: { name: string }, call: IncomingCall) => ({
      fields: await inspector.osRelease(call, machines.byName(name)),
    }),
    GetMachineUIDShift: (_: ManagerServices, { name }: { name: string }) => ({
      shift: inspector.uidShift(machines.byName(name)),
    }),
    MapFromMachineUser: (_: ManagerServices, { name, uid_inner }: { name: string; uid_inner: number }) => ({
      uid_outer: mapFrom('user', name, uid_inner),
    }),
    MapFromMachineGroup: (_: ManagerServices, { name, gid_inner }: { name: string; gid_inner: number }) => ({
      gid_outer: mapFrom('group', name, gid_inner),
    }),
    MapToMachineUser: (_: ManagerServices, { uid_outer }: { uid_outer: number }) => {
      const { inside, ...machine } = mapTo('user', uid_outer);
      return { ...machine, uid_inner: inside };
    },
    MapToMachineGroup: (_: ManagerServices, { gid_outer }: { gid_outer: number }) => {
      const { inside, ...machine } = mapTo('group', gid_outer);
      return { ...machine, gid_inner: inside };
    },
  };
}

function terminalsOf({ machines, terminals }: ManagerServices) {
  return {
    OpenMachinePTY: async (_: ManagerServices, { name }: { name: string }, call: IncomingCall) =>
      terminalReply(await terminals.openPty(call, machines.byName(name)), call),
    OpenMachineLogin: async (_: ManagerServices, { name }: { name: string }, call: IncomingCall) =>
      terminalReply(await terminals.openLogin(call, machines.byName(name)), call),
    OpenMachineShell: async (_: ManagerServices, input: { name: string } & ShellInput, call: IncomingCall) =>
      terminalReply(await terminals.openShell(call, machines.byName(input.name), input), call),
  };
}

function filesOf({ machines, files }: ManagerServices) {
  const { bindMount, copyFrom, copyTo, openRootDirectory } = fileMethods(files);
  const ofNamed =
    <Input, Output>(method: (machine: Machine, input: Input, call: IncomingCall) => Promise<Output>) =>
    async (_: ManagerServices, input: Input & { readonly name: string }, call: IncomingCall): Promise<Output> =>
      method(machines.byName(input.name), input, call);
  return {
    BindMountMachine: ofNamed(bindMount),
    CopyFromMachine: ofNamed(copyFrom),
    CopyToMachine: ofNamed(copyTo),
    CopyFromMachineWithFlags: ofNamed(copyFrom),
    CopyToMachineWithFlags: ofNamed(copyTo),
    OpenMachineRootDirectory: ofNamed(openRootDirectory),
  };
}

function imageMethodsOf({ images, keeper }: ManagerServices) {
  const { remove, rename, clone, markReadOnly, setLimit } = imageMethods(keeper);
  const { hostname, machineId, machineInfo, osRelease } = metadataMethods(images);
  const { setPoolLimit, cleanPool } = poolMethods(keeper);
  const ofNamed =
    <Input, Output>(method: (image: Image, input: Input, call: IncomingCall) => Promise<Output>) =>
    async (_: ManagerServices, input: Input & { readonly name: string }, call: IncomingCall): Promise<Output> =>
      method(images.byName(checkImageName(input.name)), input, call);
  return {
    RemoveImage: ofNamed(remove),
    RenameImage: ofNamed(rename),
    CloneImage: ofNamed(clone),
    MarkImageReadOnly: ofNamed(markReadOnly),
    SetImageLimit: ofNamed((image, { size }: { readonly size: bigint }, call) => setLimit(image, size, call)),
    GetImageHostname: ofNamed(hostname),
    GetImageMachineID: ofNamed(machineId),
    GetImageMachineInfo: ofNamed(machineInfo),
    GetImageOSRelease: ofNamed(osRelease),
    SetPoolLimit: setPoolLimit,
    CleanPool: cleanPool,
  };
}
