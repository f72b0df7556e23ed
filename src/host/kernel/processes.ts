import { statSync } from 'node:fs';
import type { ProcessIdentity } from '../../domain/machine.js';
import type { IdMapping, UserId } from '../../domain/users.js';
import type { ProcessHandle, Processes } from '../../ports/processes.js';
import { EPOLLIN, eventHub, type Watch } from './event-loop.js';
import { check, close, duplicate, pidfdSendSignal } from './libc.js';
import { isPidfdAlive, openPidfd, pidfdIdOf, pidOfPidfd } from './pidfd.js';
import { readProcFile } from './proc-file.js';
import { errnoNameOf, errnos, failureOf, SystemError } from './system-error.js';

/** The processes of this host, by pidfd and /proc. */
export class KernelProcesses implements Processes {
  readonly bootId: string;
  readonly hostId: string | undefined;

  constructor() {
    this.bootId = (readProcFile('/proc/sys/kernel/random/boot_id') ?? '').trim().replaceAll('-', '');
    this.hostId = parseMachineId(readProcFile('/etc/machine-id'));
  }

  open(pid: number): ProcessHandle {
    try {
      return new PidfdHandle(openPidfd(pid), pid);
    } catch (error) {
      throw failureOf(error, `Cannot open process ${pid}`);
    }
  }

  openPidFd(fd: number, pid?: number): ProcessHandle {
    try {
      const known = pid ?? pidOfPidfd(fd);
      if (!isPidfdAlive(fd)) throw new SystemError(errnos.ESRCH, 'pidfd');
      return new PidfdHandle(duplicate(fd), known);
    } catch (error) {
      throw failureOf(error, 'Cannot use the process file descriptor');
    }
  }

  cgroupOf(pid: number): string | undefined {
    const text = readProcFile(`/proc/${pid}/cgroup`);
    return text === undefined ? undefined : parseCgroup(text);
  }

  parentOf(pid: number): number | undefined {
    const text = readProcFile(`/proc/${pid}/stat`);
    return text === undefined ? undefined : parseParent(text);
  }

  ownerOf(pid: number): UserId | undefined {
    const effective = /^Uid:\t[0-9]+\t([0-9]+)/m.exec(readProcFile(`/proc/${pid}/status`) ?? '')?.[1];
    return effective === undefined ? undefined : Number(effective);
  }

  userMappings(pid: number): readonly IdMapping[] | undefined {
    const text = readProcFile(`/proc/${pid}/uid_map`);
    return text === undefined ? undefined : parseIdMappings(text);
  }

  groupMappings(pid: number): readonly IdMapping[] | undefined {
    const text = readProcFile(`/proc/${pid}/gid_map`);
    return text === undefined ? undefined : parseIdMappings(text);
  }

  namespaceOf(pid: number, kind: 'user' | 'net' | 'mnt' | 'pid' | 'cgroup'): bigint | undefined {
    try {
      return statSync(`/proc/${pid}/ns/${kind}`, { bigint: true }).ino;
    } catch (error) {
      const code = errnoNameOf(error);
      if (code === 'ENOENT' || code === 'ESRCH' || code === 'EACCES' || code === 'EPERM') return undefined;
      throw error;
    }
  }
}

/**
 * The path in the cgroup v2 tree from /proc/PID/cgroup (cgroups(7)). Where that tree is not mounted at all, systemd's own
 * v1 hierarchy has the same layout. A cgroup that was removed under its process is named by where it was.
 */
export function parseCgroup(text: string): string {
  const path = /^0::(.*)$/m.exec(text)?.[1] ?? /^[0-9]+:name=systemd:(.*)$/m.exec(text)?.[1] ?? '/';
  return path.endsWith(removedMark) ? path.slice(0, -removedMark.length) : path;
}
const removedMark = ' (deleted)';

/** The parent's PID from /proc/PID/stat (proc_pid_stat(5)): the second field after the name, which may hold anything. */
export function parseParent(text: string): number | undefined {
  const parent = text.slice(text.lastIndexOf(')') + 2).split(' ', 2)[1];
  return parent === undefined ? undefined : Number(parent);
}

/** /proc/PID/uid_map or gid_map (user_namespaces(7)). */
export function parseIdMappings(text: string): IdMapping[] {
  const mappings: IdMapping[] = [];
  for (const line of text.split('\n')) {
    const [inside, outside, count] = line.trim().split(/\s+/).map(Number);
    if (inside !== undefined && outside !== undefined && count !== undefined) mappings.push({ inside, outside, count });
  }
  return mappings;
}

/** The id in machine-id(5)'s file; undefined for 'uninitialized', an empty or a damaged one. */
export function parseMachineId(text: string | undefined): string | undefined {
  const id = text?.trim() ?? '';
  return /^[0-9a-f]{32}$/.test(id) && !/^0+$/.test(id) ? id : undefined;
}

/** Owns the pidfd. All callbacks share one watch: a descriptor can be in an epoll set once. */
class PidfdHandle implements ProcessHandle {
  readonly identity: ProcessIdentity;
  readonly pidfd: number;
  readonly #callbacks = new Set<{ readonly call: () => void }>();
  #watch: Watch | undefined;
  #open = true;

  constructor(pidfd: number, pid: number) {
    this.pidfd = pidfd;
    this.identity = { pid, pidfdId: pidfdIdOf(pidfd) };
  }

  isAlive(): boolean {
    this.#assertOpen();
    return isPidfdAlive(this.pidfd);
  }

  signal(signal: number): void {
    this.#assertOpen();
    if (!Number.isInteger(signal) || signal < 1 || signal > 64) throw new RangeError(`${signal} is no signal`);
    try {
      check(pidfdSendSignal(this.pidfd, signal), 'pidfd_send_signal');
    } catch (error) {
      throw failureOf(error, `Cannot send signal ${signal} to process ${this.identity.pid}`);
    }
  }

  onExit(callback: () => void): Disposable {
    this.#assertOpen();
    const entry = { call: callback };
    this.#callbacks.add(entry);
    this.#watch ??= eventHub().watch(this.pidfd, EPOLLIN, () => this.#onExit());
    return {
      [Symbol.dispose]: () => {
        this.#callbacks.delete(entry);
        if (this.#callbacks.size === 0) this.#unwatch();
      },
    };
  }

  [Symbol.dispose](): void {
    if (!this.#open) return;
    this.#open = false;
    this.#callbacks.clear();
    this.#unwatch();
    close(this.pidfd);
  }

  /** A pidfd stays readable for good: the watch ends first. A callback may dispose of the others, or of all this. */
  #onExit(): void {
    this.#unwatch();
    for (const entry of this.#callbacks) {
      this.#callbacks.delete(entry);
      entry.call();
    }
  }

  #unwatch(): void {
    this.#watch?.[Symbol.dispose]();
    this.#watch = undefined;
  }

  #assertOpen(): void {
    if (!this.#open) throw new Error(`the handle of process ${this.identity.pid} has been disposed of`);
  }
}
