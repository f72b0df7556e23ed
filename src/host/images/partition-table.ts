// Partition tables. Source: the UEFI Specification, "GUID Partition Table (GPT) Disk Layout" and "Legacy Master Boot Record".
import { crc32 } from 'node:zlib';
import type { DiskPart } from '../kernel/disk-mount.js';

/** Fewer bytes where the disk ends. */
export type ReadDisk = (position: bigint, length: number) => Buffer;

export interface Partition extends DiskPart {
  /** A GUID, in lower case, or that of the old tables as 'mbr-83', in hexadecimal. */
  readonly type: string;
  /** Of a GPT: it is not to be found, and takes no part in anything. Of an old table: it is not the active one. */
  readonly isPassive: boolean;
}

/** The sizes that sectors of images have. */
const sectorSizes = [512, 1024, 2048, 4096];

const headerSize = 92;
const largestHeader = 4096;
const mostEntries = 1024;
const largestEntry = 4096;
const protectiveType = 0xee;

/** Partitions with this attribute are not to be found: bit 63. Source: the Discoverable Partitions Specification. */
const noAutomaticUse = 1n << 63n;

/** In the order of their entries; undefined if there is no table. `size` is that of the disk, in bytes. */
export function readPartitionTable(read: ReadDisk, size: bigint): readonly Partition[] | undefined {
  const record = read(0n, 512);
  if (record.length < 512 || record.readUInt16LE(510) !== 0xaa55) return undefined;
  const entries = [0, 1, 2, 3].map((index) => record.subarray(446 + 16 * index, 462 + 16 * index));
  if (entries.some((entry) => entry[4] === protectiveType)) return readGuidTable(read, size);
  return isOldTable(entries) ? entries.flatMap(readOldEntry) : undefined;
}

/** Anything can end in the signature, a boot sector for one. */
function isOldTable(entries: readonly Buffer[]): boolean {
  return entries.every(([flag]) => flag === 0 || flag === 0x80) && entries.some(([, , , , type]) => type !== 0);
}

function readOldEntry(entry: Buffer): Partition[] {
  const [offset, size] = [entry.readUInt32LE(8), entry.readUInt32LE(12)].map((sectors) => BigInt(sectors) * 512n);
  if (offset === undefined || size === undefined || offset === 0n || size === 0n) return [];
  const type = entry.readUInt8(4).toString(16).padStart(2, '0');
  return [{ type: `mbr-${type}`, isPassive: entry[0] !== 0x80, offset, size }];
}

/** The copy at the end counts if the first one is damaged. */
function readGuidTable(read: ReadDisk, size: bigint): readonly Partition[] | undefined {
  for (const sector of sectorSizes) {
    const sectorSize = BigInt(sector);
    const last = size / sectorSize - 1n;
    const partitions = readGuidTableAt(read, 1n, sectorSize) ?? readGuidTableAt(read, last, sectorSize);
    if (partitions !== undefined) return partitions;
  }
  return undefined;
}

function readGuidTableAt(read: ReadDisk, sector: bigint, sectorSize: bigint): readonly Partition[] | undefined {
  const block = read(sector * sectorSize, Number(sectorSize));
  if (block.length < headerSize || block.toString('latin1', 0, 8) !== 'EFI PART') return undefined;
  const length = block.readUInt32LE(12);
  if (length < headerSize || length > Math.min(block.length, largestHeader)) return undefined;
  const header = Buffer.from(block.subarray(0, length));
  const checksum = header.readUInt32LE(16);
  header.fill(0, 16, 20); // as if it was not there when the checksum was made
  if (crc32(header) !== checksum || header.readBigUInt64LE(24) !== sector) return undefined;
  const count = header.readUInt32LE(80);
  const entrySize = header.readUInt32LE(84);
  if (count > mostEntries || entrySize < 128 || entrySize > largestEntry) return undefined;
  const entries = read(header.readBigUInt64LE(72) * sectorSize, count * entrySize);
  if (entries.length < count * entrySize || crc32(entries) !== header.readUInt32LE(88)) return undefined;
  const partitions: Partition[] = [];
  for (let at = 0; at < entries.length; at += entrySize) partitions.push(...readGuidEntry(entries.subarray(at, at + 128), sectorSize));
  return partitions;
}

const noType = '00000000-0000-0000-0000-000000000000';

function readGuidEntry(entry: Buffer, sectorSize: bigint): Partition[] {
  const type = guidText(entry.subarray(0, 16));
  const first = entry.readBigUInt64LE(32);
  const last = entry.readBigUInt64LE(40);
  if (type === noType || first === 0n || last < first || last >= 1n << 48n) return [];
  const isPassive = (entry.readBigUInt64LE(48) & noAutomaticUse) !== 0n;
  return [{ type, isPassive, offset: first * sectorSize, size: (last - first + 1n) * sectorSize }];
}

/** The first three groups lie on the disk with their bytes turned around. */
function guidText(bytes: Buffer): string {
  const group = (start: number, end: number) => bytes.toString('hex', start, end);
  const turned = (start: number, end: number) => Buffer.from(bytes.subarray(start, end)).reverse().toString('hex');
  return [turned(0, 4), turned(4, 6), turned(6, 8), group(8, 10), group(10, 16)].join('-');
}
