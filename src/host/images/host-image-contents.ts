import { isFailure, systemFailure } from '../../domain/failure.js';
import type { Image } from '../../domain/image.js';
import type { ImageContents, ImageMetadata } from '../../ports/images.js';
import type { HelperPool } from '../guests/helper-pool.js';
import { imagePlaces } from './host-image-changes.js';

/** Looks into images in helper processes: a file system can keep whoever walks its paths waiting. */
export class HostImageContents implements ImageContents {
  readonly #helpers: HelperPool;
  readonly #locks: string;

  /** The pool's owner disposes of it. `locks`: where systemd-nspawn locks what it runs. */
  constructor(helpers: HelperPool, locks = imagePlaces.locks) {
    this.#helpers = helpers;
    this.#locks = locks;
  }

  async metadata({ name, path, type }: Image): Promise<ImageMetadata> {
    // as with systemd-machined: what is in a stack is only known when it has been put together
    if (type === 'mstack') throw systemFailure('EOPNOTSUPP', 'Failed to read image metadata: Operation not supported');
    const { hostname, machineId, machineInfo, osRelease } = await this.#ask({ name, path, type });
    return {
      hostname: hostname ?? undefined,
      machineId: machineId ?? undefined,
      machineInfo: new Map(machineInfo),
      osRelease: new Map(osRelease),
    };
  }

  async #ask(image: Pick<Image, 'name' | 'path' | 'type'>) {
    try {
      return (await this.#helpers.ask('image-metadata', { image, locks: this.#locks })).output;
    } catch (error) {
      if (!isFailure(error, 'system')) throw error;
      throw systemFailure(error.errno ?? 'EIO', `Failed to read image metadata: ${error.message}`, error);
    }
  }
}
