import type { Image } from '../domain/image.js';

/**
 * The images of this host, as they are at the moment of the call. `.host` is always there; of several images with one
 * name there is only the first. What cannot be looked at is left out, and never keeps others from being found.
 */
export interface Images {
  /** In the order of their names. Resolves soon, however many there are, and lets others work in between. */
  list(): Promise<readonly Image[]>;
  /** Whatever text it is given; what is no image name is not found. 'x.raw' finds that file even if it is listed as 'x'. */
  find(name: string): Image | undefined;
}
