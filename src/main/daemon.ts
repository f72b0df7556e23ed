import { Operations } from '../domain/operations.js';
import { UndoStack } from '../domain/undo.js';
import { BusService } from '../front/dbus/bus-service.js';
import type { ManagerServices } from '../front/dbus/manager-object.js';
import { connectSystemBus } from '../host/bus.js';
import { HelperPool, ordinaryLimits } from '../host/guests/helper-pool.js';
import { endForsakenCommands } from '../host/guests/command-cgroup.js';
import { GuestCommands } from '../host/guests/guest-commands.js';
import { GuestTerminals } from '../host/guests/guest-terminals.js';
import { KernelGuests } from '../host/guests/kernel-guests.js';
import { HostImageChanges } from '../host/images/host-image-changes.js';
import { HostImageContents } from '../host/images/host-image-contents.js';
import { HostImages } from '../host/images/host-images.js';
import { KernelClock } from '../host/kernel/clock.js';
import { close } from '../host/kernel/libc.js';
import { KernelProcesses } from '../host/kernel/processes.js';
import type { PassedDescriptor } from '../host/kernel/socket-activation.js';
import { errnoNameOf } from '../host/kernel/system-error.js';
import { ImagePool } from '../host/pool.js';
import { findProgram, startPrivateBus } from '../host/private-bus.js';
import { StateFiles } from '../host/state-files.js';
import type { Log } from '../ports/log.js';
import { MachineCommands } from '../service/commands.js';
import { ImageKeeper } from '../service/image-changes.js';
import { ImageCatalogue } from '../service/images.js';
import { MachineInspector } from '../service/inspector.js';
import { MachineFiles } from '../service/machine-files.js';
import { OperationDesk } from '../service/operation-desk.js';
import { Machines } from '../service/machines.js';
import { MachineTerminals } from '../service/terminals.js';
import { Users } from '../service/users.js';
import { isBusError } from '../transport/dbus/bus-error.js';
import type { BusConnection } from '../transport/dbus/connection.js';
import { BusLink } from './bus-link.js';
import { sessionBusAddress, type Places, type Scope } from './places.js';
import type { Findings } from './summary.js';
import { chooseUnits } from './choose-units.js';
import { HostAuthority } from './host-authority.js';
import { listenOnVarlink, serviceInformation } from './varlink-sockets.js';

export interface DaemonOptions {
  readonly version: string;
  readonly scope: Scope;
  readonly uid: number;
  readonly places: Places;
  readonly log: Log;
  readonly environment: NodeJS.ProcessEnv;
  /** Sockets that the service manager listens on for this process. */
  readonly passed: readonly PassedDescriptor[];
}

export interface Daemon extends Disposable {
  readonly findings: Findings;
}

/**
 * Puts everything together. When the promise resolves, the machines of before are back and clients are served. Rejects
 * if a socket or the bus name is another's; then nothing is left behind.
 */
export async function startDaemon(options: DaemonOptions): Promise<Daemon> {
  const { log, places, scope, uid, version } = options;
  using undo = new UndoStack();
  const isOfHost = scope === 'system';
  const bus = await findBus(options, undo);
  const link = undo.use(new BusLink(bus.connection, () => connectSystemBus(bus.address), log));
  const units = undo.use(await chooseUnits({ scope, uid, link, log }));
  const hasPolkit = scope === 'system' && bus.finding.kind === 'system';
  const authority = undo.use(new HostAuthority(uid, hasPolkit ? () => connectSystemBus(bus.address) : undefined));
  const processes = new KernelProcesses();
  const guests = undo.use(new KernelGuests(log, places.guestsDirectory));
  const store = new StateFiles({ machines: places.stateDirectory, own: places.extraStateDirectory });
  const machines = undo.use(new Machines({ processes, units, store, authority, clock: new KernelClock(), log }, isOfHost));
  const users = new Users(machines);
  const inspector = new MachineInspector(users, guests, authority);
  const operations = new Operations();
  const imageHelpers = undo.use(new HelperPool(ordinaryLimits));
  const images = new ImageCatalogue(new HostImages(log, places.images.directories, isOfHost), new HostImageContents(imageHelpers, places.images.locks));
  const imageChanges = new HostImageChanges(log, imageHelpers, places.images);
  const keeper = new ImageKeeper(images, imageChanges, authority, operations);
  const files = undo.use(new MachineFiles(guests.files, authority, machines, operations));
  const terminals = new MachineTerminals({ terminals: undo.use(new GuestTerminals()), processes, authority });
  const commands = undo.use(new MachineCommands({ commands: undo.use(new GuestCommands()), authority, terminals }));
  const services: ManagerServices = {
    operations: new OperationDesk(operations, authority),
    authority, machines, users, inspector, terminals, commands, files, images, keeper, processes, pool: new ImagePool(places.images.pool),
  };
  try {
    // Another registry's state is not touched: only who has the bus name and the sockets to itself takes over.
    await BusService.refuseSecond(bus.connection);
    undo.use(listenOnVarlink({ ...services, log }, places, serviceInformation(version), options.passed));
    machines.restore(); // in the same turn of the loop: no client is served before
    void imageChanges.sweep(); // nor is an image changed before it is what it is to be
    await link.serve((current) => BusService.publish(current, services, { authority, log, closeDescriptor: close }));
  } catch (error) {
    throw explained(error, scope);
  }
  void guests.files.sweep();
  if (uid === 0) void endForsakenCommands(Array.from(machines.all(), ({ leader }) => leader.pid), log);
  const findings: Findings = {
    version,
    uid,
    units: units.kind,
    bus: bus.finding,
    polkit: hasPolkit,
    machines: machines.size,
    socket: places.machineSocket,
  };
  const owned = undo.move();
  return { findings, [Symbol.dispose]: () => owned[Symbol.dispose]() };
}

interface FoundBus {
  readonly finding: Findings['bus'];
  readonly connection: BusConnection | undefined;
  /** undefined is the usual one. */
  readonly address: string | undefined;
}

/** The system bus, or the user's; one of our own where none runs; none where that cannot be started either. */
async function findBus({ places, log, scope, uid, environment }: DaemonOptions, undo: UndoStack): Promise<FoundBus> {
  const named = environment['DBUS_SYSTEM_BUS_ADDRESS'];
  const address = scope === 'user' ? sessionBusAddress(uid, environment) : named;
  // only root may own the name on a host's system bus, but a bus that is named is meant
  const mayOwnName = scope === 'user' || uid === 0 || named !== undefined;
  const connection = mayOwnName ? await connectIfThere(address) : undefined;
  const usual = scope === 'user' ? 'session' : 'system';
  if (connection !== undefined) return { finding: { kind: usual }, connection, address };
  const program = findProgram('dbus-daemon', environment['PATH'] ?? '');
  if (program === undefined) {
    const reason = `no ${usual} bus runs, and dbus-daemon is not installed`;
    return { finding: { kind: 'none', reason }, connection: undefined, address: undefined };
  }
  const own = undo.use(await startPrivateBus(program, places.busDirectory));
  log.debug(`Started ${program} at ${own.address}`);
  const ownConnection = await connectSystemBus(own.address);
  return { finding: { kind: 'private', address: own.address, missing: usual }, connection: ownConnection, address: own.address };
}

async function connectIfThere(address: string | undefined): Promise<BusConnection | undefined> {
  try {
    return await connectSystemBus(address);
  } catch (error) {
    const code = errnoNameOf(error);
    if (code === 'ENOENT' || code === 'ECONNREFUSED') return undefined;
    throw error;
  }
}

/** What to do about a socket or a name that is taken is more than an errno says. */
function explained(error: unknown, scope: Scope): unknown {
  const isTaken = errnoNameOf(error) === 'EADDRINUSE' || isBusError(error, 'org.freedesktop.DBus.Error.AddressInUse');
  if (!isTaken || !(error instanceof Error)) return error;
  const stop = scope === 'user' ? 'systemctl --user stop' : 'systemctl stop';
  return new Error(
    `${error.message}. Another registry runs. Stop it first: ${stop} systemd-machined.socket systemd-machined.service`,
    { cause: error },
  );
}
