import { Failure, systemFailure } from '../domain/failure.js';
import { isImageName, type Image } from '../domain/image.js';
import { canBeFile } from '../domain/image-entry.js';
import type { ImageContents, ImageMetadata, Images } from '../ports/images.js';

/** Knows the images that machines can be started from. Anybody may ask. */
export class ImageCatalogue {
  readonly #images: Images;
  readonly #contents: ImageContents;

  constructor(images: Images, contents: ImageContents) {
    this.#images = images;
    this.#contents = contents;
  }

  /** Throws Failure 'system' (EINVAL) if the name is too long for an image of one form or another. */
  find(name: string): Image | undefined {
    if (isImageName(name) && !canBeFile(name)) throw systemFailure('EINVAL', 'Invalid argument');
    return this.#images.find(name);
  }

  /** Throws Failure 'no-such-image', also if `name` is not one that an image can have, and 'system' as `find`. */
  byName(name: string): Image {
    const image = this.find(name);
    if (image === undefined) throw new Failure('no-such-image', `No image '${name}' known`);
    return image;
  }

  /** In the order of their names, `.host` and other hidden ones among them. */
  list(): Promise<readonly Image[]> {
    return this.#images.list();
  }

  /** What it says of itself. Throws Failure 'system': see ImageContents. */
  metadata(image: Image): Promise<ImageMetadata> {
    return this.#contents.metadata(image);
  }
}
