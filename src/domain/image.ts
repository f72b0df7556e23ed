import { invalidArgument } from './failure.js';
import { hostMachineName } from './machine.js';

/**
 * directory: a tree of files. subvolume: the same, as a btrfs subvolume. raw: a file with a disk's contents. block: a
 * block device. mstack: a directory that describes a stack of layers, systemd.mstack(7).
 */
export type ImageType = 'directory' | 'subvolume' | 'raw' | 'block' | 'mstack';

/** What is known of an image from outside. Times in µs since 1970, sizes in bytes. Never changed, but replaced. */
export interface Image {
  readonly name: string;
  /** Absolute, and free of symbolic links. */
  readonly path: string;
  readonly type: ImageType;
  readonly readOnly: boolean;
  /** 0n if not known. */
  readonly creationTime: bigint;
  /** 0n if not known; nobody knows it of a directory. */
  readonly modificationTime: bigint;
  /** All sizes are undefined where nothing accounts for them. */
  readonly usage: bigint | undefined;
  /** What of it is shared with no other image. */
  readonly usageExclusive: bigint | undefined;
  readonly limit: bigint | undefined;
  readonly limitExclusive: bigint | undefined;
}

/** The host's own tree of files, which is always there. */
export const hostImageName = hostMachineName;

/**
 * Whether some image may have this name: what a file can be called (1 … 255 bytes, no slash, not '.' or '..'), without
 * control characters and what Unicode has for no character, and not '.#…', which is a file on its way to being written.
 */
export function isImageName(name: string): boolean {
  if (name === '' || name === '.' || name === '..' || name.startsWith('.#')) return false;
  if (/[\u0000-\u001f\u007f/]|\p{Surrogate}|\p{Noncharacter_Code_Point}/u.test(name)) return false;
  return Buffer.byteLength(name) <= 255;
}

/** Returns the name. Throws Failure 'invalid-argument'. `parameter` is the Varlink name of the field. */
export function checkImageName(name: string, parameter = 'name'): string {
  if (isImageName(name)) return name;
  throw invalidArgument(parameter, `Image name '${name}' is invalid.`);
}

/** The host's own tree and what its vendor has put below /usr: nobody changes that by way of the registry. */
export function isForeignImage({ name, path }: Pick<Image, 'name' | 'path'>): boolean {
  return name === hostImageName || path === '/usr' || path.startsWith('/usr/');
}

/** Hidden images, `.host` among them, are listed only on demand, and never changed. */
export function isHiddenImage(name: string): boolean {
  return name.startsWith('.');
}
