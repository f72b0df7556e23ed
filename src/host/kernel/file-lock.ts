// Locks that other programs keep to: fcntl_locking(2), "Open file description locks".
import { closeSync, constants, fstatSync, openSync, unlinkSync } from 'node:fs';
import { bind, errno, type Memory } from './libc.js';
import { errnoNameOf, errnos, SystemError } from './system-error.js';

const F_OFD_GETLK = 36;
const F_OFD_SETLK = 37;
const F_RDLCK = 0;
const F_WRLCK = 1;
const F_UNLCK = 2;

const fileControl = bind<(fd: number, command: number, lock: Memory) => number>('int fcntl(int, int, void *)');

/** A lock that nobody else has at the time. Its file is there for as long as it is held. */
export class FileLock implements Disposable {
  readonly #path: string;
  readonly #fd: number;

  /** Throws SystemError EBUSY if it is another's, and Node's errors if the file cannot be made. */
  constructor(path: string) {
    this.#path = path;
    this.#fd = openLocked(path);
  }

  [Symbol.dispose](): void {
    unlinkSync(this.#path); // as long as nobody else can have it
    closeSync(this.#fd);
  }
}

/** Who had the lock before may have removed the file in between: then that is not the one that others find. */
function openLocked(path: string): number {
  for (;;) {
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_NOCTTY;
    const fd = openSync(path, flags, 0o600);
    try {
      lockDescriptor(fd, path);
      if (fstatSync(fd).nlink > 0) return fd;
    } catch (error) {
      closeSync(fd);
      throw error;
    }
    closeSync(fd);
  }
}

/** Locks a file that is open for writing, until the last of its descriptors is closed. Throws SystemError EBUSY. */
export function lockDescriptor(fd: number, path: string): void {
  const lock = Buffer.alloc(32); // struct flock: the whole file
  lock.writeInt16LE(F_WRLCK, 0);
  if (fileControl(fd, F_OFD_SETLK, lock) === 0) return;
  const reason = errno();
  const isHeld = reason === errnos.EAGAIN || reason === errnos.EACCES;
  throw new SystemError(isHeld ? errnos.EBUSY : reason, 'fcntl', path);
}

/** Whether somebody has locked a file for writing. One that is not there is locked by nobody. Throws Node's errors. */
export function isLockedForWriting(path: string): boolean {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NOCTTY | constants.O_NONBLOCK);
  } catch (error) {
    if (errnoNameOf(error) === 'ENOENT') return false;
    throw error;
  }
  try {
    const lock = Buffer.alloc(32);
    lock.writeInt16LE(F_RDLCK, 0);
    if (fileControl(fd, F_OFD_GETLK, lock) !== 0) throw new SystemError(errno(), 'fcntl', path);
    return lock.readInt16LE(0) !== F_UNLCK;
  } finally {
    closeSync(fd);
  }
}
