// A registry in a world of fakes: what the front ends are tested on.
import { openSync } from 'node:fs';
import { FakeAuthority } from '../../src/ports/fakes/authority.js';
import { FakeCommands } from '../../src/ports/fakes/commands.js';
import { FakeGuestFiles } from '../../src/ports/fakes/guest-files.js';
import { FakeGuests } from '../../src/ports/fakes/guests.js';
import { FakeImages } from '../../src/ports/fakes/images.js';
import { FakeProcesses } from '../../src/ports/fakes/processes.js';
import { FakeStore } from '../../src/ports/fakes/store.js';
import { FakeTerminals } from '../../src/ports/fakes/terminals.js';
import { FakeUnits } from '../../src/ports/fakes/units.js';
import type { Clock } from '../../src/ports/clock.js';
import type { Log, LogLevel, LogTarget } from '../../src/ports/log.js';
import type { Pool } from '../../src/ports/pool.js';
import type { ProcessHandle, Processes } from '../../src/ports/processes.js';
import { Operations } from '../../src/domain/operations.js';
import type { IdMapping, UserId } from '../../src/domain/users.js';
import { MachineCommands } from '../../src/service/commands.js';
import { ImageKeeper } from '../../src/service/image-changes.js';
import { ImageCatalogue } from '../../src/service/images.js';
import { MachineInspector } from '../../src/service/inspector.js';
import { Machines } from '../../src/service/machines.js';
import { MachineFiles } from '../../src/service/machine-files.js';
import { OperationDesk } from '../../src/service/operation-desk.js';
import { MachineTerminals } from '../../src/service/terminals.js';
import { Users } from '../../src/service/users.js';

/** Keeps what is logged. */
export class FakeLog implements Log {
  level: LogLevel = 6;
  target: LogTarget = 'auto';
  readonly lines: { readonly level: LogLevel; readonly message: string }[] = [];

  write(level: LogLevel, message: string): void {
    this.lines.push({ level, message });
  }

  error(message: string): void {
    this.write(3, message);
  }

  warning(message: string): void {
    this.write(4, message);
  }

  notice(message: string): void {
    this.write(5, message);
  }

  info(message: string): void {
    this.write(6, message);
  }

  debug(message: string): void {
    this.write(7, message);
  }

  /** Bugs that were met and reported. */
  get errors(): string[] {
    return this.lines.filter(({ level }) => level <= 3).map(({ message }) => message);
  }
}

const clock: Clock = { now: () => ({ realtime: 1_700_000_000_000_000n, monotonic: 5_000_000n }) };
const pool: Pool = { path: '/var/lib/machines', usage: () => undefined, limit: () => undefined };

/** Counts the handles that its user holds: whatever ends, none may be left over. */
export class CountedProcesses implements Processes {
  openHandles = 0;
  readonly #processes: FakeProcesses;

  constructor(processes: FakeProcesses) {
    this.#processes = processes;
  }

  open(pid: number): ProcessHandle {
    return this.#count(this.#processes.open(pid));
  }

  openPidFd(fd: number): ProcessHandle {
    return this.#count(this.#processes.openPidFd(fd));
  }

  cgroupOf(pid: number): string | undefined {
    return this.#processes.cgroupOf(pid);
  }

  parentOf(pid: number): number | undefined {
    return this.#processes.parentOf(pid);
  }

  ownerOf(pid: number): UserId | undefined {
    return this.#processes.ownerOf(pid);
  }

  userMappings(pid: number): readonly IdMapping[] | undefined {
    return this.#processes.userMappings(pid);
  }

  groupMappings(pid: number): readonly IdMapping[] | undefined {
    return this.#processes.groupMappings(pid);
  }

  namespaceOf(pid: number, kind: Parameters<Processes['namespaceOf']>[1]): bigint | undefined {
    return this.#processes.namespaceOf(pid, kind);
  }

  get bootId(): string {
    return this.#processes.bootId;
  }

  get hostId(): string | undefined {
    return this.#processes.hostId;
  }

  #count(handle: ProcessHandle): ProcessHandle {
    this.openHandles++;
    let open = true;
    const dispose = handle[Symbol.dispose].bind(handle);
    handle[Symbol.dispose] = () => {
      if (open) this.openHandles--;
      open = false;
      dispose();
    };
    return handle;
  }
}

/** The host that the registry sees, and the registry. */
export class World implements Disposable {
  readonly processes: FakeProcesses;
  readonly units: FakeUnits;
  readonly store: FakeStore;
  /** The processes as the registry sees them. */
  readonly seen: CountedProcesses;
  readonly authority = new FakeAuthority();
  readonly guests = new FakeGuests();
  readonly images = new FakeImages();
  readonly terminals = new FakeTerminals(() => openSync('/dev/null', 'r+'));
  readonly commands = new FakeCommands();
  readonly files = new FakeGuestFiles(() => openSync('/', 'r'));
  readonly log = new FakeLog();
  readonly operations = new Operations();
  readonly machines: Machines;
  readonly users: Users;
  readonly inspector: MachineInspector;
  /** '+NAME' and '-NAME', as observers were told. */
  readonly events: string[] = [];

  /** With the processes, units and state files of an earlier one: the daemon was restarted. */
  constructor(before?: World) {
    this.processes = before?.processes ?? new FakeProcesses();
    this.units = before?.units ?? new FakeUnits(this.processes);
    this.store = before?.store ?? new FakeStore();
    this.seen = new CountedProcesses(this.processes);
    const { seen, units, store, authority, log } = this;
    this.machines = new Machines({ processes: seen, units, store, authority, clock, log });
    this.users = new Users(this.machines);
    this.inspector = new MachineInspector(this.users, this.guests, this.authority);
    this.machines.observe({
      machineNew: ({ name }) => void this.events.push(`+${name}`),
      machineRemoved: ({ name }) => void this.events.push(`-${name}`),
    });
  }

  /** A process in a unit of its own, which ends with it: fit to be a leader. */
  leader(unit: string, options: Parameters<FakeProcesses['spawn']>[0] = {}): number {
    const pid = this.processes.spawn(options);
    this.units.enter(unit, pid);
    return pid;
  }

  /** What the front ends are made of. */
  get services() {
    const { machines, users, inspector, seen: processes, authority, log } = this;
    const terminals = new MachineTerminals({ terminals: this.terminals, processes, authority });
    const images = new ImageCatalogue(this.images, this.images);
    const keeper = new ImageKeeper(images, this.images, authority, this.operations);
    const files = new MachineFiles(this.files, authority, machines, this.operations);
    const commands = new MachineCommands({ commands: this.commands, authority, terminals });
    const operations = new OperationDesk(this.operations, authority);
    return { machines, users, inspector, images, keeper, terminals, commands, files, operations, processes, authority, log, pool };
  }

  [Symbol.dispose](): void {
    this.machines[Symbol.dispose]();
  }
}
