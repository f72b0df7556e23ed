import { closeSync, constants, openSync, readSync } from 'node:fs';
import { mountPart, type DiskPart } from '../kernel/disk-mount.js';
import { errnos, SystemError } from '../kernel/system-error.js';

const sectorSize = 512;

/** As they lie on the disk. Source: the Discoverable Partitions Specification, "Root Partition". */
const rootPartitionTypes: Partial<Record<NodeJS.Architecture, string>> = {
  x64: 'e3bc684fcde8b14d96e7fbcaf984b709',
  arm64: '45b021b9f01dc341af444c6f280d3fae',
};

/** Partitions with this attribute are not to be found, and take part in nothing: bit 63. */
const noAutomaticUse = 1n << 63n;

interface FileSystem {
  readonly type: string;
  readonly magic: Buffer;
  /** Where the magic is, in bytes from the beginning. */
  readonly at: number;
  /** Nothing is written, not even what a crash left undone; a copy of what is mounted already is no mistake. */
  readonly flags: readonly string[];
}

const fileSystems: readonly FileSystem[] = [
  { type: 'ext4', magic: Buffer.from([0x53, 0xef]), at: 0x438, flags: ['noload'] },
  { type: 'btrfs', magic: Buffer.from('_BHRfS_M'), at: 0x10040, flags: [] },
  { type: 'xfs', magic: Buffer.from('XFSB'), at: 0, flags: ['norecovery', 'nouuid'] },
  { type: 'squashfs', magic: Buffer.from('hsqs'), at: 0, flags: [] },
  { type: 'erofs', magic: Buffer.from([0xe2, 0xe1, 0xf5, 0xe0]), at: 0x400, flags: [] },
];

/**
 * A descriptor of the root directory of a disk image, for the caller to close: that of the root partition of a GPT, or of a
 * file system without a partition table. Only a helper process may call this. Throws SystemError: ENOPKG (neither is found,
 * or it is encrypted), and what a damaged file system is refused with; and Node's errors.
 */
export function openDiskRoot(path: string): number {
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
  try {
    const part = findRootPartition(file) ?? { offset: 0n, size: 0n };
    const found = fileSystems.find(({ magic, at }) => readAt(file, part.offset + BigInt(at), magic.length).equals(magic));
    if (found === undefined) throw new SystemError(errnos['ENOPKG'] ?? errnos.EINVAL, 'mount', path);
    return mountPart(file, part, found.type, found.flags);
  } finally {
    closeSync(file);
  }
}

/** Source: the UEFI Specification, "GUID Partition Table (GPT) Disk Layout". */
function findRootPartition(file: number): DiskPart | undefined {
  const header = readAt(file, BigInt(sectorSize), 92);
  if (header.length < 92 || header.toString('latin1', 0, 8) !== 'EFI PART') return undefined;
  const count = header.readUInt32LE(80);
  const size = header.readUInt32LE(84);
  if (count > 1024 || size < 128 || size > 4096) return undefined;
  const entries = readAt(file, header.readBigUInt64LE(72) * BigInt(sectorSize), count * size);
  for (let at = 0; at + size <= entries.length; at += size) {
    const isRoot = entries.toString('hex', at, at + 16) === rootPartitionTypes[process.arch];
    if (!isRoot || (entries.readBigUInt64LE(at + 48) & noAutomaticUse) !== 0n) continue;
    const first = entries.readBigUInt64LE(at + 32);
    const last = entries.readBigUInt64LE(at + 40);
    if (last < first || last >= largestSector) return undefined;
    return { offset: first * BigInt(sectorSize), size: (last - first + 1n) * BigInt(sectorSize) };
  }
  return undefined;
}

const largestSector = 1n << 54n;

/** Fewer bytes where the file ends. */
function readAt(file: number, position: bigint, length: number): Buffer {
  if (position >= largestSector) return Buffer.alloc(0);
  const bytes = Buffer.alloc(length);
  return bytes.subarray(0, readSync(file, bytes, 0, length, position));
}
