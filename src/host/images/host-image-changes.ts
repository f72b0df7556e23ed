import { isFailure } from '../../domain/failure.js';
import type { Image } from '../../domain/image.js';
import { unwatched, type WorkControl } from '../../domain/operations.js';
import type { ImageChanges, ImageLimit, ImageUpdate } from '../../ports/images.js';
import type { Log } from '../../ports/log.js';
import type { HelperPool } from '../guests/helper-pool.js';
import { cryptography } from '../on-demand.js';
import { imageDirectories } from './host-images.js';
import type { ImageChange, ImagePlaces, ImageText } from './image-change.js';
import { mayHoldLeftovers } from './leftovers.js';

/** Those of the host. Sources: machinectl(1), systemd.nspawn(5). */
export const imagePlaces: Omit<ImagePlaces, 'instance'> = {
  directories: imageDirectories,
  pool: '/var/lib/machines',
  settings: ['/etc/systemd/nspawn', '/run/systemd/nspawn'],
  locks: '/run/systemd/nspawn/locks',
};

/** What may have kept a helper from tidying up. */
const endsOfHelpers = new Set(['EIO', 'ETIMEDOUT', 'ECANCELED']);

/**
 * Changes images in helper processes: to remove or to copy a tree takes its time. Helpers die with this process, and what
 * they have left half done is removed when the next one starts.
 */
export class HostImageChanges implements ImageChanges {
  readonly #log: Log;
  readonly #helpers: HelperPool;
  readonly #places: Omit<ImagePlaces, 'instance'>;
  #instance: string | undefined;
  #changes = 0;
  #settled: Promise<void> = Promise.resolve();

  /** The pool's owner disposes of it. */
  constructor(log: Log, helpers: HelperPool, places: Omit<ImagePlaces, 'instance'> = imagePlaces) {
    this.#log = log;
    this.#helpers = helpers;
    this.#places = places;
  }

  /**
   * Removes what earlier daemons have left half done; what cannot be removed is logged. Most often there is nothing. Changes
   * that are asked for meanwhile wait only until it has been finished or undone.
   */
  async sweep(): Promise<void> {
    const isNeeded = mayHoldLeftovers(this.#places);
    this.#settled = isNeeded.then((needed) => (needed ? this.#tidyUp('settle', null) : undefined));
    await this.#settled;
    if (await isNeeded) await this.#tidyUp('sweep', null);
  }

  async #tidyUp(kind: 'settle' | 'sweep', failed: string | null): Promise<void> {
    if (!this.#helpers.isOpen) return;
    try {
      const change: ImageChange = { kind, failed };
      await this.#helpers.dedicated('change-image', { change, places: this.#newPlaces() }, [], unwatched);
    } catch (error) {
      if (!isFailure(error, 'system')) throw error;
      if (error.errno !== 'ECANCELED') this.#log.warning(`Cannot remove what is left of earlier changes of images: ${error.message}`);
    }
  }

  remove(image: Image, { report }: Pick<WorkControl, 'report'> = unwatched): Promise<void> {
    return this.#slowly({ kind: 'remove', image: textOf(image) }, { ...unwatched, report });
  }

  clone(image: Image, newName: string, readOnly: boolean, control = unwatched): Promise<void> {
    return this.#slowly({ kind: 'clone', image: textOf(image), newName, readOnly }, control);
  }

  update(image: Image, { newName, readOnly, limit }: ImageUpdate): Promise<void> {
    const change: ImageChange = {
      kind: 'update',
      image: textOf(image),
      ...(newName !== undefined && { newName }),
      ...(readOnly !== undefined && { readOnly }),
      ...(limit !== undefined && { limit: limitText(limit) }),
    };
    return limit === undefined ? this.#quickly(change) : this.#slowly(change, unwatched);
  }

  setPoolLimit(limit: ImageLimit): Promise<void> {
    return this.#slowly({ kind: 'limit-pool', limit: limitText(limit) }, unwatched);
  }

  async #quickly(change: ImageChange): Promise<void> {
    await this.#tidily((places) => this.#helpers.ask('change-image', { change, places }));
  }

  async #slowly(change: ImageChange, control: WorkControl): Promise<void> {
    await this.#tidily((places) => this.#helpers.dedicated('change-image', { change, places }, [], control));
  }

  /** What a helper that was killed has begun is finished or undone before anybody hears of it. */
  async #tidily(work: (places: ImagePlaces) => Promise<unknown>): Promise<void> {
    await this.#settled;
    const places = this.#newPlaces();
    try {
      await work(places);
    } catch (error) {
      if (isFailure(error, 'system') && endsOfHelpers.has(error.errno ?? '')) {
        await this.#tidyUp('settle', places.instance);
        await this.#tidyUp('sweep', places.instance);
      }
      throw error;
    }
  }

  #newPlaces(): ImagePlaces {
    this.#instance ??= cryptography().randomBytes(4).toString('hex');
    return { ...this.#places, instance: `${this.#instance}.${++this.#changes}` };
  }
}

function textOf({ name, path, type }: Image): ImageText {
  return { name, path, type };
}

function limitText(limit: ImageLimit): string | null {
  return limit === 'none' ? null : String(limit);
}
