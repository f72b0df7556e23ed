import { fstatSync, readSync } from 'node:fs';
import { isFailure, systemFailure } from '../../domain/failure.js';
import type { ProcessIdentity } from '../../domain/machine.js';
import { EnvFileError, parseEnvFile } from '../../wire/env-file.js';
import { closeLocated, locateInRoot, openLocated, withFileRightsOf } from '../kernel/guest-root.js';
import { errnoNameOf, failureOf } from '../kernel/system-error.js';
import { inRootOf } from './guest-root-user.js';

/** In the order of os-release(5). */
const places = ['etc/os-release', 'usr/lib/os-release'];

/** In bytes; real ones have a few hundred. */
const largestFile = 1 << 20;

/**
 * The fields of the os-release(5) file in a process's root directory, in their order; undefined if there is none. The
 * file is read with the rights of the guest's root user, who could otherwise point it at a file of the host that was
 * mounted into the guest. It may wait for ever: only a helper process may call this. Throws Failure 'system': ESRCH,
 * EACCES, EINVAL (no regular file, or no UTF-8), EFBIG, EBADMSG (binary).
 */
export function readOsRelease(leader: ProcessIdentity): ReadonlyMap<string, string> | undefined {
  try {
    return inRootOf(leader, (root, user, pin) => {
      const bytes = user === undefined ? readFirst(root) : withFileRightsOf(user.uid, user.gid, () => readFirst(root));
      pin.assertAlive(); // a guest that has ended since is not there to be described
      return bytes === undefined ? undefined : parseEnvFile(bytes);
    });
  } catch (error) {
    throw explain(error, leader);
  }
}

function readFirst(root: number): Buffer | undefined {
  for (const place of places) {
    const bytes = readInRoot(root, place);
    if (bytes !== undefined) return bytes;
  }
  return undefined;
}

function readInRoot(root: number, place: string): Buffer | undefined {
  const located = locate(root, place);
  if (located === undefined) return undefined;
  try {
    const status = fstatSync(located);
    if (!status.isFile()) throw systemFailure('EINVAL', `/${place} of the guest is not a regular file`);
    return readLocated(located, place);
  } finally {
    closeLocated(located);
  }
}

function locate(root: number, place: string): number | undefined {
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
    const buffer = Buffer.alloc(largestFile + 1);
    let length = 0;
    while (length < buffer.length) {
      const count = readSync(fd, buffer, length, buffer.length - length, null);
      if (count === 0) return buffer.subarray(0, length);
      length += count;
    }
    throw systemFailure('EFBIG', `/${place} of the guest has more than ${largestFile} bytes`);
  } finally {
    closeLocated(fd);
  }
}

function explain(error: unknown, leader: ProcessIdentity): unknown {
  if (isFailure(error)) return error;
  if (error instanceof EnvFileError) {
    return systemFailure(error.reason === 'nul' ? 'EBADMSG' : 'EINVAL', `The guest's os-release: ${error.message}`, error);
  }
  return failureOf(error, `Cannot read the os-release of process ${leader.pid}`);
}
