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
  | { readonly kind: 'clone'; readonly image: ImageText; readonly newName: string; readonly readOnly: boolean }
  /** Limits are in decimal bytes; null is none. */
  | ({ readonly kind: 'update'; readonly image: ImageText } & Partial<{ newName: string; readOnly: boolean; limit: string | null }>)
  | { readonly kind: 'limit-pool'; readonly limit: string | null }
  /** What other daemons left half done or, by its instance, a change that has failed, is finished or undone … */
  | { readonly kind: 'settle'; readonly failed: string | null }
  /** … and then, what is left of it removed. */
  | { readonly kind: 'sweep'; readonly failed: string | null };

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
  /** DAEMON.CHANGE: part of the names of what is on its way, which no other change's have. */
  readonly instance: string;
}
