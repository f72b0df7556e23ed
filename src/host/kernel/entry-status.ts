// What an open file is, without the dates and big numbers that Node makes of it: this is asked for every file of a tree.
// Source: statx(2).
import { bind, check, type Memory } from './libc.js';
import { statxNumber } from './file-status.js';

const AT_EMPTY_PATH = 0x1000;
const STATX_BASIC_STATS = 0x7ff;
const statusSize = 256; // struct statx

const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;
const S_IFLNK = 0o120000;

const statx = bind<(number: number, fd: number, path: Memory, flags: number, mask: number, status: Memory) => number>(
  'long syscall(long, long, const void *, long, long, void *)',
);
const nothing = Buffer.from('\0');
/** Of the last call; what is needed of it is copied at once. */
const answer = Buffer.alloc(statusSize);

export class EntryStatus {
  /** With the type of the file, as stat(2) has it. */
  readonly mode = answer.readUInt16LE(28);
  readonly linkCount = answer.readUInt32LE(16);
  readonly uid = answer.readUInt32LE(20);
  readonly gid = answer.readUInt32LE(24);
  /** In bytes. */
  readonly size = numberAt(40);
  /** What it takes, in bytes. */
  readonly allocated = 512 * numberAt(48);
  /** Of its file system; two of them have different ones. */
  readonly device = answer.readUInt32LE(136) * 2 ** 32 + answer.readUInt32LE(140);
  readonly #inode = [answer.readUInt32LE(36), answer.readUInt32LE(32)];
  readonly #special = [answer.readUInt32LE(128), answer.readUInt32LE(132)];
  readonly #read = secondsAndFractionAt(64);
  readonly #changed = secondsAndFractionAt(112);

  get isDirectory(): boolean {
    return (this.mode & S_IFMT) === S_IFDIR;
  }

  get isFile(): boolean {
    return (this.mode & S_IFMT) === S_IFREG;
  }

  get isSymbolicLink(): boolean {
    return (this.mode & S_IFMT) === S_IFLNK;
  }

  /** No two files have the same. */
  get identity(): string {
    return `${this.device}:${this.#inode.join('.')}`;
  }

  /** The device that it stands for, as mknod(2) takes it: makedev(3). */
  get specialDevice(): bigint {
    const [major, minor] = this.#special.map(BigInt) as [bigint, bigint];
    return ((major & ~0xfffn) << 32n) | ((major & 0xfffn) << 8n) | ((minor & ~0xffn) << 12n) | (minor & 0xffn);
  }

  /** When it was last read and changed: two of struct timespec. */
  get times(): Uint32Array {
    return new Uint32Array([...this.#read, 0, ...this.#changed, 0]);
  }
}

/** Throws SystemError. */
export function statusOf(fd: number): EntryStatus {
  check(statx(statxNumber, fd, nothing, AT_EMPTY_PATH, STATX_BASIC_STATS, answer), 'statx');
  return new EntryStatus();
}

/** Exact up to 2^53. */
function numberAt(offset: number): number {
  return answer.readUInt32LE(offset) + 2 ** 32 * answer.readUInt32LE(offset + 4);
}

/** Of struct statx_timestamp, which has 32 bits of nanoseconds where struct timespec has 64. */
function secondsAndFractionAt(offset: number): readonly number[] {
  return [answer.readUInt32LE(offset), answer.readUInt32LE(offset + 4), answer.readUInt32LE(offset + 8)];
}
