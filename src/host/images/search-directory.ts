import { realpathSync } from 'node:fs';
import { entriesOfName, readEntryName } from '../../domain/image-entry.js';
import { errnoNameOf } from '../kernel/system-error.js';
import { readFileStatus } from '../kernel/file-status.js';
import { CachedNames } from './cached-names.js';
import { isReadOnlyPlace } from './describe.js';
import { ImageFile } from './image-file.js';

export interface FoundFiles {
  /** What isReadOnlyPlace says of their directory. */
  readonly inReadOnlyPlace: boolean;
  readonly files: Iterable<ImageFile>;
}

const noFiles: FoundFiles = { inReadOnlyPlace: false, files: [] };

/** A directory that images are looked for in; it need not be there. */
export class SearchDirectory {
  readonly #path: string;
  #names: CachedNames | undefined;
  #filesOf: readonly string[] | undefined;
  #files = new Map<string, ImageFile>();

  constructor(path: string) {
    this.#path = path;
  }

  /** Everything in it that may be an image. Throws what the system says. */
  files(): FoundFiles {
    const directory = this.#realPath();
    if (directory === undefined) return noFiles;
    if (this.#names?.path !== directory) {
      this.#names = new CachedNames(directory);
      this.#files = new Map();
    }
    const names = this.#names.read();
    if (names !== this.#filesOf) this.#files = this.#filesFor(directory, names);
    this.#filesOf = names;
    return { inReadOnlyPlace: isReadOnlyPlace(directory), files: this.#files.values() };
  }

  /** What may be the image of that name, best first. Throws what the system says. */
  filesOfName(name: string): readonly ImageFile[] {
    const directory = this.#realPath();
    if (directory === undefined) return [];
    return entriesOfName(name).map((entry) => new ImageFile(directory, entry.file, [entry]));
  }

  /** Files that are still there stay the same objects, which remember what they have found. */
  #filesFor(directory: string, names: readonly string[]): Map<string, ImageFile> {
    const files = new Map<string, ImageFile>();
    for (const file of names) {
      const entries = readEntryName(file);
      if (entries.length > 0) files.set(file, this.#files.get(file) ?? new ImageFile(directory, file, entries));
    }
    return files;
  }

  /** Undefined if it is not there. */
  #realPath(): string | undefined {
    if (readFileStatus(this.#path, 'follow') === undefined) return undefined; // most are not there: that is no error
    try {
      return realpathSync.native(this.#path);
    } catch (error) {
      if (['ENOENT', 'ENOTDIR', 'ELOOP'].includes(errnoNameOf(error) ?? '')) return undefined;
      throw error;
    }
  }
}
