import { setImmediate } from 'node:timers/promises';
import { hostImageName, type Image } from '../../domain/image.js';
import type { Images } from '../../ports/images.js';
import type { Log } from '../../ports/log.js';
import { readFileStatus } from '../kernel/file-status.js';
import { errnoNameOf } from '../kernel/system-error.js';
import { describeImage } from './describe.js';
import type { FoundImage } from './image-file.js';
import { SearchDirectory, type FoundFiles } from './search-directory.js';

/** Images in an earlier one hide those of the same name in a later one. Source: machinectl(1), "Files and directories". */
export const imageDirectories = [
  '/etc/machines',
  '/run/machines',
  '/var/lib/machines',
  '/var/lib/container',
  '/usr/local/lib/machines',
  '/usr/lib/machines',
] as const;

/** Files that are looked at before others get their turn: a millisecond's work, or three for subvolumes. */
const filesAtOnce = 128;

/**
 * Images in directories of the host, which only its administrator can write to. Whatever cannot be looked at is no
 * image, and hides none.
 */
export class HostImages implements Images {
  readonly #log: Log;
  readonly #directories: readonly SearchDirectory[];
  readonly #hasHost: boolean;

  /** `hasHost`: the host's own tree is an image, too: `.host`. */
  constructor(log: Log, directories: readonly string[] = imageDirectories, hasHost = true) {
    this.#log = log;
    this.#hasHost = hasHost;
    this.#directories = directories.map((path) => new SearchDirectory(path));
  }

  find(name: string): Image | undefined {
    for (const directory of this.#directories) {
      for (const file of this.#attempt(() => directory.filesOfName(name)) ?? []) {
        const found = this.#attempt(() => file.look());
        if (found !== undefined) return found.image;
      }
    }
    return this.#hasHost && name === hostImageName ? describeHost() : undefined;
  }

  async list(): Promise<readonly Image[]> {
    const images = new Map<string, Image>();
    for (const directory of this.#directories) {
      const found = this.#attempt(() => directory.files());
      if (found === undefined) continue;
      for (const [name, { image }] of await this.#lookAtAll(found)) {
        if (!images.has(name)) images.set(name, image);
      }
    }
    if (this.#hasHost && !images.has(hostImageName)) images.set(hostImageName, describeHost());
    return [...images.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** By name. */
  async #lookAtAll({ files, inReadOnlyPlace }: FoundFiles): Promise<ReadonlyMap<string, FoundImage>> {
    const best = new Map<string, FoundImage>();
    let looked = 0;
    for (const file of files) {
      if (++looked % filesAtOnce === 0) await setImmediate();
      const found = this.#attempt(() => file.look(inReadOnlyPlace));
      if (found === undefined) continue;
      const { name, form } = found.entry;
      const other = best.get(name);
      if (other === undefined || form.precedence < other.entry.form.precedence) best.set(name, found);
    }
    return best;
  }

  #attempt<T>(look: () => T): T | undefined {
    try {
      return look();
    } catch (error) {
      if (errnoNameOf(error) === undefined) throw error;
      this.#log.debug(`No image: ${(error as Error).message}`);
      return undefined;
    }
  }
}

function describeHost(): Image {
  const status = readFileStatus('/', 'follow');
  if (status === undefined) throw new Error('there is no root directory');
  return describeImage(hostImageName, '/', status, false).image;
}
