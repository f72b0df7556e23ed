// Connecting to a socket below the root directory of a process that may be hostile.
import { fstatSync } from 'node:fs';
import { closeLocated, dieWithParent, locateInRoot } from './guest-root.js';
import { check, close, connect, socket } from './libc.js';
import { errnos, SystemError } from './system-error.js';
import { AF_UNIX, encodeUnixAddress } from './unix-address.js';

const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;

/**
 * Connects to a stream socket in a root directory, and never waits for its listener; the caller closes the descriptor.
 * With `user`, this process connects as that one: it is what the listener is told, and what decides whether it may. The
 * walk may wait for ever, in a file system that a guest serves. Throws SystemError: ENOENT, ENOTSOCK and ECONNREFUSED
 * if nobody listens, EAGAIN if too many wait there already.
 */
export function connectInRoot(root: number, path: string, user: { uid: number; gid: number } | undefined): number {
  const located = locateInRoot(root, path);
  try {
    if (!fstatSync(located).isSocket()) throw new SystemError(errnos.ENOTSOCK, 'connect', path);
    return user === undefined ? connectLocated(located, path) : asUser(user.uid, user.gid, () => connectLocated(located, path));
  } finally {
    closeLocated(located);
  }
}

function connectLocated(located: number, path: string): number {
  const address = encodeUnixAddress(`/proc/self/fd/${located}`, 'connect');
  const fd = check(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), 'socket');
  try {
    check(connect(fd, address, address.length), 'connect', path);
    return fd;
  } catch (error) {
    close(fd);
    throw error;
  }
}

/** The whole process is that user meanwhile. To be called by root, in a process that does nothing else. */
function asUser<T>(uid: number, gid: number, work: () => T): T {
  process.setegid?.(gid);
  process.seteuid?.(uid);
  dieWithParent();
  try {
    return work();
  } finally {
    process.seteuid?.(0);
    process.setegid?.(0);
    dieWithParent();
  }
}
