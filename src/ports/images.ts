import type { Image } from '../domain/image.js';
import type { WorkControl } from '../domain/operations.js';

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

/**
 * Changes images, all or nothing: nobody sees one that is half made. An image that was found before and has gone since is
 * ENOENT.
 *
 * All failures are of kind 'system', and their messages are the C library's: EROFS (`.host`, an image of the vendor's, a
 * file system that is read-only), EBUSY (in use, by a machine or by another change), ENOSPC, EPERM, …, and what is named
 * below.
 */
export interface ImageChanges {
  /** With what belongs to it. Of an image that is a symbolic link, only the link is removed. This cannot be canceled. */
  remove(image: Image, control?: Pick<WorkControl, 'report'>): Promise<void>;
  /** The new image lies in the pool. EEXIST, EOPNOTSUPP (a device), ECANCELED. `newName` has passed checkImageName, as below. */
  clone(image: Image, newName: string, readOnly: boolean, control?: WorkControl): Promise<void>;
  /**
   * Everything that is given changes, or nothing. What belongs to the image gets its new name, too. EEXIST: another image has
   * that name. EOPNOTSUPP, ENOTCONN: it can have no limit, for a reason that the message gives where it can.
   */
  update(image: Image, update: ImageUpdate): Promise<void>;
  /** Of all images in the pool together. EOPNOTSUPP: there can be none, for the reason that the message gives. */
  setPoolLimit(limit: ImageLimit): Promise<void>;
}

/** What an image or the pool may use, in bytes. */
export type ImageLimit = bigint | 'none';

/** What is not given stays as it is. */
export interface ImageUpdate {
  readonly newName?: string | undefined;
  readonly readOnly?: boolean | undefined;
  readonly limit?: ImageLimit | undefined;
}

/** What an image says of itself, in its files. */
export interface ImageMetadata {
  readonly hostname: string | undefined;
  /** 32 lower-case hexadecimal digits. */
  readonly machineId: string | undefined;
  /** machine-info(5), in its order; empty if there is none. */
  readonly machineInfo: ReadonlyMap<string, string>;
  /** os-release(5), in its order; empty if there is none. */
  readonly osRelease: ReadonlyMap<string, string>;
}

/** Looks into images, which may be hostile: nothing in one leads out of it, and none keeps others waiting. */
export interface ImageContents {
  /**
   * Throws Failure 'system': ETIMEDOUT, ENOENT, EACCES, EOPNOTSUPP (a stack); of disks, as systemd-machined does: ENOPKG
   * (neither a partition table nor a file system), ENXIO (no partition of Linux), ENOTUNIQ (several), EREMOTE (of different
   * architectures), ENOMEDIUM (no operating system in it), ENOKEY (encrypted), EAFNOSUPPORT (no known file system), ….
   */
  metadata(image: Image): Promise<ImageMetadata>;
}
