import { isFailure, systemFailure } from '../../domain/failure.js';
import type { ProcessIdentity } from '../../domain/machine.js';
import { EnvFileError, parseEnvFile } from '../../wire/env-file.js';
import { withFileRightsOf } from '../kernel/guest-root.js';
import { failureOf } from '../kernel/system-error.js';
import { inRootOf } from './guest-root-user.js';
import { readInRoot } from './read-in-root.js';

/** In the order of os-release(5). */
const places = ['etc/os-release', 'usr/lib/os-release'];

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

function explain(error: unknown, leader: ProcessIdentity): unknown {
  if (isFailure(error)) return error;
  if (error instanceof EnvFileError) {
    return systemFailure(error.reason === 'nul' ? 'EBADMSG' : 'EINVAL', `The guest's os-release: ${error.message}`, error);
  }
  return failureOf(error, `Cannot read the os-release of process ${leader.pid}`);
}
