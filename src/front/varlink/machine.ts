import { createMachine, machineVarlink, openAuthorizations } from '../../contract/varlink/machine.js';
import { Failure, invalidArgument, isFailure } from '../../domain/failure.js';
import { isRegularVsockCid } from '../../domain/registration.js';
import { noVsockCid, type Machine, type ProcessIdentity } from '../../domain/machine.js';
import type { Authority } from '../../ports/authority.js';
import type { CopyRequest } from '../../ports/guest-files.js';
import type { ProcessHandle, Processes } from '../../ports/processes.js';
import type { Terminal } from '../../ports/terminals.js';
import { authorize } from '../../service/call.js';
import type { MachineInspector } from '../../service/inspector.js';
import type { MachineFiles } from '../../service/machine-files.js';
import type { MachineReference, Machines } from '../../service/machines.js';
import type { MachineTerminals } from '../../service/terminals.js';
import type { Users } from '../../service/users.js';
import { markUnchanging } from '../../wire/varlink/json.js';
import type { Input, Output } from '../../wire/varlink/schema.js';
import { refuseUpgrade } from './listing.js';
import { bindVarlink, MethodError, Replies, type BoundVarlinkInterface, type VarlinkCall, type VarlinkHandlers } from './service.js';
import { withoutAbsent } from './without-absent.js';

export interface MachineVarlinkServices {
  readonly machines: Machines;
  readonly inspector: MachineInspector;
  readonly users: Users;
  readonly terminals: MachineTerminals;
  readonly files: MachineFiles;
  readonly processes: Processes;
  readonly authority: Authority;
}

type Methods = (typeof machineVarlink)['methods'];
type RegisterInput = Input<Methods['Register']>;
type ListInput = Input<Methods['List']>;
type ListOutput = Output<Methods['List']>;
type OpenInput = Input<Methods['Open']>;
type OpenOutput = Output<Methods['Open']>;
type Reference = Pick<Input<Methods['Unregister']>, 'name' | 'pid'>;

/** io.systemd.Machine. */
export function machineInterface(services: MachineVarlinkServices): BoundVarlinkInterface {
  return bindVarlink(machineVarlink, handlers(services), undeclaredErrors);
}

/** The original answers with it, too, and does not say so. */
const undeclaredErrors = { 'too-many-operations': 'io.systemd.Machine.TooManyOperations' } as const;

function handlers(services: MachineVarlinkServices): VarlinkHandlers<typeof machineVarlink> {
  const { machines, users, files } = services;
  return {
    Register: async (input, call) => {
      await register(services, input, call);
      return {};
    },
    Unregister: async (input, call) => {
      await machines.unregister(call, referenceOf(input));
      return {};
    },
    Terminate: async (input, call) => {
      await machines.terminate(call, referenceOf(input));
      return {};
    },
    Kill: async (input, call) => {
      await machines.kill(call, referenceOf(input), input.whom ?? '', input.signal);
      return {};
    },
    List: (input, call) => list(services, input, call),
    MapFrom: async (input, call) => {
      const machine = await machines.byReference(referenceOf(input), call);
      users.refuseOthersThanContainers(machine);
      return withoutAbsent({
        uid: input.uid === undefined ? undefined : users.mapFrom('user', machine, input.uid),
        gid: input.gid === undefined ? undefined : users.mapFrom('group', machine, input.gid),
      });
    },
    MapTo: ({ uid, gid }) => mapTo(users, uid, gid),
    Open: (input, call) => open(services, input, call.withAuthorization(openAuthorizations[input.mode])),
    BindMount: async (input, call) => {
      const { source, destination = '', readOnly = false, mkdir = false } = input;
      const machine = await machines.byReference(referenceOf(input), call);
      await files.bind(call, machine, { source, destination, readOnly, makeDestination: mkdir });
      return {};
    },
    CopyFrom: (input, call) => copy(services, 'from', input, call),
    CopyTo: (input, call) => copy(services, 'to', input, call),
    OpenRootDirectory: async (input, call) => {
      const machine = await machines.byReference(referenceOf(input), call);
      return { fileDescriptor: call.passDescriptor(await files.openRoot(call, machine)) };
    },
  };
}

async function copy(
  { machines, files }: MachineVarlinkServices,
  direction: CopyRequest['direction'],
  input: Input<Methods['CopyFrom']>,
  call: VarlinkCall,
): Promise<Output<Methods['CopyFrom']>> {
  const { source, destination = '', replace = false } = input;
  const machine = await machines.byReference(referenceOf(input), call);
  await files.copy(call, machine, { direction, source, destination, replace, unknownFlags: false });
  return {};
}

async function open({ machines, terminals }: MachineVarlinkServices, input: OpenInput, call: VarlinkCall): Promise<OpenOutput> {
  const machine = await machines.byReference(referenceOf(input), call);
  terminals.refuseRootNamespace(machine);
  const { fd, path } = await openTerminal(terminals, machine, input, call);
  return { ptyFileDescriptor: call.passDescriptor(fd), ptyPath: path };
}

function openTerminal(terminals: MachineTerminals, machine: Machine, input: OpenInput, call: VarlinkCall): Promise<Terminal> {
  const { mode, user = '', path = '', args = [], environment = [] } = input;
  switch (mode) {
    case 'tty':
      return terminals.openPty(call, machine);
    case 'login':
      return terminals.openLogin(call, machine);
    case 'shell':
      return terminals.openShell(call, machine, { user, path, args, environment });
  }
}

/** Which machine a caller means. */
export function referenceOf({ name, pid }: Reference): MachineReference {
  return { name, process: pid };
}

async function register(services: MachineVarlinkServices, input: RegisterInput, call: VarlinkCall): Promise<void> {
  const leader = openLeader(services.processes, input);
  const inScope = input.allocateUnit === true;
  await services.machines.register(inScope ? call.withAuthorization(createMachine) : call, {
    registration: {
      name: input.name,
      id: input.id === '' ? undefined : input.id,
      class: input.class,
      service: input.service ?? '',
      rootDirectory: input.rootDirectory ?? '',
      networkInterfaces: input.ifIndices ?? [],
      vsockCid: input.vSockCid ?? noVsockCid,
      sshAddress: input.sshAddress ?? '',
      sshPrivateKeyPath: input.sshPrivateKeyPath ?? '',
      controlAddress: input.controlAddress ?? '',
    },
    leader,
    scope: inScope ? { properties: [] } : undefined,
  });
}

/** undefined is the caller. Throws Failure 'invalid-argument' if there is no such process, or two different ones. */
function openLeader(processes: Processes, { leader, leaderProcessId }: RegisterInput): ProcessHandle | undefined {
  if (leaderProcessId === undefined) {
    return leader === undefined ? undefined : openProcess(processes, 'leader', leader);
  }
  const handle = openProcess(processes, 'leaderProcessId', leaderProcessId.pid);
  const { pidfdId, bootId } = leaderProcessId;
  const isAnother =
    handle.identity.pid === 1 ||
    (leader !== undefined && leader !== handle.identity.pid) ||
    (pidfdId !== undefined && handle.identity.pidfdId !== undefined && pidfdId !== handle.identity.pidfdId) ||
    (bootId !== undefined && bootId !== processes.bootId);
  if (!isAnother) return handle;
  handle[Symbol.dispose]();
  throw invalidArgument('leaderProcessId', 'It is not the process that it is said to be');
}

function openProcess(processes: Processes, parameter: string, pid: number): ProcessHandle {
  try {
    return processes.open(pid);
  } catch (error) {
    if (!isFailure(error, 'system')) throw error;
    throw invalidArgument(parameter, 'There is no such process');
  }
}

async function list(services: MachineVarlinkServices, input: ListInput, call: VarlinkCall): Promise<ListOutput | Replies<ListOutput>> {
  const { machines } = services;
  refuseUpgrade(call);
  const metadata = input.acquireMetadata ?? 'no';
  if (metadata !== 'no') await authorize(services.authority, call, { name: input.name ?? 'n/a' });
  if (input.name !== undefined || input.pid !== undefined) {
    const machine = await machines.byReference(referenceOf(input), call);
    const described = describeMachine(machine, services.processes.bootId);
    return metadata === 'no' ? described : withMetadata(services, machine, described, metadata === 'graceful');
  }
  if (!call.more) throw new MethodError('org.varlink.service.ExpectedMore');
  if (machines.isEmpty) throw new Failure('no-such-machine', 'There is no machine');
  if (metadata === 'no') return Replies.all(describeAll(services));
  const everyone = [...machines.all()];
  const found: ListOutput[] = [];
  for (const machine of everyone) {
    const described = describeMachine(machine, services.processes.bootId);
    found.push(await withMetadata(services, machine, described, metadata === 'graceful'));
  }
  return Replies.all(found);
}

function* describeAll({ machines, processes }: MachineVarlinkServices): Generator<ListOutput> {
  for (const machine of machines.all()) yield describeMachine(machine, processes.bootId);
}

const descriptions = new WeakMap<Machine, ListOutput>();

/** Machines do not change, but are replaced: each is described once. */
export function describeMachine(machine: Machine, bootId: string): ListOutput {
  const known = descriptions.get(machine);
  if (known !== undefined) return known;
  const description = markUnchanging(withoutAbsent({
    name: machine.name,
    id: machine.id,
    class: machine.class,
    service: orAbsent(machine.service),
    rootDirectory: orAbsent(machine.rootDirectory),
    unit: orAbsent(machine.unit),
    subgroup: orAbsent(machine.subgroup),
    leader: describeProcess(machine.leader, bootId),
    supervisor: machine.supervisor === undefined ? undefined : describeProcess(machine.supervisor, bootId),
    timestamp: { realtime: Number(machine.timestamp.realtime), monotonic: Number(machine.timestamp.monotonic) },
    vSockCid: isRegularVsockCid(machine.vsockCid) ? machine.vsockCid : undefined,
    sshAddress: orAbsent(machine.sshAddress),
    sshPrivateKeyPath: orAbsent(machine.sshPrivateKeyPath),
    controlAddress: orAbsent(machine.controlAddress),
    UID: machine.owner,
  }));
  descriptions.set(machine, description);
  return description;
}

function describeProcess({ pid, pidfdId }: ProcessIdentity, bootId: string) {
  return withoutAbsent({ pid, pidfdId, bootId: pidfdId === undefined ? undefined : bootId });
}

function orAbsent(text: string): string | undefined {
  return text === '' ? undefined : text;
}

async function withMetadata(
  services: MachineVarlinkServices,
  machine: Machine,
  described: ListOutput,
  graceful: boolean,
): Promise<ListOutput> {
  const { inspector } = services;
  const attempt = async <T>(look: () => T | Promise<T>): Promise<T | undefined> => {
    try {
      return await look();
    } catch (error) {
      if (graceful && isFailure(error)) return undefined;
      throw error;
    }
  };
  const addresses = await attempt(() => inspector.addresses(machine));
  const release = await attempt(() => inspector.readOsRelease(machine));
  const shift = await attempt(() => inspector.uidShift(machine));
  const { UID, ...others } = described; // it goes last
  return withoutAbsent({
    ...others,
    addresses:
      addresses === undefined || addresses.length === 0
        ? undefined
        : addresses.map(({ interfaceIndex, family, bytes }) => ({ ifindex: interfaceIndex, family, address: [...bytes] })),
    OSRelease: release === undefined ? undefined : [...release].map(([key, value]) => `${key}=${value}`),
    UIDShift: shift,
    UID,
  });
}

function mapTo(users: Users, uid: number | undefined, gid: number | undefined): Output<Methods['MapTo']> {
  if (uid === undefined && gid === undefined) throw new Failure('no-such-machine', 'Name a user or a group');
  const user = uid === undefined ? undefined : users.mapTo('user', uid);
  const group = gid === undefined ? undefined : users.mapTo('group', gid);
  const machine = (user ?? group)?.machine;
  if (user !== undefined && group !== undefined && user.machine !== group.machine) {
    throw new Failure('no-such-machine', 'The user and the group belong to different machines');
  }
  return withoutAbsent({ uid: user?.inside, gid: group?.inside, machineName: machine?.name });
}
