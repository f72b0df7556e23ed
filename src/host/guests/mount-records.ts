import type { ProcessIdentity } from '../../domain/machine.js';
import { close } from '../kernel/libc.js';
import { openPidfd, pidfdIdOf } from '../kernel/pidfd.js';
import { errnoNameOf } from '../kernel/system-error.js';
import { RecordDirectory } from './record-directory.js';

/** More than anybody binds into one guest. The oldest are forgotten. */
const mostMounts = 4096;

/**
 * Remembers which mounts in a guest are of our making, by the kernel's ids of mounts, also over a restart: in one file for each
 * guest, named after the process that leads it. All methods throw Node's errors.
 */
export class MountRecords {
  readonly #files: RecordDirectory;

  constructor(directory: string) {
    this.#files = new RecordDirectory(directory);
  }

  /** Oldest first. */
  of(leader: ProcessIdentity): readonly string[] {
    const ids = this.#files.read(nameOf(leader));
    return Array.isArray(ids) ? ids.filter((id) => typeof id === 'string') : [];
  }

  add(leader: ProcessIdentity, mount: string): void {
    this.#files.write(nameOf(leader), [...this.of(leader), mount].slice(-mostMounts));
  }

  remove(leader: ProcessIdentity, mount: string): void {
    const others = this.of(leader).filter((id) => id !== mount);
    if (others.length === 0) this.forget(leader);
    else this.#files.write(nameOf(leader), others);
  }

  forget(leader: ProcessIdentity): void {
    this.#files.remove(nameOf(leader));
  }

  /** Forgets the guests that have ended while nobody watched. */
  sweep(): void {
    for (const name of this.#files.names()) {
      const [pid, pidfdId] = name.split('-');
      if (!isThere(Number(pid), pidfdId)) this.#files.remove(name);
    }
  }
}

function nameOf({ pid, pidfdId }: ProcessIdentity): string {
  return pidfdId === undefined ? String(pid) : `${pid}-${pidfdId}`;
}

function isThere(pid: number, pidfdId: string | undefined): boolean {
  let pidfd: number;
  try {
    pidfd = openPidfd(pid);
  } catch (error) {
    if (errnoNameOf(error) === 'ESRCH') return false;
    throw error;
  }
  try {
    return pidfdId === undefined || String(pidfdIdOf(pidfd)) === pidfdId;
  } finally {
    close(pidfd);
  }
}
