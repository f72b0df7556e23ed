import { fstatSync } from 'node:fs';
import { isFailure } from '../../domain/failure.js';
import type { ImageType } from '../../domain/image.js';
import { enableQuota } from '../kernel/btrfs-changes.js';
import { isBtrfs, quotaOf, subvolumeOf } from '../kernel/btrfs.js';
import { errnoNameOf, errnos, SystemError } from '../kernel/system-error.js';
import { openDirectory } from './image-files.js';
import { directoryLimit, limitDirectory, limitPoolDirectory } from './projects.js';
import { isTree } from './protection.js';
import { limitSubtree } from './quota-groups.js';

const subvolumeInode = 256n;

interface LimitedFile {
  readonly path: string;
  readonly type: ImageType;
}

/** What an image may use, in bytes; undefined: as much as there is. Throws as setLimit does. */
export function limitOf({ path, type }: LimitedFile): bigint | undefined {
  if (isTree(type)) return directoryLimit(path);
  if (type !== 'subvolume') throw new SystemError(errnos.EOPNOTSUPP, 'ioctl', path);
  using subvolume = openDirectory(path);
  try {
    return quotaOf(subvolume.fd, subvolumeOf(subvolume.fd))?.limit;
  } catch (error) {
    if (errnoNameOf(error) === 'ENOENT') throw new SystemError(errnos.ENOTCONN, 'ioctl', path);
    throw error;
  }
}

/**
 * In bytes. Throws SystemError EOPNOTSUPP (disks have the size that they have), ENOTCONN (btrfs does not count), and Failure
 * 'system' EOPNOTSUPP with the reason why a directory can have none.
 */
export function setLimit({ path, type }: LimitedFile, limit: bigint | undefined): void {
  if (isTree(type)) return limitDirectory(path, limit);
  if (type !== 'subvolume') throw new SystemError(errnos.EOPNOTSUPP, 'ioctl', path);
  using subvolume = openDirectory(path);
  limitSubtree(subvolume.fd, limit);
}

/** A clone that is a plain directory may use as much as its source, if there can be limits where it is. */
export function inheritDirectoryLimit(source: LimitedFile, made: LimitedFile): void {
  try {
    const limit = limitOf(source);
    if (limit !== undefined) setLimit(made, limit);
  } catch (error) {
    // EPERM: a user's registry may not know of limits, and cannot set any
    const isImpossible = isFailure(error, 'system') || ['EOPNOTSUPP', 'ENOTCONN', 'EPERM'].includes(errnoNameOf(error) ?? '');
    if (!isImpossible) throw error;
  }
}

/**
 * Of all images together, in bytes. btrfs counts from now on, if it has not yet. Throws Failure 'system' EOPNOTSUPP with the
 * reason why there can be none.
 */
export function setPoolLimit(pool: string, limit: bigint | undefined): void {
  using directory = openDirectory(pool);
  const isSubvolume = isBtrfs(directory.fd) && fstatSync(directory.fd, { bigint: true }).ino === subvolumeInode;
  if (!isSubvolume) return limitPoolDirectory(pool, limit);
  enableQuota(directory.fd);
  limitSubtree(directory.fd, limit);
}
