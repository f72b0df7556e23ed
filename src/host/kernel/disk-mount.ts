// Mounting a part of a disk image without a place in any tree: loop(4), linux/loop.h, fsopen(2), fsconfig(2), fsmount(2).
import { closeSync, openSync } from 'node:fs';
import { bind, check, errno, type Memory } from './libc.js';
import { errnos, SystemError } from './system-error.js';

const LOOP_CTL_GET_FREE = 0x4c82;
const LOOP_CONFIGURE = 0x4c0a;
const LO_FLAGS_READ_ONLY = 1;
const LO_FLAGS_AUTOCLEAR = 4;
const FSOPEN_CLOEXEC = 1;
const FSCONFIG_SET_FLAG = 0;
const FSCONFIG_SET_STRING = 1;
const FSCONFIG_CMD_CREATE = 6;
const FSMOUNT_CLOEXEC = 1;
const MOUNT_ATTR_RDONLY_NOSUID_NODEV_NOEXEC = 0xf;
const mostAttempts = 64;

const control = bind<(fd: number, request: number, argument: Memory | null) => number>('int ioctl(int, unsigned long, void *)');
const openFileSystem = bind<(number: 430, type: Memory, flags: number) => number>('long syscall(long, const void *, long)');
const configure = bind<(number: 431, fd: number, command: number, key: Memory | null, value: Memory | null, auxiliary: number) => number>(
  'long syscall(long, long, long, const void *, const void *, long)',
);
const mount = bind<(number: 432, fd: number, flags: number, attributes: number) => number>('long syscall(long, long, long, long)');

/** A part of a file, in bytes. */
export interface DiskPart {
  readonly offset: bigint;
  /** 0n: all the rest. */
  readonly size: bigint;
}

/**
 * A descriptor of the root directory of a file system in a file, read-only, for the caller to close: then all of it is
 * undone. `flags` are the file system's own. Throws SystemError and Node's errors.
 */
export function mountPart(file: number, part: DiskPart, type: string, flags: readonly string[]): number {
  const { device, path } = attachLoopDevice(file, part);
  try {
    const fileSystem = check(openFileSystem(430, text(type), FSOPEN_CLOEXEC), 'fsopen', type);
    try {
      check(configure(431, fileSystem, FSCONFIG_SET_STRING, text('source'), text(path), 0), 'fsconfig', path);
      for (const flag of ['ro', ...flags]) {
        check(configure(431, fileSystem, FSCONFIG_SET_FLAG, text(flag), null, 0), 'fsconfig', flag);
      }
      check(configure(431, fileSystem, FSCONFIG_CMD_CREATE, null, null, 0), 'fsconfig', type);
      return check(mount(432, fileSystem, FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY_NOSUID_NODEV_NOEXEC), 'fsmount');
    } finally {
      closeSync(fileSystem);
    }
  } finally {
    closeSync(device); // the mount, if there is one, keeps it
  }
}

/** The device is free again when nobody has it open. Others look for a free one too, and may be faster. */
function attachLoopDevice(file: number, { offset, size }: DiskPart): { device: number; path: string } {
  const configuration = Buffer.alloc(304); // struct loop_config: descriptor, block size, struct loop_info64, reserved
  configuration.writeUInt32LE(file, 0);
  configuration.writeBigUInt64LE(offset, 8 + 24);
  configuration.writeBigUInt64LE(size, 8 + 32);
  configuration.writeUInt32LE(LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR, 8 + 52);
  for (let attempt = 0; attempt < mostAttempts; attempt++) {
    const path = `/dev/loop${freeLoopDevice()}`;
    const device = openSync(path, 'r');
    if (control(device, LOOP_CONFIGURE, configuration) >= 0) return { device, path };
    const reason = errno();
    closeSync(device);
    if (reason !== errnos.EBUSY) throw new SystemError(reason, 'ioctl', path);
  }
  throw new SystemError(errnos.EBUSY, 'ioctl', '/dev/loop-control');
}

function freeLoopDevice(): number {
  const loopControl = openSync('/dev/loop-control', 'r');
  try {
    return check(control(loopControl, LOOP_CTL_GET_FREE, null), 'ioctl', '/dev/loop-control');
  } finally {
    closeSync(loopControl);
  }
}

function text(value: string): Buffer {
  return Buffer.from(`${value}\0`);
}
