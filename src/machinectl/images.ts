// What the verbs for images have in common.
import { failureOf, type ImageProperties, type Registry } from './registry.js';

/** A size or a limit that is not known, or that there is none of: org.freedesktop.machine1(5). */
export const unknownSize = 0xffff_ffff_ffff_ffffn;

/** Throws CommandFailure. */
export async function readImage(registry: Registry, name: string): Promise<ImageProperties> {
  let path;
  try {
    ({ image: path } = await registry.call('GetImage', { name }));
  } catch (error) {
    throw failureOf('Could not get path to image', error);
  }
  try {
    return await registry.imageProperties(path);
  } catch (error) {
    throw failureOf('Could not get properties', error);
  }
}
