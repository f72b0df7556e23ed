import { fstatSync, readSync } from 'node:fs';
import { systemFailure } from '../../domain/failure.js';
import { closeLocated, locateInRoot, openLocated } from '../kernel/guest-root.js';
import { errnoNameOf } from '../kernel/system-error.js';

/** In bytes; what is read here has a few hundred. */
const largestFile = 1 << 20;
const usualFile = 4096;

/**
 * A regular file below a root directory; undefined if there is none. It may wait for ever: only a helper process may call
 * this. Throws Failure 'system' (EINVAL: no regular file, EFBIG) and SystemError.
 */
export function readInRoot(root: number, place: string): Buffer | undefined {
  const located = locateIfThere(root, place);
  if (located === undefined) return undefined;
  try {
    const status = fstatSync(located);
    if (!status.isFile()) throw systemFailure('EINVAL', `/${place} of the guest is not a regular file`);
    return readLocated(located, place);
  } finally {
    closeLocated(located);
  }
}

/** As locateInRoot does; undefined if nothing is there. */
export function locateIfThere(root: number, place: string): number | undefined {
  try {
    return locateInRoot(root, place);
  } catch (error) {
    const code = errnoNameOf(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw error;
  }
}

/** A file's size is what it says of itself: only what comes out of it counts. */
function readLocated(located: number, place: string): Buffer {
  const fd = openLocated(located);
  try {
    let buffer = Buffer.alloc(usualFile);
    for (let length = 0; length <= largestFile; ) {
      if (length === buffer.length) buffer = Buffer.concat([buffer], Math.min(8 * length, largestFile + 1));
      const count = readSync(fd, buffer, length, buffer.length - length, null);
      if (count === 0) return buffer.subarray(0, length);
      length += count;
    }
    throw systemFailure('EFBIG', `/${place} of the guest has more than ${largestFile} bytes`);
  } finally {
    closeLocated(fd);
  }
}
