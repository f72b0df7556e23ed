import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { errnoNameOf } from '../kernel/system-error.js';

/**
 * JSON files in a directory that nobody else writes to, on a file system that does not outlive the boot. The directory is made
 * when there is something to keep. All methods throw Node's errors.
 */
export class RecordDirectory {
  readonly #directory: string;
  /** The names of files that may be there, once somebody has asked: machines end far more often than they have records. */
  #known: Set<string> | undefined;

  constructor(directory: string) {
    this.#directory = directory;
  }

  names(): readonly string[] {
    try {
      return readdirSync(this.#directory);
    } catch (error) {
      if (errnoNameOf(error) === 'ENOENT') return [];
      throw error;
    }
  }

  /** undefined if it is not there, or was not written by us. */
  read(name: string): unknown {
    try {
      return JSON.parse(readFileSync(path.join(this.#directory, name), 'utf8'));
    } catch (error) {
      if (errnoNameOf(error) === 'ENOENT' || error instanceof SyntaxError) return undefined;
      throw error;
    }
  }

  write(name: string, content: object): void {
    this.#names().add(name);
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    const file = path.join(this.#directory, name);
    writeFileSync(`${file}.new`, JSON.stringify(content), { mode: 0o600 });
    renameSync(`${file}.new`, file);
  }

  remove(name: string): void {
    const known = this.#names();
    if (!known.has(name)) return;
    rmSync(path.join(this.#directory, name), { force: true });
    known.delete(name);
  }

  #names(): Set<string> {
    return (this.#known ??= new Set(this.names()));
  }
}
