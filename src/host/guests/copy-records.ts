import type { CopyRequest } from '../../ports/guest-files.js';
import type { LeaderText } from './protocol.js';
import { RecordDirectory } from './record-directory.js';
import { copyNamePattern } from './copy-name.js';

/** A copy, and what it calls whatever is not complete. */
export interface CopyRecord {
  readonly leader: LeaderText;
  readonly copy: CopyRequest;
  readonly temporary: string;
}

/**
 * Remembers the copies that are under way, so that what is left of them can be found if this process does not live to see
 * their end. All methods throw Node's errors.
 */
export class CopyRecords {
  readonly #files: RecordDirectory;

  constructor(directory: string) {
    this.#files = new RecordDirectory(directory);
  }

  all(): readonly CopyRecord[] {
    const names = this.#files.names().filter((name) => copyNamePattern.test(name));
    return names.flatMap((name) => (this.#files.read(name) as CopyRecord | undefined) ?? []);
  }

  add(record: CopyRecord): void {
    this.#files.write(record.temporary, record);
  }

  remove({ temporary }: CopyRecord): void {
    this.#files.remove(temporary);
  }
}
