import type { Machine } from '../../domain/machine.js';
import { managerInterface } from '../../contract/dbus/manager.js';
import { ownOperationsInterface } from '../../contract/dbus/own-operations.js';
import type { Authority, Caller } from '../../ports/authority.js';
import type { Log } from '../../ports/log.js';
import { bus } from '../../transport/dbus/bus.js';
import type { BusConnection } from '../../transport/dbus/connection.js';
import type { Machines } from '../../service/machines.js';
import { BusError } from '../../transport/dbus/bus-error.js';
import { escapeLabel } from '../../wire/dbus/object-path.js';
import type { Variant } from '../../wire/dbus/value.js';
import { Departures } from './departures.js';
import { imageObjects } from './image-object.js';
import { logControlObject } from './log-control-object.js';
import { machineObjects } from './machine-object.js';
import { managerObject, type ManagerServices } from './manager-object.js';
import { ownManagerObject } from './own-manager-object.js';
import { announceOperations } from './own-operations.js';
import { ObjectServer, type ServerBus } from './object-server.js';
import { ObjectTree } from './object-tree.js';
import { busName, imagesPath, logControlPath, machinePath, machinesPath, managerPath, ownPath } from './paths.js';

export interface BusServicePorts {
  readonly authority: Authority;
  readonly log: Log;
  closeDescriptor(fd: number): void;
}

/** Callers whose credentials are remembered: a unique name is never given to another connection. */
const rememberedCallers = 4096;
/** About a millisecond's worth. */
const announcementsPerTurn = 50;

/** org.freedesktop.machine1 on one connection to a bus. */
export class BusService implements Disposable {
  readonly #connection: BusConnection;
  readonly #observations: readonly Disposable[];
  readonly #departures: Departures;
  readonly #ports: BusServicePorts;
  #announcing: NodeJS.Immediate | undefined;
  readonly #callers = new Map<string, Promise<Caller>>();

  private constructor(connection: BusConnection, services: ManagerServices, ports: BusServicePorts) {
    this.#connection = connection;
    this.#ports = ports;
    const serverBus: ServerBus = {
      reply: (call, signature, body) => connection.reply(call, signature, body),
      replyError: (call, name, message) => connection.replyError(call, name, message),
      callerOf: (uniqueName) => this.#callerOf(uniqueName),
    };
    this.#departures = new Departures(connection);
    const server = new ObjectServer(objectTree(services, ports.log, this.#departures), {
      bus: serverBus,
      authority: ports.authority,
      log: ports.log,
      hostId: services.processes.hostId,
      closeDescriptor: (fd) => ports.closeDescriptor(fd),
    });
    connection.onMethodCall = (call) => server.handle(call);
    const machines = services.machines.observe({
      machineNew: (machine) => this.#emit('MachineNew', machine),
      machineRemoved: (machine) => this.#emit('MachineRemoved', machine),
    });
    const operations = announceOperations(services.operations, (member, signature, body) =>
      connection.emit({ path: ownPath, interface: ownOperationsInterface.name, member, signature, body: body }),
    );
    this.#observations = [machines, operations];
  }

  /** Rejects with BusError if another process has the name already. */
  static async refuseSecond(connection: BusConnection | undefined): Promise<void> {
    if (connection === undefined) return;
    const [isOwned] = await connection.call({
      ...bus, member: 'NameHasOwner', signature: 's', body: [busName], replySignature: 'b',
    });
    if (isOwned) throw ownedByAnother();
  }

  /**
   * Serves the objects, and then takes the name, so that whoever sees the name finds them. Rejects with BusError: the
   * bus does not let this user have it, or another process does.
   */
  static async publish(connection: BusConnection, services: ManagerServices, ports: BusServicePorts): Promise<BusService> {
    const service = new BusService(connection, services, ports);
    try {
      const result = await connection.requestName(busName);
      if (result === 'owned') {
        service.#announceAll(services.machines);
        return service;
      }
      throw ownedByAnother();
    } catch (error) {
      service[Symbol.dispose]();
      throw error;
    }
  }

  [Symbol.dispose](): void {
    clearImmediate(this.#announcing);
    for (const observation of this.#observations) observation[Symbol.dispose]();
    this.#departures[Symbol.dispose]();
  }

  /**
   * As the original does: whoever listens learns what a new owner of the name has, be it a restarted daemon. A few at a
   * time, so that thousands keep no caller waiting; one that has ended before its turn is not spoken of any more.
   */
  #announceAll(machines: Machines): void {
    const waiting = [...machines.all()].filter((machine) => {
      return machine !== machines.host && machine.state !== 'opening'; // that one is announced when its scope is accepted
    });
    const announceSome = () => {
      for (const machine of waiting.splice(0, announcementsPerTurn)) {
        if (machines.find(machine.name)?.leader === machine.leader) this.#emit('MachineNew', machine);
      }
      if (waiting.length > 0) this.#announcing = setImmediate(announceSome);
    };
    this.#announcing = setImmediate(announceSome);
  }

  #emit(member: keyof typeof managerInterface.signals, machine: Machine): void {
    this.#connection.emit({
      path: managerPath,
      interface: managerInterface.name,
      member,
      signature: 'so',
      body: [machine.name, machinePath(machine.name)],
    });
  }

  #callerOf(uniqueName: string): Promise<Caller> {
    const known = this.#callers.get(uniqueName);
    if (known !== undefined) return known;
    if (this.#callers.size >= rememberedCallers) this.#callers.clear();
    const caller = this.#askForCaller(uniqueName);
    this.#callers.set(uniqueName, caller);
    caller.then(
      ({ uid }) => uid === undefined && this.#callers.delete(uniqueName), // the bus may only have been too busy to say
      () => this.#callers.delete(uniqueName),
    );
    return caller;
  }

  /** A caller that has left is nobody: it may do nothing. */
  async #askForCaller(uniqueName: string): Promise<Caller> {
    try {
      const { body, fds } = await this.#connection.callForDescriptors({
        ...bus,
        member: 'GetConnectionCredentials',
        signature: 's',
        body: [uniqueName],
        replySignature: 'a{sv}',
      });
      for (const fd of fds) this.#ports.closeDescriptor(fd);
      const [credentials] = body;
      return {
        uid: numberOf(credentials.get('UnixUserID')),
        pid: numberOf(credentials.get('ProcessID')),
        busName: uniqueName,
      };
    } catch (error) {
      if (!(error instanceof BusError)) throw error;
      this.#ports.log.debug(`No credentials of ${uniqueName}: ${error.message}`);
      return { uid: undefined, pid: undefined, busName: uniqueName };
    }
  }
}

function ownedByAnother(): BusError {
  return new BusError('org.freedesktop.DBus.Error.AddressInUse', `${busName} is owned by another process`);
}

function objectTree(services: ManagerServices, log: Log, departures: Departures): ObjectTree {
  const { machines, images } = services;
  const tree = new ObjectTree();
  tree.addObject(managerPath, managerObject(services));
  tree.addFamily(machinesPath, machineObjects(services), () => Array.from(machines.all(), ({ name }) => escapeLabel(name)));
  tree.addFamily(imagesPath, imageObjects(services), async () => (await images.list()).map(({ name }) => escapeLabel(name)));
  tree.addObject(logControlPath, logControlObject(log));
  tree.addHiddenObject(ownPath, ownManagerObject(services, departures));
  return tree;
}

function numberOf(value: Variant | undefined): number | undefined {
  return typeof value?.value === 'number' ? value.value : undefined;
}
