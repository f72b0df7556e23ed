// A view of the host's files in which nothing can be written: unshare(2), mount_setattr(2).
import { bind, check, type Memory } from './libc.js';

const CLONE_NEWNS = 0x00020000;
const AT_FDCWD = -100;
const AT_RECURSIVE = 0x8000;
const MOUNT_ATTR_RDONLY = 1;
const MS_SLAVE = 1 << 19;

const unshare = bind<(flags: number) => number>('int unshare(int)');
const setAttributes = bind<(number: 442, directory: number, path: Memory, flags: number, attributes: Memory, size: number) => number>(
  'long syscall(long, long, const void *, unsigned long, void *, size_t)',
);

/**
 * From now on, this thread and what it starts see all mounts read-only; mounts that go away in the host go away here, too.
 * What runs a program of this view gives no way to write to that program's file, whoever gets hold of it by /proc/PID/exe or
 * /proc/PID/map_files. Throws SystemError: EPERM, ENOSYS (before Linux 5.12).
 */
export function seeReadOnly(): void {
  check(unshare(CLONE_NEWNS), 'unshare');
  const attributes = new BigUint64Array([BigInt(MOUNT_ATTR_RDONLY), 0n, BigInt(MS_SLAVE), 0n]); // struct mount_attr
  check(setAttributes(442, AT_FDCWD, Buffer.from('/\0'), AT_RECURSIVE, attributes, attributes.byteLength), 'mount_setattr', '/');
}
