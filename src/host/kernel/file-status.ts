// What a file is, by statx(2), and what statx does not say of it: access(2), getxattr(2).
import { bind, errno, type Memory } from './libc.js';
import { errnos, SystemError } from './system-error.js';

const statxNumbers: Partial<Record<NodeJS.Architecture, number>> = { x64: 332, arm64: 291, riscv64: 291 };
export const statxNumber = statxNumbers[process.arch] ?? 0; // no call has number 0 with five arguments: it fails

const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;
const STATX_INO = 0x100;
const STATX_BASIC_STATS = 0x7ff;
const STATX_BTIME = 0x800;
const STATX_ATTR_IMMUTABLE = 0x10n;
const AT_EMPTY_PATH = 0x1000;
const STATX_MNT_ID = 0x1000;
const STATX_MNT_ID_UNIQUE = 0x4000;
const STATX_ATTR_MOUNT_ROOT = 0x2000n; // since Linux 5.8
const statusSize = 256; // struct statx
const W_OK = 2;

const statx = bind<(number: number, directory: number, path: string, flags: number, mask: number, status: Memory) => number>(
  'long syscall(long, long, const char *, long, long, void *)',
);
const access = bind<(path: string, mode: number) => number>('int access(const char *, int)');
const getAttribute = bind<(path: string, name: string, value: Memory, size: number) => number>(
  'intptr_t getxattr(const char *, const char *, void *, size_t)',
);

/** The file is not there, or nothing that is there can have such a path. */
const absences = new Set<number>([errnos.ENOENT, errnos.ENOTDIR, errnos.ENAMETOOLONG, errnos.ELOOP]);

export type FileKind = 'directory' | 'file' | 'link' | 'block' | 'other';

const kinds: Readonly<Record<number, FileKind>> = { 0o040000: 'directory', 0o100000: 'file', 0o120000: 'link', 0o060000: 'block' };

/** What statx said of a file. Sizes in bytes, times in µs since 1970. */
export class FileStatus {
  readonly #statx: Buffer;

  constructor(statx: Buffer) {
    this.#statx = statx;
  }

  get kind(): FileKind {
    return kinds[this.#statx.readUInt16LE(28) & 0o170000] ?? 'other';
  }

  /** The permission bits. */
  get mode(): number {
    return this.#statx.readUInt16LE(28) & 0o7777;
  }

  /** chattr(1) +i */
  get immutable(): boolean {
    return (this.#statx.readBigUInt64LE(8) & STATX_ATTR_IMMUTABLE) !== 0n;
  }

  /** Whether something is mounted right here, as far as the kernel can tell. */
  get maybeMounted(): boolean {
    const known = this.#statx.readBigUInt64LE(56); // the attributes that this file system and kernel know of
    return ((this.#statx.readBigUInt64LE(8) | ~known) & STATX_ATTR_MOUNT_ROOT) !== 0n;
  }

  get inode(): bigint {
    return this.#statx.readBigUInt64LE(32);
  }

  get size(): bigint {
    return this.#statx.readBigUInt64LE(40);
  }

  /** What it takes on the disk. */
  get allocated(): bigint {
    return this.#statx.readBigUInt64LE(48) * 512n;
  }

  /** 0n where the file system does not keep it. */
  get born(): bigint {
    return this.#time(80);
  }

  /** When anything but the time of its last use changed. */
  get changed(): bigint {
    return this.#time(96);
  }

  get modified(): bigint {
    return this.#time(112);
  }

  /** The block device that the file stands for. */
  get device(): { readonly major: number; readonly minor: number } {
    return { major: this.#statx.readUInt32LE(128), minor: this.#statx.readUInt32LE(132) };
  }

  /** Of the file system that it is on: MAJOR:MINOR. */
  get fileSystem(): string {
    return `${this.#statx.readUInt32LE(136)}:${this.#statx.readUInt32LE(140)}`;
  }

  /** Whether it is the same file, and nothing of it has changed. */
  equals(other: FileStatus): boolean {
    return this.#statx.equals(other.#statx);
  }

  /** struct statx_timestamp */
  #time(at: number): bigint {
    return this.#statx.readBigInt64LE(at) * 1_000_000n + BigInt(Math.floor(this.#statx.readUInt32LE(at + 8) / 1000));
  }
}

/** Undefined if there is no such file. `links`: whether a symbolic link is followed. Throws SystemError. */
export function readFileStatus(path: string, links: 'follow' | 'as-links'): FileStatus | undefined {
  const status = Buffer.alloc(statusSize);
  const flags = links === 'follow' ? 0 : AT_SYMLINK_NOFOLLOW;
  if (statx(statxNumber, AT_FDCWD, path, flags, STATX_BASIC_STATS | STATX_BTIME, status) < 0) {
    const reason = errno();
    if (absences.has(reason)) return undefined;
    throw new SystemError(reason, 'statx', path);
  }
  status.fill(0, 64, 80); // the time of last use, which changes with every look
  return new FileStatus(status);
}

/**
 * The kernel's id of the mount whose root an open file is; undefined if it is not the root of one. Since Linux 6.8, no later
 * mount of this boot has the same. Throws SystemError.
 */
export function rootOfMount(fd: number): bigint | undefined {
  const status = Buffer.alloc(statusSize);
  if (statx(statxNumber, fd, '', AT_EMPTY_PATH, STATX_MNT_ID | STATX_MNT_ID_UNIQUE, status) < 0) throw new SystemError(errno(), 'statx');
  return (status.readBigUInt64LE(8) & STATX_ATTR_MOUNT_ROOT) === 0n ? undefined : status.readBigUInt64LE(144);
}

/** Of an open file. Throws SystemError. */
export function inodeOfDescriptor(fd: number): bigint {
  const status = sharedStatus;
  if (statx(statxNumber, fd, '', AT_EMPTY_PATH, STATX_INO, status) < 0) throw new SystemError(errno(), 'statx');
  return status.readBigUInt64LE(32);
}
const sharedStatus = Buffer.alloc(statusSize); // nothing keeps it

/** Whether a file cannot be written because of where it is: on a file system that is mounted read-only. */
export function isOnReadOnlyMount(path: string): boolean {
  return access(path, W_OK) < 0 && errno() === errnos.EROFS;
}

/** The value of an extended attribute of `size` bytes; undefined if it has none, or one of another size. */
export function readAttribute(path: string, name: string, size: number): Buffer | undefined {
  const value = Buffer.alloc(size);
  return getAttribute(path, name, value, size) === size ? value : undefined;
}
