import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { mountPart, sizeOfDevice, type DiskPart } from '../kernel/disk-mount.js';
import { errnos, SystemError } from '../kernel/system-error.js';
import { readPartitionTable, type Partition, type ReadDisk } from './partition-table.js';
import { architectures, genericLinux, purposeOf, type PartitionRole } from './partition-types.js';

/** Only what is in a tree's files is read: nothing is written, not even what a crash left undone. */
interface FileSystem {
  readonly type: string;
  readonly magic: Buffer;
  /** Where the magic is, in bytes from the beginning. */
  readonly at: number;
  /** A copy of what is mounted already is no mistake. */
  readonly flags: readonly string[];
}

const fileSystems: readonly FileSystem[] = [
  { type: 'ext4', magic: Buffer.from([0x53, 0xef]), at: 0x438, flags: ['noload'] },
  { type: 'btrfs', magic: Buffer.from('_BHRfS_M'), at: 0x10040, flags: [] },
  { type: 'xfs', magic: Buffer.from('XFSB'), at: 0, flags: ['norecovery', 'nouuid'] },
  { type: 'squashfs', magic: Buffer.from('hsqs'), at: 0, flags: [] },
  { type: 'erofs', magic: Buffer.from([0xe2, 0xe1, 0xf5, 0xe0]), at: 0x400, flags: [] },
];

const encrypted = Buffer.from('LUKS\xba\xbe', 'latin1');

/** The trees that a disk has, by descriptors (O_PATH or readable) of their root directories. */
export interface DiskTrees {
  readonly root: number | undefined;
  /** What is mounted on /usr. */
  readonly usr: number | undefined;
}

/** Parts of a disk that belong together. */
interface DiskLayout {
  readonly root: DiskPart | undefined;
  readonly usr: DiskPart | undefined;
}

/** A disk whose contents are protected by hash trees: they are read only by who can check that. */
export class ProtectedDiskError extends Error {
  override readonly name = 'ProtectedDiskError';
}

const everything: DiskPart = { offset: 0n, size: 0n };

/**
 * Opens the trees of a disk image or a block device, for the caller to close: those of its root and /usr partitions, of the
 * only partition of Linux that it has, or of the file system that it is. Only a helper process may call this. Throws
 * ProtectedDiskError, and SystemError as systemd-machined answers: ENOPKG (neither a partition table nor a file system), ENXIO
 * (no such partition), ENOTUNIQ (several), EREMOTE (those of different architectures), EADDRNOTAVAIL (hash trees of what is
 * not there), EAFNOSUPPORT (no known file system), ENOKEY (encrypted), and what a damaged file system is refused with.
 */
export function openDiskTrees(path: string): DiskTrees {
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
  try {
    const read: ReadDisk = (position, length) => readAt(file, position, length);
    const layout = findLayout(read, sizeOf(file));
    const root = layout.root === undefined ? undefined : mountTree(file, layout.root, read);
    try {
      return { root, usr: layout.usr === undefined ? undefined : mountTree(file, layout.usr, read) };
    } catch (error) {
      if (root !== undefined) closeSync(root);
      throw error;
    }
  } finally {
    closeSync(file);
  }
}

function mountTree(file: number, part: DiskPart, read: ReadDisk): number {
  const found = identify(read, part);
  if (found === 'encrypted') throw failed(errnos['ENOKEY']);
  if (found === undefined) throw failed(errnos.EAFNOSUPPORT);
  return mountPart(file, part, found.type, found.flags);
}

function identify(read: ReadDisk, { offset }: DiskPart): FileSystem | 'encrypted' | undefined {
  if (read(offset, encrypted.length).equals(encrypted)) return 'encrypted';
  return fileSystems.find(({ magic, at }) => read(offset + BigInt(at), magic.length).equals(magic));
}

function findLayout(read: ReadDisk, size: bigint): DiskLayout {
  const isFileSystem = identify(read, everything) !== undefined;
  const partitions = readPartitionTable(read, size);
  const isGuidTable = partitions?.some(({ type }) => !type.startsWith('mbr-')) === true;
  // an old table leaves room for what was on the disk before, and a file system for an old table's signature
  if (isFileSystem && !isGuidTable) return { root: everything, usr: undefined };
  if (partitions === undefined) throw failed(errnos['ENOPKG']);
  return chooseByPurpose(partitions) ?? { root: chooseGeneric(partitions), usr: undefined };
}

/** Undefined if no partition says what it is for. */
function chooseByPurpose(partitions: readonly Partition[]): DiskLayout | undefined {
  const [root, usr] = [find(partitions, 'root'), find(partitions, 'usr')];
  const [rootVerity, usrVerity] = [find(partitions, 'root-verity'), find(partitions, 'usr-verity')];
  if (root !== undefined && usr !== undefined && root.architecture !== usr.architecture) throw failed(errnos['EREMOTE']);
  for (const [data, hashes] of [[root, rootVerity], [usr, usrVerity]]) {
    if (hashes === undefined) continue;
    if (data === undefined) throw failed(errnos.EADDRNOTAVAIL);
    if (data.architecture === hashes.architecture) throw new ProtectedDiskError('the disk is protected by dm-verity');
  }
  if (root === undefined && usr === undefined) return undefined;
  return { root: root?.partition, usr: usr?.partition };
}

/** The first one of the best architecture. */
function find(partitions: readonly Partition[], role: PartitionRole) {
  for (const architecture of architectures) {
    const partition = partitions.find(({ type, isPassive }) => {
      const purpose = isPassive ? undefined : purposeOf(type);
      return purpose?.role === role && purpose.architecture === architecture;
    });
    if (partition !== undefined) return { architecture, partition };
  }
  return undefined;
}

function chooseGeneric(partitions: readonly Partition[]): DiskPart {
  const [only, another] = partitions.filter(({ type, isPassive }) => !isPassive && (type === genericLinux || type === 'mbr-83'));
  if (only === undefined) throw failed(errnos.ENXIO);
  if (another !== undefined) throw failed(errnos['ENOTUNIQ']);
  return only;
}

function sizeOf(file: number): bigint {
  const status = fstatSync(file, { bigint: true });
  return status.isBlockDevice() ? sizeOfDevice(file) : status.size;
}

const largestPosition = 1n << 62n;

function readAt(file: number, position: bigint, length: number): Buffer {
  if (position < 0n || position >= largestPosition) return Buffer.alloc(0);
  const bytes = Buffer.alloc(length);
  return bytes.subarray(0, readSync(file, bytes, 0, length, position));
}

function failed(errno: number | undefined): SystemError {
  return new SystemError(errno ?? errnos.EINVAL, 'mount');
}
