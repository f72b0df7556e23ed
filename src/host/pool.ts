import { closeSync, constants, openSync } from 'node:fs';
import type { Pool } from '../ports/pool.js';
import { projectQuotaOf } from './images/projects.js';
import { isBtrfs, quotaOf, subvolumeOf, type SubvolumeQuota } from './kernel/btrfs.js';
import { readProject } from './kernel/project-quota.js';
import { errnoNameOf, failureOf } from './kernel/system-error.js';

type PoolQuota = Pick<SubvolumeQuota, 'referenced' | 'limit'>;

/** Where nothing is accounted for: there is no such directory, no quota, or this process may not know. */
const nothingKnown = new Set(['ENOENT', 'ENOTDIR', 'EACCES', 'EPERM', 'ENOTTY', 'EOPNOTSUPP']);

/**
 * A directory of images. What is in it is accounted for by btrfs with quotas, for the subvolume that holds the directory, and
 * by the project quotas of ext4 and xfs, for one that has been limited. Both are read anew each time, which takes some 30 µs.
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

  #quota(): PoolQuota | undefined {
    try {
      return readQuota(this.path);
    } catch (error) {
      if (nothingKnown.has(errnoNameOf(error) ?? '')) return undefined;
      throw failureOf(error, `Cannot read the quota of ${this.path}`);
    }
  }
}

function readQuota(path: string): PoolQuota | undefined {
  const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NONBLOCK);
  try {
    if (isBtrfs(fd)) return quotaOf(fd, subvolumeOf(fd));
    const quota = readProject(fd)?.inherited === true ? projectQuotaOf(path) : undefined;
    return quota === undefined ? undefined : { referenced: quota.usage, limit: quota.limit };
  } finally {
    closeSync(fd);
  }
}
