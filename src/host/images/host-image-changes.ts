import { randomBytes } from 'node:crypto';
import { isFailure } from '../../domain/failure.js';
import type { Image } from '../../domain/image.js';
import { unwatched, type WorkControl } from '../../domain/operations.js';
import type { ImageChanges } from '../../ports/images.js';
import type { Log } from '../../ports/log.js';
import type { HelperPool } from '../guests/helper-pool.js';
import { imageDirectories } from './host-images.js';
import type { ImageChange, ImagePlaces, ImageText } from './image-change.js';

/** Those of the host. Sources: machinectl(1), systemd.nspawn(5). */
export const imagePlaces: Omit<ImagePlaces, 'instance'> = {
  directories: imageDirectories,
  pool: '/var/lib/machines',
  settings: ['/etc/systemd/nspawn', '/run/systemd/nspawn'],
  locks: '/run/systemd/nspawn/locks',
};

/**
 * Changes images in helper processes: to remove or to copy a tree takes its time. Helpers die with this process, and what
 * they have left half done is removed when the next one starts.
 */
export class HostImageChanges implements ImageChanges {
  readonly #log: Log;
  readonly #helpers: HelperPool;
  readonly #places: ImagePlaces;

  /** The pool's owner disposes of it. */
  constructor(log: Log, helpers: HelperPool, places: Omit<ImagePlaces, 'instance'> = imagePlaces) {
    this.#log = log;
    this.#helpers = helpers;
    this.#places = { ...places, instance: randomBytes(4).toString('hex') };
  }

  /** Removes what earlier daemons have left half done; what cannot be removed is logged. */
  async sweep(): Promise<void> {
    try {
      await this.#slowly({ kind: 'sweep' }, unwatched);
    } catch (error) {
      if (!isFailure(error, 'system')) throw error;
      if (error.errno !== 'ECANCELED') this.#log.warning(`Cannot remove what is left of earlier changes of images: ${error.message}`);
    }
  }

  remove(image: Image, { report }: Pick<WorkControl, 'report'> = unwatched): Promise<void> {
    return this.#slowly({ kind: 'remove', image: textOf(image) }, { ...unwatched, report });
  }

  rename(image: Image, newName: string): Promise<void> {
    return this.#quickly({ kind: 'rename', image: textOf(image), newName });
  }

  clone(image: Image, newName: string, readOnly: boolean, control = unwatched): Promise<void> {
    return this.#slowly({ kind: 'clone', image: textOf(image), newName, readOnly }, control);
  }

  markReadOnly(image: Image, readOnly: boolean): Promise<void> {
    return this.#quickly({ kind: 'mark-read-only', image: textOf(image), readOnly });
  }

  setLimit(image: Image, limit: bigint | undefined): Promise<void> {
    return this.#quickly({ kind: 'limit', image: textOf(image), limit: limitText(limit) });
  }

  setPoolLimit(limit: bigint | undefined): Promise<void> {
    return this.#quickly({ kind: 'limit-pool', limit: limitText(limit) });
  }

  async #quickly(change: ImageChange): Promise<void> {
    await this.#helpers.ask('change-image', { change, places: this.#places });
  }

  async #slowly(change: ImageChange, control: WorkControl): Promise<void> {
    await this.#helpers.dedicated('change-image', { change, places: this.#places }, [], control);
  }
}

function textOf({ name, path, type }: Image): ImageText {
  return { name, path, type };
}

function limitText(limit: bigint | undefined): string | null {
  return limit === undefined ? null : String(limit);
}
