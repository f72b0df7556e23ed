// btrfs subvolumes and their quotas: ioctl_btrfs(2), linux/btrfs.h, and the layout of the quota tree, linux/btrfs_tree.h.
import { bind, check, errno, fileSystemStatus, type Memory } from './libc.js';
import { errnos, SystemError } from './system-error.js';

const btrfsMagic = 0x9123683e;
const BTRFS_IOC_TREE_SEARCH = 0xd0009411;
const BTRFS_IOC_INO_LOOKUP = 0xd0009412;
const argumentSize = 4096; // both of them
const BTRFS_IOC_GET_SUBVOL_INFO = 0x81f8943c;
const subvolumeInfoSize = 504; // struct btrfs_ioctl_get_subvol_info_args

const firstFreeObject = 256n; // BTRFS_FIRST_FREE_OBJECTID: the inode of every subvolume's root
const quotaTree = 8n;
const rootTree = 1n;
const rootReferenceKey = 156;
const qgroupInfoKey = 242;
const qgroupLimitKey = 244;
const qgroupRelationKey = 246;
const limitsReferenced = 1n; // BTRFS_QGROUP_LIMIT_MAX_RFER
const limitsExclusive = 2n; // BTRFS_QGROUP_LIMIT_MAX_EXCL
const readOnlySubvolume = 1n; // BTRFS_ROOT_SUBVOL_RDONLY

const searchHeaderSize = 32; // struct btrfs_ioctl_search_header
const searchKeySize = 104; // struct btrfs_ioctl_search_key
const largestU64 = 0xffffffffffffffffn;

const control = bind<(fd: number, request: number, argument: Memory) => number>('int ioctl(int, unsigned long, void *)');

/** In bytes. */
export interface SubvolumeQuota {
  readonly referenced: bigint;
  readonly limit: bigint | undefined;
  /** What of it no other subvolume shares. */
  readonly exclusive: bigint;
  readonly exclusiveLimit: bigint | undefined;
}

export interface Subvolume {
  readonly id: bigint;
  /** The subvolume that it lies in; 0n: none. */
  readonly parent: bigint;
  readonly readOnly: boolean;
  /** In µs since 1970. */
  readonly created: bigint;
  /** When its contents were last written, in µs since 1970. */
  readonly changed: bigint;
}

export function isBtrfs(fd: number): boolean {
  const status = Buffer.alloc(256); // struct statfs is 120 bytes; f_type comes first
  check(fileSystemStatus(fd, status), 'fstatfs');
  return status.readUInt32LE(0) === btrfsMagic;
}

/** What the subvolume that holds an open file or directory is. Throws SystemError: ENOTTY if it is not on btrfs. */
export function readSubvolume(fd: number): Subvolume {
  const info = Buffer.alloc(subvolumeInfoSize);
  check(control(fd, BTRFS_IOC_GET_SUBVOL_INFO, info), 'ioctl');
  return {
    id: info.readBigUInt64LE(0),
    parent: info.readBigUInt64LE(264),
    readOnly: (info.readBigUInt64LE(288) & readOnlySubvolume) !== 0n,
    created: readTime(info, 392), // otime
    changed: readTime(info, 376), // ctime
  };
}

/** struct btrfs_ioctl_timespec */
function readTime(info: Buffer, at: number): bigint {
  return info.readBigUInt64LE(at) * 1_000_000n + BigInt(Math.floor(info.readUInt32LE(at + 8) / 1000));
}

/** The id of the subvolume that holds an open file or directory. Throws SystemError. */
export function subvolumeOf(fd: number): bigint {
  const argument = Buffer.alloc(argumentSize); // struct btrfs_ioctl_ino_lookup_args: tree, object, name
  argument.writeBigUInt64LE(firstFreeObject, 8);
  check(control(fd, BTRFS_IOC_INO_LOOKUP, argument), 'ioctl');
  return argument.readBigUInt64LE(0);
}

/**
 * What a subvolume uses, and may use, together with those that belong to it: they are counted by the quota group of the
 * subvolume's number and the lowest level above 0 that it is a member of; by its own where there is none. undefined if
 * it has none at all. Throws SystemError: ENOENT where quotas are off, EPERM without CAP_SYS_ADMIN.
 */
export function quotaOf(fd: number, subvolume: bigint): SubvolumeQuota | undefined {
  return quotaOfGroup(fd, subtreeGroup(fd, subvolume));
}

/** The same, and undefined where quotas are off: that is nothing to make an error of for every image of a list. */
export function quotaIfOn(fd: number, subvolume: bigint): SubvolumeQuota | undefined {
  const relations = trySearch(fd, quotaTree, subvolume, qgroupRelationKey, 0n, largestU64);
  if (relations === errnos.ENOENT) return undefined;
  return quotaOfGroup(fd, groupAmong(itemsOf(relations), subvolume));
}

function quotaOfGroup(fd: number, group: bigint): SubvolumeQuota | undefined {
  const info = search(fd, quotaTree, 0n, qgroupInfoKey, group, group)[0]?.data;
  if (info === undefined) return undefined;
  return {
    referenced: info.readBigUInt64LE(8), // struct btrfs_qgroup_info_item: generation, referenced, its compressed size, …
    exclusive: info.readBigUInt64LE(24), // … exclusive, its compressed size
    ...limitsOfGroup(fd, group),
  };
}

/** Throws SystemError: ENOENT where quotas are off. */
export function limitsOfGroup(fd: number, group: bigint): Pick<SubvolumeQuota, 'limit' | 'exclusiveLimit'> {
  const limits = search(fd, quotaTree, 0n, qgroupLimitKey, group, group)[0]?.data;
  const limitAt = (flag: bigint, at: number) =>
    limits !== undefined && (limits.readBigUInt64LE(0) & flag) !== 0n ? limits.readBigUInt64LE(at) : undefined;
  return {
    limit: limitAt(limitsReferenced, 8), // struct btrfs_qgroup_limit_item: flags, max_rfer, …
    exclusiveLimit: limitAt(limitsExclusive, 16), // … max_excl, rsv_rfer, rsv_excl
  };
}

/** A subvolume inside of another. */
export interface NestedSubvolume {
  readonly id: bigint;
  /** The path of the directory that it is in, from the root of the other; '' is that root. */
  readonly directory: Buffer;
  readonly name: Buffer;
}

/** Those that lie directly in a subvolume, of which `fd` is the root. Throws SystemError: EPERM without CAP_SYS_ADMIN. */
export function nestedSubvolumes(fd: number): NestedSubvolume[] {
  const parent = subvolumeOf(fd);
  const nested: NestedSubvolume[] = [];
  for (let first = 0n; ; ) {
    const items = search(fd, rootTree, parent, rootReferenceKey, first, largestU64);
    for (const { offset: id, data } of items) {
      // struct btrfs_root_ref: directory, sequence, length of the name, name
      const name = Buffer.from(data.subarray(18, 18 + data.readUInt16LE(16)));
      nested.push({ id, directory: pathOfDirectory(fd, parent, data.readBigUInt64LE(0)), name });
      first = id + 1n;
    }
    if (items.length === 0) return nested;
  }
}

/** The ids of all subvolumes that lie in one, at whatever depth. `fd` is open on the same file system. Throws SystemError. */
export function subvolumesIn(fd: number, subvolume: bigint): bigint[] {
  const found: bigint[] = [];
  for (let first = 0n; ; ) {
    const items = search(fd, rootTree, subvolume, rootReferenceKey, first, largestU64);
    if (items.length === 0) return found;
    for (const { offset: id } of items) {
      found.push(id, ...subvolumesIn(fd, id));
      first = id + 1n;
    }
  }
}

function pathOfDirectory(fd: number, subvolume: bigint, inode: bigint): Buffer {
  const argument = Buffer.alloc(argumentSize);
  argument.writeBigUInt64LE(subvolume, 0);
  argument.writeBigUInt64LE(inode, 8);
  check(control(fd, BTRFS_IOC_INO_LOOKUP, argument), 'ioctl');
  const path = argument.subarray(16, argument.indexOf(0, 16));
  return Buffer.from(path.at(-1) === slash ? path.subarray(0, -1) : path);
}

const slash = 0x2f;

/** A group's id has its level in the upper 16 bits; relations come in ascending order, from child to parent and back. */
export function subtreeGroup(fd: number, subvolume: bigint): bigint {
  return groupAmong(relationsOf(fd, subvolume), subvolume);
}

/** Those that the group of a subvolume is a member of. Throws SystemError: ENOENT where quotas are off. */
export function outerGroups(fd: number, subvolume: bigint): bigint[] {
  return relationsOf(fd, subvolume).map(({ offset }) => offset);
}

function relationsOf(fd: number, subvolume: bigint): Item[] {
  return search(fd, quotaTree, subvolume, qgroupRelationKey, 0n, largestU64);
}

function groupAmong(relations: readonly Item[], subvolume: bigint): bigint {
  return relations.map(({ offset }) => offset).find((group) => BigInt.asUintN(levelShift, group) === subvolume) ?? subvolume;
}

const levelShift = 48;

export function groupLevel(group: bigint): bigint {
  return group >> BigInt(levelShift);
}

/** The group of a subvolume's number at some level. */
export function groupAtLevel(level: bigint, subvolume: bigint): bigint {
  return (level << BigInt(levelShift)) | subvolume;
}

interface Item {
  readonly offset: bigint;
  readonly data: Buffer;
}

/** Items of a tree with this object id and type, and an offset in this range; the first few of many. Throws SystemError. */
function search(fd: number, tree: bigint, object: bigint, type: number, smallestOffset: bigint, largestOffset: bigint): Item[] {
  return itemsOf(trySearch(fd, tree, object, type, smallestOffset, largestOffset));
}

function itemsOf(found: Item[] | number): Item[] {
  if (typeof found === 'number') throw new SystemError(found, 'ioctl');
  return found;
}

/** Returns an errno if it fails. */
function trySearch(
  fd: number,
  tree: bigint,
  object: bigint,
  type: number,
  smallestOffset: bigint,
  largestOffset: bigint,
): Item[] | number {
  const argument = Buffer.alloc(argumentSize);
  argument.writeBigUInt64LE(tree, 0);
  argument.writeBigUInt64LE(object, 8);
  argument.writeBigUInt64LE(object, 16);
  argument.writeBigUInt64LE(smallestOffset, 24);
  argument.writeBigUInt64LE(largestOffset, 32);
  argument.writeBigUInt64LE(largestU64, 48); // every transaction
  argument.writeUInt32LE(type, 56);
  argument.writeUInt32LE(type, 60);
  argument.writeUInt32LE(64, 64); // at most so many items
  if (control(fd, BTRFS_IOC_TREE_SEARCH, argument) < 0) return errno();

  const items: Item[] = [];
  let at = searchKeySize;
  for (let remaining = argument.readUInt32LE(64); remaining > 0; remaining--) {
    const length = argument.readUInt32LE(at + 28);
    const data = argument.subarray(at + searchHeaderSize, at + searchHeaderSize + length);
    const isWanted = argument.readUInt32LE(at + 24) === type && argument.readBigUInt64LE(at + 8) === object;
    if (isWanted) items.push({ offset: argument.readBigUInt64LE(at + 16), data });
    at += searchHeaderSize + length;
  }
  return items;
}
