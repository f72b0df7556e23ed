import { checkImageName, type Image } from '../../domain/image.js';
import type { Authority } from '../../ports/authority.js';
import type { ImageCatalogue } from '../../service/images.js';
import { refuseForImage } from '../../service/unavailable.js';
import type { IncomingCall } from './incoming.js';

// Handlers of methods that are declared but cannot be carried out by this version.

interface Services {
  readonly images: ImageCatalogue;
  readonly authority: Authority;
}

/** A method of the Manager about an image that is named. */
export function unavailableForNamedImage({ images, authority }: Pick<Services, 'images' | 'authority'>) {
  return (_: unknown, { name }: { readonly name: string }, call: IncomingCall): Promise<never> =>
    refuseForImage(authority, call, images.byName(checkImageName(name)).name);
}

/** A method of an image's object. */
export function unavailableForImage({ authority }: Pick<Services, 'authority'>) {
  return (image: Image, _: unknown, call: IncomingCall): Promise<never> => refuseForImage(authority, call, image.name);
}
