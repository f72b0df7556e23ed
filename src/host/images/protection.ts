import { chmodSync, constants, openSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { systemFailure } from '../../domain/failure.js';
import type { ImageType } from '../../domain/image.js';
import { Descriptor } from '../guests/tree-copy.js';
import { isSubvolumeReadOnly, setSubvolumeReadOnly } from '../kernel/btrfs-changes.js';
import { isDeviceReadOnly, setDeviceReadOnly, setImmutable } from '../kernel/file-flags.js';
import { readFileStatus } from '../kernel/file-status.js';
import { errnoNameOf, errnos, SystemError } from '../kernel/system-error.js';

const ownerWrites = 0o200;
const allButWriting = 0o7555;

/** An image, as far as it matters to who protects it. The path is free of symbolic links. */
export interface ProtectedFile {
  readonly path: string;
  readonly type: ImageType;
}

/** What keeps an image from being changed: the mode of a disk's file, else 1 for yes and 0 for no. */
export type Protection = number;

/** Throws SystemError and Node's errors, as the others do. */
export function protectionOf({ path, type }: ProtectedFile): Protection {
  if (type === 'raw') return statSync(path).mode & 0o7777;
  if (isTree(type)) {
    const status = readFileStatus(path, 'as-links');
    if (status === undefined) throw new SystemError(errnos.ENOENT, 'statx', path);
    return Number(status.immutable);
  }
  using file = open(path);
  return Number(type === 'subvolume' ? isSubvolumeReadOnly(file.fd) : isDeviceReadOnly(file.fd));
}

/** What it becomes of `now` if the image is to be read-only, or not to be. */
export function protectionFor(type: ImageType, now: Protection, readOnly: boolean): Protection {
  if (type !== 'raw') return Number(readOnly);
  return readOnly ? now & allButWriting : now | ownerWrites;
}

/** Throws also Failure 'system', with the reason, where directories cannot be protected. */
export function setProtection({ path, type }: ProtectedFile, protection: Protection): void {
  if (type === 'raw') return chmodSync(path, protection);
  using file = open(path);
  if (type === 'subvolume') return setSubvolumeReadOnly(file.fd, protection === 1);
  if (type === 'block') return setDeviceReadOnly(file.fd, protection === 1);
  try {
    setImmutable(file.fd, protection === 1);
  } catch (error) {
    const code = errnoNameOf(error);
    if (code === undefined || !unableToMark.includes(code)) throw error;
    throw systemFailure(code, `The file system of ${dirname(path)} has no way to make a directory read-only (chattr +i): use a disk image`, error);
  }
}

const unableToMark = ['ENOTTY', 'EOPNOTSUPP', 'ENOSYS'];

/** Its protection, a mark of its directory, keeps it from getting another name or a limit. */
export function isTree(type: ImageType): boolean {
  return type === 'directory' || type === 'mstack';
}

function open(path: string): Descriptor {
  return new Descriptor(openSync(path, constants.O_RDONLY | constants.O_NONBLOCK));
}
