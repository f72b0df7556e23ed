import { systemFailure } from '../../domain/failure.js';
import type { ProcessIdentity } from '../../domain/machine.js';
import type { IdMapping, UserId } from '../../domain/users.js';
import type { ProcessHandle, Processes } from '../processes.js';

type NamespaceKind = Parameters<Processes['namespaceOf']>[1];

export interface FakeProcessOptions {
  /** A PID that is free; the next one unless given. */
  readonly pid?: number;
  readonly parent?: number;
  readonly owner?: UserId;
  readonly cgroup?: string;
  readonly userMappings?: readonly IdMapping[];
  readonly groupMappings?: readonly IdMapping[];
  /** Those not named are the host's. */
  readonly namespaces?: Partial<Record<NamespaceKind, bigint>>;
}

interface FakeProcess {
  readonly identity: ProcessIdentity;
  parent: number;
  cgroup: string;
  readonly owner: UserId;
  readonly userMappings: readonly IdMapping[];
  readonly groupMappings: readonly IdMapping[];
  readonly namespaces: Readonly<Record<NamespaceKind, bigint>>;
  readonly exitCallbacks: Set<{ readonly call: () => void }>;
  alive: boolean;
}

const init = 1;
const wholeRange: readonly IdMapping[] = [{ inside: 0, outside: 0, count: 0xffffffff }];
const hostNamespaces = { user: 1n, net: 2n, mnt: 3n, pid: 4n, cgroup: 5n };
const fatalSignals = new Set([2, 9, 15]);

/** A process table in memory, with PID 1 in it. A process that exits is gone at once: there are no zombies here. */
export class FakeProcesses implements Processes {
  readonly bootId = 'b0070000000000000000000000000001';
  readonly hostId: string | undefined = '40570000000000000000000000000001';
  /** Signals that were sent, in order; SIGINT, SIGTERM and SIGKILL ended their process as well. */
  readonly signals: { readonly pid: number; readonly signal: number }[] = [];
  readonly #processes = new Map<number, FakeProcess>();
  readonly #descriptors = new Map<number, FakeProcess>();
  #lastPid = 1000;
  #lastPidfdId = 7000n;
  #lastDescriptor = 500;

  constructor() {
    this.spawn({ pid: init, parent: 0, cgroup: '/init.scope' });
  }

  /** Starts a process and returns its PID. */
  spawn(options: FakeProcessOptions = {}): number {
    const pid = options.pid ?? ++this.#lastPid;
    if (this.#processes.has(pid)) throw new Error(`there is a process ${pid} already`);
    this.#processes.set(pid, {
      identity: { pid, pidfdId: ++this.#lastPidfdId },
      parent: options.parent ?? init,
      owner: options.owner ?? 0,
      cgroup: options.cgroup ?? '/',
      userMappings: options.userMappings ?? wholeRange,
      groupMappings: options.groupMappings ?? wholeRange,
      namespaces: { ...hostNamespaces, ...options.namespaces },
      exitCallbacks: new Set(),
      alive: true,
    });
    return pid;
  }

  /** Ends a process; its children become PID 1's. */
  exit(pid: number): void {
    const process = this.#require(pid);
    process.alive = false;
    this.#processes.delete(pid);
    for (const child of this.#processes.values()) if (child.parent === pid) child.parent = init;
    for (const callback of process.exitCallbacks) callLater(process, callback);
  }

  reparent(pid: number, parent: number): void {
    this.#require(pid).parent = parent;
  }

  setCgroup(pid: number, cgroup: string): void {
    this.#require(pid).cgroup = cgroup;
  }

  /** A number that openPidFd takes for this very process, as if a client had sent it. */
  pidFdOf(pid: number): number {
    this.#descriptors.set(++this.#lastDescriptor, this.#require(pid));
    return this.#lastDescriptor;
  }

  open(pid: number): ProcessHandle {
    const process = this.#processes.get(pid);
    if (process === undefined) throw systemFailure('ESRCH', `There is no process ${pid}`);
    return new FakeHandle(this, process);
  }

  openPidFd(fd: number): ProcessHandle {
    const process = this.#descriptors.get(fd);
    if (process === undefined) throw systemFailure('EBADF', `Descriptor ${fd} is no pidfd`);
    if (!process.alive) throw systemFailure('ESRCH', `Process ${process.identity.pid} has ended`);
    return new FakeHandle(this, process);
  }

  cgroupOf(pid: number): string | undefined {
    return this.#processes.get(pid)?.cgroup;
  }

  parentOf(pid: number): number | undefined {
    return this.#processes.get(pid)?.parent;
  }

  ownerOf(pid: number): UserId | undefined {
    return this.#processes.get(pid)?.owner;
  }

  userMappings(pid: number): readonly IdMapping[] | undefined {
    return this.#processes.get(pid)?.userMappings;
  }

  groupMappings(pid: number): readonly IdMapping[] | undefined {
    return this.#processes.get(pid)?.groupMappings;
  }

  namespaceOf(pid: number, kind: NamespaceKind): bigint | undefined {
    return this.#processes.get(pid)?.namespaces[kind];
  }

  #require(pid: number): FakeProcess {
    const process = this.#processes.get(pid);
    if (process === undefined) throw new Error(`there is no process ${pid}`);
    return process;
  }
}

/** As a pidfd would: once, in a later turn, and not if it has been disposed of by then. */
function callLater(process: FakeProcess, callback: { readonly call: () => void }): void {
  setImmediate(() => {
    if (process.exitCallbacks.delete(callback)) callback.call();
  });
}

class FakeHandle implements ProcessHandle {
  readonly pidfd = undefined;
  readonly identity: ProcessIdentity;
  readonly #table: FakeProcesses;
  readonly #process: FakeProcess;
  readonly #own = new Set<{ readonly call: () => void }>();
  #open = true;

  constructor(table: FakeProcesses, process: FakeProcess) {
    this.#table = table;
    this.#process = process;
    this.identity = process.identity;
  }

  isAlive(): boolean {
    this.#assertOpen();
    return this.#process.alive;
  }

  signal(signal: number): void {
    this.#assertOpen();
    if (!Number.isInteger(signal) || signal < 1 || signal > 64) throw new RangeError(`${signal} is no signal`);
    const { pid } = this.identity;
    if (!this.#process.alive) throw systemFailure('ESRCH', `Process ${pid} has ended`);
    this.#table.signals.push({ pid, signal });
    if (fatalSignals.has(signal)) this.#table.exit(pid);
  }

  onExit(callback: () => void): Disposable {
    this.#assertOpen();
    const entry = { call: callback };
    this.#own.add(entry);
    this.#process.exitCallbacks.add(entry);
    if (!this.#process.alive) callLater(this.#process, entry);
    return { [Symbol.dispose]: () => void this.#process.exitCallbacks.delete(entry) };
  }

  [Symbol.dispose](): void {
    this.#open = false;
    for (const entry of this.#own) this.#process.exitCallbacks.delete(entry);
    this.#own.clear();
  }

  #assertOpen(): void {
    if (!this.#open) throw new Error(`the handle of process ${this.identity.pid} has been disposed of`);
  }
}
