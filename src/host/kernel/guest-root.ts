// Opening files below the root directory of a process that may be hostile: openat2(2), setfsuid(2).
import { closeSync, constants, openSync } from 'node:fs';
import { bind, check, errno, type Memory } from './libc.js';
import { errnos, SystemError } from './system-error.js';

const RESOLVE_NO_MAGICLINKS = 0x02;
const RESOLVE_IN_ROOT = 0x10;
const O_CLOEXEC = 0o2000000;
const O_PATH = 0o10000000;
const X_OK = 1;
const AT_EACCESS = 0x200;
const AT_EMPTY_PATH = 0x1000;
const PR_SET_PDEATHSIG = 1;
const PR_SET_SECUREBITS = 28;
const SECBIT_NO_SETUID_FIXUP = 1 << 2;
const SIGKILL = 9;

const openAt2 = bind<(number: 437, directory: number, path: Memory, how: Memory, size: number) => number>(
  'long syscall(long, long, const void *, const void *, long)',
);
const accessAt = bind<(number: 439, fd: number, path: Memory, mode: number, flags: number) => number>(
  'long syscall(long, long, const void *, long, long)',
);
const emptyPath = Buffer.from('\0');
const setFileSystemUser = bind<(uid: number) => number>('int setfsuid(unsigned int)');
const setFileSystemGroup = bind<(gid: number) => number>('int setfsgid(unsigned int)');
const processControl = bind<(option: number, a: number, b: number, c: number, d: number) => number>(
  'int prctl(int, unsigned long, unsigned long, unsigned long, unsigned long)',
);

/** A descriptor (O_PATH) of the root directory of a process, for the caller to close. Throws Node's errors. */
export function openRootOf(pid: number): number {
  return openSync(`/proc/${pid}/root`, constants.O_DIRECTORY | O_PATH);
}

/**
 * A descriptor (O_PATH) of a file below a root directory: no symbolic link, '..' or link of /proc leads out of it. It
 * says nothing of what kind of file it is, and opening it has touched no device. Unless it `followsLast`, what it finds
 * may be a symbolic link itself. The walk may wait for ever, in a file system that a guest serves. Throws SystemError.
 */
export function locateInRoot(root: number, path: string, followsLast = true): number {
  const how = Buffer.alloc(24); // struct open_how: flags, mode, resolve
  how.writeBigUInt64LE(BigInt(O_PATH | O_CLOEXEC | (followsLast ? 0 : constants.O_NOFOLLOW)), 0);
  how.writeBigUInt64LE(BigInt(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS), 16);
  const name = Buffer.from(`${path}\0`);
  for (let attempt = 1; ; attempt++) {
    const located = openAt2(437, root, name, how, how.length);
    if (located >= 0 || errno() !== errnos.EAGAIN || attempt === mostAttempts) return check(located, 'openat2', path);
  }
}

/**
 * The kernel refuses to say what '..' leads to (EAGAIN) if meanwhile something was renamed, anywhere on this machine:
 * openat2(2). A guest that does nothing else may have its way in the end.
 */
const mostAttempts = 1000;

/** Whether this thread may execute the file, or enter the directory, that locateInRoot found: faccessat2(2). */
export function mayExecute(located: number): boolean {
  if (accessAt(439, located, emptyPath, X_OK, AT_EACCESS | AT_EMPTY_PATH) === 0) return true;
  const reason = errno();
  if (reason === errnos.EACCES || reason === errnos.EPERM) return false;
  throw new SystemError(reason, 'faccessat2');
}

/** Opens what locateInRoot found, now that it is known to be something that can be read without side effects. */
export function openLocated(located: number): number {
  return openSync(`/proc/self/fd/${located}`, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
}

/**
 * Runs `work`, which has to be synchronous, with the rights to files of another user and group and none of root's own.
 * To be called by root; only this thread is affected.
 */
export function withFileRightsOf<T>(uid: number, gid: number, work: () => T extends PromiseLike<unknown> ? never : T): T {
  setFileSystemGroup(gid);
  setFileSystemUser(uid);
  dieWithParent();
  try {
    return work();
  } finally {
    setFileSystemUser(0);
    setFileSystemGroup(0);
    dieWithParent();
  }
}

/**
 * Runs `work`, which has to be synchronous, so that it makes files as another user and group, and can do with others' files
 * what root can: also on mounts that know nothing of the host's root (capabilities(7), "SECBIT_NO_SETUID_FIXUP"). To be
 * called by root; only this thread is affected.
 */
export function makingFilesAs<T>(uid: number, gid: number, work: () => T extends PromiseLike<unknown> ? never : T): T {
  check(processControl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0), 'prctl');
  setFileSystemGroup(gid);
  setFileSystemUser(uid);
  dieWithParent();
  try {
    return work();
  } finally {
    setFileSystemUser(0);
    setFileSystemGroup(0);
    check(processControl(PR_SET_SECUREBITS, 0, 0, 0, 0), 'prctl');
    dieWithParent();
  }
}

/** The kernel kills this process when its parent ends. Changing users makes it forget that: prctl(2). */
export function dieWithParent(): void {
  check(processControl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0), 'prctl');
}

export { closeSync as closeLocated };
