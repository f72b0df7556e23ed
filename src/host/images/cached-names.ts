import { readdirSync } from 'node:fs';
import { readFileStatus, type FileStatus } from '../kernel/file-status.js';

/**
 * In µs. A file system's clock may stand still for some milliseconds: a directory that changed just before it was read
 * may change again without a trace.
 */
const settlingTime = 100_000n;

/** The names in a directory; they are only read if it has changed. */
export class CachedNames {
  readonly path: string;
  #status: FileStatus | undefined;
  #names: readonly string[] = [];

  constructor(path: string) {
    this.path = path;
  }

  /** None if there is no such directory. The same array as before, if nothing changed. Throws what the system says. */
  read(): readonly string[] {
    const status = readFileStatus(this.path, 'follow');
    if (status !== undefined && this.#status?.equals(status) === true) return this.#names;
    this.#status = undefined;
    this.#names = status?.kind === 'directory' ? readdirSync(this.path) : [];
    const isSettled = status !== undefined && status.changed < BigInt(Date.now()) * 1000n - settlingTime;
    if (isSettled) this.#status = status;
    return this.#names;
  }
}
