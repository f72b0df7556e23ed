import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { ProcessIdentity } from '../../domain/machine.js';
import { close } from '../kernel/libc.js';
import { openPidfd, pidfdIdOf } from '../kernel/pidfd.js';
import { errnoNameOf } from '../kernel/system-error.js';

/** More than anybody binds into one guest. The oldest are forgotten. */
const mostMounts = 4096;

/**
 * Remembers which mounts in a guest are of our making, by the kernel's ids of mounts, also over a restart: one JSON file for
 * each guest, named after the process that leads it, in a directory that nobody else writes to.
 */
export class MountRecords {
  readonly #directory: string;

  /** The directory is made when there is something to remember. */
  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Oldest first. Throws Node's errors. */
  of(leader: ProcessIdentity): readonly string[] {
    try {
      const ids = JSON.parse(readFileSync(this.#fileOf(leader), 'utf8')) as unknown;
      return Array.isArray(ids) ? ids.filter((id) => typeof id === 'string') : [];
    } catch (error) {
      if (errnoNameOf(error) === 'ENOENT' || error instanceof SyntaxError) return [];
      throw error;
    }
  }

  /** Throws Node's errors. */
  add(leader: ProcessIdentity, mount: string): void {
    this.#write(leader, [...this.of(leader), mount].slice(-mostMounts));
  }

  /** Throws Node's errors. */
  remove(leader: ProcessIdentity, mount: string): void {
    this.#write(leader, this.of(leader).filter((id) => id !== mount));
  }

  /** Throws Node's errors. */
  forget(leader: ProcessIdentity): void {
    rmSync(this.#fileOf(leader), { force: true });
  }

  /** Forgets the guests that have ended while nobody watched. Throws Node's errors. */
  sweep(): void {
    for (const name of namesIn(this.#directory)) {
      const [pid, pidfdId] = name.split('-');
      if (!isThere(Number(pid), pidfdId)) rmSync(path.join(this.#directory, name));
    }
  }

  #write(leader: ProcessIdentity, mounts: readonly string[]): void {
    if (mounts.length === 0) return this.forget(leader);
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    const file = this.#fileOf(leader);
    writeFileSync(`${file}.new`, JSON.stringify(mounts), { mode: 0o600 });
    renameSync(`${file}.new`, file);
  }

  #fileOf({ pid, pidfdId }: ProcessIdentity): string {
    return path.join(this.#directory, pidfdId === undefined ? String(pid) : `${pid}-${pidfdId}`);
  }
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (errnoNameOf(error) === 'ENOENT') return [];
    throw error;
  }
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
