// Marks of files and devices that keep others from changing them: ioctl_iflags(2), blockdev(8).
import { bind, check, type Memory } from './libc.js';

const FS_IOC_GETFLAGS = 0x80086601;
const FS_IOC_SETFLAGS = 0x40086602;
const FS_IMMUTABLE_FL = 0x10;
const FS_APPEND_FL = 0x20;
const BLKROSET = 0x125d;
const BLKROGET = 0x125e;

const control = bind<(fd: number, request: number, argument: Memory) => number>('int ioctl(int, unsigned long, void *)');

/** Of an open file or directory. Throws SystemError: EPERM, ENOTTY where the file system has no such marks. */
export function setImmutable(fd: number, immutable: boolean): void {
  changeFlags(fd, (flags) => (immutable ? flags | FS_IMMUTABLE_FL : flags & ~FS_IMMUTABLE_FL));
}

/** Lets an open file or directory be removed. Throws as setImmutable does. */
export function clearProtection(fd: number): void {
  changeFlags(fd, (flags) => flags & ~(FS_IMMUTABLE_FL | FS_APPEND_FL));
}

function changeFlags(fd: number, change: (flags: number) => number): void {
  const argument = Buffer.alloc(8);
  check(control(fd, FS_IOC_GETFLAGS, argument), 'ioctl');
  const flags = argument.readInt32LE(0);
  if (change(flags) === flags) return;
  argument.writeInt32LE(change(flags), 0);
  check(control(fd, FS_IOC_SETFLAGS, argument), 'ioctl');
}

/** Of an open block device. Throws SystemError. */
export function isDeviceReadOnly(fd: number): boolean {
  const argument = Buffer.alloc(4);
  check(control(fd, BLKROGET, argument), 'ioctl');
  return argument.readInt32LE(0) !== 0;
}

/** Of an open block device. Throws SystemError. */
export function setDeviceReadOnly(fd: number, readOnly: boolean): void {
  const argument = Buffer.alloc(4);
  argument.writeInt32LE(readOnly ? 1 : 0, 0);
  check(control(fd, BLKROSET, argument), 'ioctl');
}
