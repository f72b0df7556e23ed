// Mounting a part of a disk image without a place in any tree: loop(4), linux/loop.h, fsopen(2), fsconfig(2), fsmount(2).
import { closeSync, openSync } from 'node:fs';
import { systemFailure } from '../../domain/failure.js';
import { makeNode } from './file-calls.js';
import { bind, check, errno, type Memory } from './libc.js';
import { errnoNameOf, errnos, SystemError } from './system-error.js';

const LOOP_CTL_GET_FREE = 0x4c82;
const LOOP_CONFIGURE = 0x4c0a;
const LOOP_MAJOR = 7n;
const LOOP_CTRL_MINOR = 237n;
const MISC_MAJOR = 10n;
const BLKGETSIZE64 = 0x80081272;
const S_IFCHR = 0o020000;
const S_IFBLK = 0o060000;
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
  using device = attachLoopDevice(file, part); // the mount, if there is one, keeps it
  return mountFileSystem(type, { source: device.path }, ['ro', ...flags], MOUNT_ATTR_RDONLY_NOSUID_NODEV_NOEXEC);
}

function mountFileSystem(type: string, options: Readonly<Record<string, string>>, flags: readonly string[], attributes: number): number {
  const fileSystem = check(openFileSystem(430, text(type), FSOPEN_CLOEXEC), 'fsopen', type);
  try {
    for (const [key, value] of Object.entries(options)) {
      check(configure(431, fileSystem, FSCONFIG_SET_STRING, text(key), text(value), 0), 'fsconfig', value);
    }
    for (const flag of flags) check(configure(431, fileSystem, FSCONFIG_SET_FLAG, text(flag), null, 0), 'fsconfig', flag);
    check(configure(431, fileSystem, FSCONFIG_CMD_CREATE, null, null, 0), 'fsconfig', type);
    return check(mount(432, fileSystem, FSMOUNT_CLOEXEC, attributes), 'fsmount');
  } finally {
    closeSync(fileSystem);
  }
}

/** In bytes. Throws SystemError. */
export function sizeOfDevice(device: number): bigint {
  const size = Buffer.alloc(8);
  check(control(device, BLKGETSIZE64, size), 'ioctl');
  return size.readBigUInt64LE();
}

/** A device that is open, by a path that is good until it is closed. */
class Device implements Disposable {
  readonly path: string;
  readonly fd: number;
  readonly #nodes: number | undefined;

  constructor(path: string, fd: number, nodes: number | undefined) {
    this.path = path;
    this.fd = fd;
    this.#nodes = nodes;
  }

  [Symbol.dispose](): void {
    closeSync(this.fd);
    if (this.#nodes !== undefined) closeSync(this.#nodes);
  }
}

/** A /dev that was not made by the kernel may lack the device: then it gets a node elsewhere. Throws Node's errors and SystemError. */
function openDevice(path: string, type: number, device: bigint): Device {
  try {
    return new Device(path, openSync(path, 'r'), undefined);
  } catch (error) {
    if (errnoNameOf(error) !== 'ENOENT') throw error;
  }
  const nodes = mountFileSystem('tmpfs', { size: '4k' }, [], 0); // it has no place in any tree, and goes when it is closed
  try {
    makeNode(nodes, Buffer.from('device'), type | 0o600, device);
    const own = `/proc/self/fd/${nodes}/device`;
    return new Device(own, openSync(own, 'r'), nodes);
  } catch (error) {
    closeSync(nodes);
    throw error;
  }
}

/** The device is free again when nobody has it open. Others look for a free one too, and may be faster. */
function attachLoopDevice(file: number, { offset, size }: DiskPart): Device {
  const configuration = Buffer.alloc(304); // struct loop_config: descriptor, block size, struct loop_info64, reserved
  configuration.writeUInt32LE(file, 0);
  configuration.writeBigUInt64LE(offset, 8 + 24);
  configuration.writeBigUInt64LE(size, 8 + 32);
  configuration.writeUInt32LE(LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR, 8 + 52);
  for (let attempt = 0; attempt < mostAttempts; attempt++) {
    const number = freeLoopDevice();
    const device = openDevice(`/dev/loop${number}`, S_IFBLK, deviceNumber(LOOP_MAJOR, BigInt(number)));
    if (control(device.fd, LOOP_CONFIGURE, configuration) >= 0) return device;
    const reason = errno();
    device[Symbol.dispose]();
    if (reason !== errnos.EBUSY) throw new SystemError(reason, 'ioctl', device.path);
  }
  throw new SystemError(errnos.EBUSY, 'ioctl', '/dev/loop-control');
}

/** Throws Failure 'system' where there are no loop devices to be had, in a container for example. */
function freeLoopDevice(): number {
  try {
    using loopControl = openDevice('/dev/loop-control', S_IFCHR, deviceNumber(MISC_MAJOR, LOOP_CTRL_MINOR));
    return check(control(loopControl.fd, LOOP_CTL_GET_FREE, null), 'ioctl', '/dev/loop-control');
  } catch (error) {
    const code = errnoNameOf(error);
    if (code === undefined) throw error;
    throw systemFailure(code, `disks are looked into by loop devices, and there are none (/dev/loop-control: ${code})`, error);
  }
}

/** Source: makedev(3). */
function deviceNumber(major: bigint, minor: bigint): bigint {
  return (major << 8n) | (minor & 0xffn) | ((minor & ~0xffn) << 12n);
}

function text(value: string): Buffer {
  return Buffer.from(`${value}\0`);
}
