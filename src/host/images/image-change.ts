// What the daemon and its helpers say to each other about changes of images: plain JSON.
import type { ImageType } from '../../domain/image.js';

/** What has to be known of an image to change it. */
export interface ImageText {
  readonly name: string;
  /** Free of symbolic links. */
  readonly path: string;
  readonly type: ImageType;
}

export type ImageChange =
  | { readonly kind: 'remove'; readonly image: ImageText }
  | { readonly kind: 'rename'; readonly image: ImageText; readonly newName: string }
  | { readonly kind: 'clone'; readonly image: ImageText; readonly newName: string; readonly readOnly: boolean }
  | { readonly kind: 'mark-read-only'; readonly image: ImageText; readonly readOnly: boolean }
  /** In decimal bytes; null is none. */
  | { readonly kind: 'limit'; readonly image: ImageText; readonly limit: string | null }
  | { readonly kind: 'limit-pool'; readonly limit: string | null }
  /** Removes what earlier daemons left half done. */
  | { readonly kind: 'sweep' };

/** Where images and what belongs to them are. */
export interface ImagePlaces {
  /** Those that images are looked for in. */
  readonly directories: readonly string[];
  /** The one that new images go to. */
  readonly pool: string;
  /** Those that have NAME.nspawn, systemd.nspawn(5). */
  readonly settings: readonly string[];
  /** Where systemd-nspawn locks what it runs. */
  readonly locks: string;
  /** Part of the names of what is on its way, which no other daemon's have. */
  readonly instance: string;
}
