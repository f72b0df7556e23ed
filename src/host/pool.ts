import { closeSync, constants, openSync } from 'node:fs';
import type { Pool } from '../ports/pool.js';
import { isBtrfs, quotaOf, subvolumeOf, type SubvolumeQuota } from './kernel/btrfs.js';
import { errnoNameOf, failureOf } from './kernel/system-error.js';

/** Where nothing is accounted for: there is no such directory, no quota, or this process may not know. */
const nothingKnown = new Set(['ENOENT', 'ENOTDIR', 'EACCES', 'EPERM', 'ENOTTY', 'EOPNOTSUPP']);

/**
 * A directory of images. Only btrfs with quotas accounts for what is in one: then usage and limit are those of the
 * subvolume that holds the directory. Both are read anew each time, which takes some 30 µs.
 */
export class ImagePool implements Pool {
  readonly path: string;

  constructor(path = '/var/lib/machines') {
    this.path = path;
  }

  /** Throws Failure 'system' if the file system fails. */
  usage(): bigint | undefined {
    return this.#quota()?.referenced;
  }

  /** Throws Failure 'system' if the file system fails. */
  limit(): bigint | undefined {
    return this.#quota()?.limit;
  }

  #quota(): SubvolumeQuota | undefined {
    try {
      return readQuota(this.path);
    } catch (error) {
      if (nothingKnown.has(errnoNameOf(error) ?? '')) return undefined;
      throw failureOf(error, `Cannot read the quota of ${this.path}`);
    }
  }
}

function readQuota(path: string): SubvolumeQuota | undefined {
  const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NONBLOCK);
  try {
    return isBtrfs(fd) ? quotaOf(fd, subvolumeOf(fd)) : undefined;
  } finally {
    closeSync(fd);
  }
}
