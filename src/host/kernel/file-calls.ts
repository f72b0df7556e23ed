// Calls that name a file by a directory and a name in it, which Node has not. Names are bytes, as on Linux.
import { bind, check, errno, type Memory } from './libc.js';
import { errnos, SystemError } from './system-error.js';

export const O_WRONLY = 0o1;
export const O_CREAT = 0o100;
export const O_EXCL = 0o200;
export const O_DIRECTORY = process.arch === 'arm64' ? 0o40000 : 0o200000;
export const O_NOFOLLOW = process.arch === 'arm64' ? 0o100000 : 0o400000;
export const O_CLOEXEC = 0o2000000;
export const O_PATH = 0o10000000;

const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_REMOVEDIR = 0x200;
const AT_EMPTY_PATH = 0x1000;
const RESOLVE_NO_XDEV = 0x01;
const RESOLVE_NO_SYMLINKS = 0x04;
const RESOLVE_BENEATH = 0x08;
const RENAME_NOREPLACE = 1;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const FICLONE = 0x40049409;

const calls = {
  openAt2: bind<(number: 437, directory: number, path: Memory, how: Memory, size: number) => number>(
    'long syscall(long, long, const void *, const void *, long)',
  ),
  makeDirectory: bind<(directory: number, name: Memory, mode: number) => number>('int mkdirat(int, const void *, unsigned int)'),
  makeLink: bind<(target: Memory, directory: number, name: Memory) => number>('int symlinkat(const void *, int, const void *)'),
  makeNode: bind<(directory: number, name: Memory, mode: number, device: bigint) => number>(
    'int mknodat(int, const void *, unsigned int, unsigned long)',
  ),
  link: bind<(from: number, name: Memory, to: number, newName: Memory, flags: number) => number>(
    'int linkat(int, const void *, int, const void *, int)',
  ),
  rename: bind<(from: number, name: Memory, to: number, newName: Memory, flags: number) => number>(
    'int renameat2(int, const void *, int, const void *, unsigned int)',
  ),
  unlink: bind<(directory: number, name: Memory, flags: number) => number>('int unlinkat(int, const void *, int)'),
  readLink: bind<(directory: number, name: Memory, target: Memory, size: number) => number>(
    'intptr_t readlinkat(int, const void *, void *, size_t)',
  ),
  changeOwner: bind<(directory: number, name: Memory, uid: number, gid: number, flags: number) => number>(
    'int fchownat(int, const void *, unsigned int, unsigned int, int)',
  ),
  setTimes: bind<(directory: number, name: Memory, times: Memory, flags: number) => number>(
    'int utimensat(int, const void *, const void *, int)',
  ),
  setOpenTimes: bind<(fd: number, times: Memory) => number>('int futimens(int, const void *)'),
  seek: bind<(fd: number, offset: number, whence: number) => number>('int64_t lseek(int, int64_t, int)'),
  control: bind<(fd: number, request: number, argument: number) => number>('int ioctl(int, unsigned long, long)'),
  copyRange: bind<(from: number, fromOffset: Memory, to: number, toOffset: Memory, length: number, flags: number) => number>(
    'intptr_t copy_file_range(int, void *, int, void *, size_t, unsigned int)',
  ),
  listAttributes: bind<(fd: number, names: Memory, size: number) => number>('intptr_t flistxattr(int, void *, size_t)'),
  getAttribute: bind<(fd: number, name: Memory, value: Memory, size: number) => number>(
    'intptr_t fgetxattr(int, const void *, void *, size_t)',
  ),
  setAttribute: bind<(fd: number, name: Memory, value: Memory, size: number, flags: number) => number>(
    'int fsetxattr(int, const void *, const void *, size_t, int)',
  ),
};

const nothing = Buffer.from('\0');

/** What the kernel takes for a name. */
function terminated(name: Uint8Array): Buffer {
  const text = Buffer.allocUnsafe(name.length + 1);
  text.set(name);
  text[name.length] = 0;
  return text;
}

/** check, for a name that is only made readable where it is needed: these calls are made for every file of a tree. */
function checkName(result: number, syscall: string, name: Uint8Array): number {
  return result < 0 ? check(result, syscall, String(name)) : result;
}

const how = Buffer.alloc(24); // struct open_how: flags, mode, resolve, in 64 bits each, of which 32 are used

function openResolving(directory: number, name: Uint8Array, flags: number, mode: number, resolve: number): number {
  how.writeUInt32LE(flags | O_CLOEXEC, 0);
  how.writeUInt32LE(mode, 8);
  how.writeUInt32LE(resolve, 16);
  return checkName(calls.openAt2(437, directory, terminated(name), how, how.length), 'openat2', name);
}

/** Opens an entry of a directory, without following a symbolic link. Throws SystemError, as all of these do. */
export function openEntry(directory: number, name: Uint8Array, flags: number, mode = 0): number {
  return openResolving(directory, name, flags | O_NOFOLLOW, mode, 0);
}

/** The same for an entry that nobody may have mounted something on: EXDEV. */
export function openUnmounted(directory: number, name: Uint8Array, flags: number): number {
  return openResolving(directory, name, flags | O_NOFOLLOW, 0, RESOLVE_NO_XDEV);
}

/** Opens what an O_PATH descriptor stands for: nobody can have put something else in its place. */
export function reopen(fd: number, flags: number): number {
  ownDescriptors ??= openResolving(AT_FDCWD, Buffer.from('/proc/self/fd'), O_PATH | O_DIRECTORY, 0, 0);
  return openResolving(ownDescriptors, Buffer.from(String(fd)), flags, 0, 0);
}
/** Is kept: a path through /proc takes longer than all the rest. */
let ownDescriptors: number | undefined;

/** A descriptor (O_PATH) of what lies below a directory, by a path in which nothing is a symbolic link. */
export function locateBeneath(directory: number, path: Uint8Array): number {
  return openResolving(directory, path, O_PATH | O_NOFOLLOW, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
}

export function makeDirectory(directory: number, name: Uint8Array, mode: number): void {
  checkName(calls.makeDirectory(directory, terminated(name), mode), 'mkdirat', name);
}

export function makeSymbolicLink(target: Uint8Array, directory: number, name: Uint8Array): void {
  checkName(calls.makeLink(terminated(target), directory, terminated(name)), 'symlinkat', name);
}

/** `mode` has the type of file too; `device` counts for devices alone. */
export function makeNode(directory: number, name: Uint8Array, mode: number, device: bigint): void {
  checkName(calls.makeNode(directory, terminated(name), mode, device), 'mknodat', name);
}

/** One more name for an open file. */
export function linkOpenFile(fd: number, directory: number, name: Uint8Array): void {
  checkName(calls.link(fd, nothing, directory, terminated(name), AT_EMPTY_PATH), 'linkat', name);
}

/** Gives an entry another name; without `replace`, EEXIST if the name is taken. */
export function renameEntry(directory: number, name: Uint8Array, newName: Uint8Array, replace: boolean): void {
  const flags = replace ? 0 : RENAME_NOREPLACE;
  if (calls.rename(directory, terminated(name), directory, terminated(newName), flags) === 0) return;
  const reason = errno();
  if (reason !== errnos.EINVAL || replace) throw new SystemError(reason, 'renameat2', String(newName));
  // A file system that cannot do it in one step (NFS). A directory has no second name, but replaces an empty one at most.
  if (calls.link(directory, terminated(name), directory, terminated(newName), 0) === 0) return removeEntry(directory, name, false);
  const another = errno();
  if (another !== errnos.EPERM) throw new SystemError(another, 'linkat', String(newName));
  renameEntry(directory, name, newName, true);
}

export function removeEntry(directory: number, name: Uint8Array, isDirectory: boolean): void {
  checkName(calls.unlink(directory, terminated(name), isDirectory ? AT_REMOVEDIR : 0), 'unlinkat', name);
}

/** What a symbolic link says; `fd` is an O_PATH descriptor of it. */
export function readSymbolicLink(fd: number): Buffer {
  const target = Buffer.alloc(4096); // PATH_MAX
  return target.subarray(0, check(calls.readLink(fd, nothing, target, target.length), 'readlinkat'));
}

/** Of the entry itself, if it is a symbolic link. */
export function changeOwner(directory: number, name: Uint8Array, uid: number, gid: number): void {
  checkName(calls.changeOwner(directory, terminated(name), uid, gid, AT_SYMLINK_NOFOLLOW), 'fchownat', name);
}

/** `times`: of the last use and change, two of struct timespec. Of the entry itself, if it is a symbolic link. */
export function setTimes(directory: number, name: Uint8Array, times: Memory): void {
  checkName(calls.setTimes(directory, terminated(name), times, AT_SYMLINK_NOFOLLOW), 'utimensat', name);
}

/** Of an open file. */
export function setOpenTimes(fd: number, times: Memory): void {
  check(calls.setOpenTimes(fd, times), 'futimens');
}

/** Where the next bytes of a file are that are not in a hole; undefined if there are none. */
export function nextData(fd: number, offset: number): number | undefined {
  const found = calls.seek(fd, offset, SEEK_DATA);
  if (found >= 0) return found;
  const reason = errno();
  if (reason === errnos.ENXIO) return undefined;
  if (reason === errnos.EINVAL) return offset; // a file system that knows no holes
  throw new SystemError(reason, 'lseek');
}

/** Where the hole after `offset` begins; there is one at the end of every file. */
export function nextHole(fd: number, offset: number): number {
  const found = calls.seek(fd, offset, SEEK_HOLE);
  if (found >= 0) return found;
  const reason = errno();
  if (reason === errnos.EINVAL) return Infinity;
  throw new SystemError(reason, 'lseek');
}

/** Makes `to` share the contents of `from`: 'never' if no two files in these places can. Source: ioctl_ficlone(2). */
export function cloneContents(from: number, to: number): 'shared' | 'not-these' | 'never' {
  if (calls.control(to, FICLONE, from) === 0) return 'shared';
  return unableToShare.has(errno()) ? 'never' : 'not-these';
}

const unableToShare = new Set([errnos.EXDEV, errnos.EOPNOTSUPP, errnos.ENOTTY]);

/** Copies up to `length` bytes from `offset` to the same place. Returns how many; undefined if the kernel cannot. */
export function copyRange(from: number, to: number, offset: number, length: number): number | undefined {
  const fromOffset = new BigUint64Array([BigInt(offset)]);
  const toOffset = new BigUint64Array([BigInt(offset)]);
  const copied = calls.copyRange(from, fromOffset, to, toOffset, length, 0);
  if (copied >= 0) return copied;
  const reason = errno();
  if (reason === errnos.EINTR) return copyRange(from, to, offset, length);
  if (unableToCopy.has(reason)) return undefined;
  throw new SystemError(reason, 'copy_file_range');
}

const unableToCopy = new Set([errnos.EXDEV, errnos.EINVAL, errnos.ENOSYS, errnos.EOPNOTSUPP, errnos.EBADF, errnos.EPERM]);

/**
 * Copies extended attributes: those in the 'user' namespace, xattr(7), or also those that say who may do what, which mean
 * something on one host only. What the other file system does not take is left out.
 */
export function copyAttributes(from: number, to: number, which: 'user' | 'all'): void {
  const names = attributeNames;
  const length = calls.listAttributes(from, names, names.length);
  if (length < 0) {
    const reason = errno();
    if (reason === errnos.EOPNOTSUPP) return;
    throw new SystemError(reason, 'flistxattr');
  }
  for (let start = 0; start < length; ) {
    const end = names.indexOf(0, start) + 1;
    const name = names.subarray(start, end); // with its NUL
    if (which === 'all' || name.subarray(0, 5).equals(userPrefix)) copyAttribute(from, to, name);
    start = end;
  }
}

function copyAttribute(from: number, to: number, name: Buffer): void {
  const value = attributeValue;
  const length = check(calls.getAttribute(from, name, value, value.length), 'fgetxattr');
  if (calls.setAttribute(to, name, value, length, 0) === 0) return;
  const reason = errno();
  if (reason !== errnos.EOPNOTSUPP) throw new SystemError(reason, 'fsetxattr');
}

const attributeLimit = 65536; // XATTR_SIZE_MAX and XATTR_LIST_MAX
const attributeNames = Buffer.allocUnsafeSlow(attributeLimit);
const attributeValue = Buffer.allocUnsafeSlow(attributeLimit);
const userPrefix = Buffer.from('user.');
