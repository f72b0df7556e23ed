import { fstatSync } from 'node:fs';
import type { ImageType } from '../../domain/image.js';
import { enableQuota } from '../kernel/btrfs-changes.js';
import { isBtrfs, quotaOf, subvolumeOf } from '../kernel/btrfs.js';
import { errnoNameOf, errnos, SystemError } from '../kernel/system-error.js';
import { openDirectory } from './image-files.js';
import { limitSubtree } from './quota-groups.js';

const subvolumeInode = 256n;

interface LimitedFile {
  readonly path: string;
  readonly type: ImageType;
}

/** What an image may use, in decimal bytes; null: as much as there is. Throws as setLimit does. */
export function limitOf({ path, type }: LimitedFile): string | null {
  if (type !== 'subvolume') throw new SystemError(errnos.EOPNOTSUPP, 'ioctl', path);
  using subvolume = openDirectory(path);
  try {
    const limit = quotaOf(subvolume.fd, subvolumeOf(subvolume.fd))?.limit;
    return limit === undefined ? null : String(limit);
  } catch (error) {
    if (errnoNameOf(error) === 'ENOENT') throw new SystemError(errnos.ENOTCONN, 'ioctl', path);
    throw error;
  }
}

/** In bytes. Throws SystemError: EOPNOTSUPP (such an image can have none), ENOTCONN (nothing counts). */
export function setLimit({ path, type }: LimitedFile, limit: bigint | undefined): void {
  if (type !== 'subvolume') throw new SystemError(errnos.EOPNOTSUPP, 'ioctl', path);
  using subvolume = openDirectory(path);
  limitSubtree(subvolume.fd, limit);
}

/** Of all images together, in bytes. Quotas are switched on if need be. Throws SystemError: EOPNOTSUPP. */
export function setPoolLimit(pool: string, limit: bigint | undefined): void {
  using directory = openDirectory(pool);
  const isSubvolume = isBtrfs(directory.fd) && fstatSync(directory.fd, { bigint: true }).ino === subvolumeInode;
  if (!isSubvolume) throw new SystemError(errnos.EOPNOTSUPP, 'ioctl', pool);
  enableQuota(directory.fd);
  limitSubtree(directory.fd, limit);
}
