import type { IdMapping, UserId } from '../domain/users.js';
import type { ProcessIdentity } from '../domain/machine.js';

/**
 * A hold on one process, by pidfd: it cannot come to mean another process when the PID is reused. Disposing lets go of
 * the hold (and of every watch made through it), never touches the process.
 */
export interface ProcessHandle extends Disposable {
  readonly identity: ProcessIdentity;
  /** The pidfd, which this handle owns; undefined only in fakes. */
  readonly pidfd: number | undefined;
  /** Whether it still runs; a zombie does not. */
  isAlive(): boolean;
  /** Throws Failure 'system' (ESRCH when it has ended, EPERM). `signal` is 1 … 64. */
  signal(signal: number): void;
  /** Calls back once, in a later turn of the loop, when it has ended; at once in the next turn if it already has. */
  onExit(callback: () => void): Disposable;
}

/** Looks at processes of the host: pidfds and /proc/PID. All of it is synchronous, and never walks a process's own files. */
export interface Processes {
  /** Throws Failure 'system' with errno ESRCH if there is no such process; a zombie may be one. */
  open(pid: number): ProcessHandle;
  /**
   * Takes a pidfd that a client sent; duplicates it. `pid` is only given where the kernel itself has said whose it is, and
   * spares looking that up. Throws Failure 'system' (EBADF) if it is no pidfd, ESRCH if it has ended.
   */
  openPidFd(fd: number, pid?: number): ProcessHandle;
  /** The process's cgroup in the cgroup v2 tree, '/…' from its root; undefined if it has ended. */
  cgroupOf(pid: number): string | undefined;
  /** 0 for a process without a parent in view; undefined if it has ended. */
  parentOf(pid: number): number | undefined;
  /** The effective uid; undefined if it has ended. */
  ownerOf(pid: number): UserId | undefined;
  /** /proc/PID/uid_map, as seen from the host; undefined if it has ended. */
  userMappings(pid: number): readonly IdMapping[] | undefined;
  groupMappings(pid: number): readonly IdMapping[] | undefined;
  /** Inode of a namespace of the process; undefined if it has ended or may not be looked at. */
  namespaceOf(pid: number, kind: 'user' | 'net' | 'mnt' | 'pid' | 'cgroup'): bigint | undefined;
  /** 32 hexadecimal digits. */
  readonly bootId: string;
  /** The host's machine id, 32 hexadecimal digits, or undefined where /etc/machine-id has none. */
  readonly hostId: string | undefined;
}
