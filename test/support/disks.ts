/** Contents of disk images, made without any tool. Sources: the UEFI Specification, "GUID Partition Table (GPT) Disk Layout". */
import { randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';

const alignment = 1 << 20;

/** As text, of the Discoverable Partitions Specification. */
export const partitionTypes = {
  root: process.arch === 'arm64' ? 'b921b045-1df0-41c3-af44-4c6f280d3fae' : '4f68bce3-e8cd-4db1-96e7-fbcaf984b709',
  usr: process.arch === 'arm64' ? 'b0e01050-ee5f-4390-949a-9101b17104e9' : '8484680c-9521-48c6-9c11-b0720656f69e',
  foreignRoot: process.arch === 'arm64' ? '4f68bce3-e8cd-4db1-96e7-fbcaf984b709' : 'b921b045-1df0-41c3-af44-4c6f280d3fae',
  rootVerity: process.arch === 'arm64' ? 'df3300ce-d69f-4c92-978c-9bfb0f38d820' : '2c7357ed-ebd2-46d9-aec1-23d437ec2bf5',
  linux: '0fc63daf-8483-4772-8e79-3d69d8477de4',
  esp: 'c12a7328-f81f-11d2-ba4b-00a0c93ec93b',
  swap: '0657fd6d-a4ab-43c4-84e5-0933c84b4f4f',
} as const;

export interface GptPartition {
  readonly type: keyof typeof partitionTypes;
  readonly contents: Buffer;
  readonly attributes?: bigint;
}

/** A valid table with its copy at the end, and partitions at whole megabytes. */
export function gptDisk(partitions: readonly GptPartition[], sector = 512): Buffer {
  const entries = Buffer.alloc(128 * 128);
  const placed = place(partitions.map(({ contents }) => contents), sector);
  partitions.forEach(({ type, attributes = 0n }, index) => {
    const at = 128 * index;
    guid(partitionTypes[type]).copy(entries, at);
    randomBytes(16).copy(entries, at + 16);
    const { first, last } = placed.extents[index] as Extent;
    entries.writeBigUInt64LE(BigInt(first), at + 32);
    entries.writeBigUInt64LE(BigInt(last), at + 40);
    entries.writeBigUInt64LE(attributes, at + 48);
  });
  const sectors = placed.disk.length / sector;
  const id = randomBytes(16);
  const last = sectors - 1;
  const copyAt = last - entries.length / sector;
  placed.disk.set(protectiveRecord(sectors), 0);
  gptHeader(entries, { own: 1, other: last, entriesAt: 2, sectors, id }).copy(placed.disk, sector);
  entries.copy(placed.disk, 2 * sector);
  entries.copy(placed.disk, copyAt * sector);
  gptHeader(entries, { own: last, other: 1, entriesAt: copyAt, sectors, id }).copy(placed.disk, last * sector);
  return placed.disk;
}

/** With up to four primary partitions. Source: the UEFI Specification, "Legacy Master Boot Record (MBR)". */
export function mbrDisk(partitions: readonly { readonly type: number; readonly contents: Buffer; readonly active?: boolean }[]): Buffer {
  const { disk, extents } = place(partitions.map(({ contents }) => contents), 512);
  partitions.forEach(({ type, active = false }, index) => {
    const { first, last } = extents[index] as Extent;
    recordEntry({ type, active, first, count: last - first + 1 }).copy(disk, 446 + 16 * index);
  });
  disk.writeUInt32LE(0x1234_5678, 440);
  disk.writeUInt16LE(0xaa55, 510);
  return disk;
}

interface Extent {
  readonly first: number;
  readonly last: number;
}

function place(contents: readonly Buffer[], sector: number): { disk: Buffer; extents: readonly Extent[] } {
  let end = alignment;
  const starts = contents.map(({ length }) => {
    const start = end;
    end += Math.ceil(length / alignment) * alignment;
    return start;
  });
  const disk = Buffer.alloc(end + alignment);
  contents.forEach((bytes, index) => bytes.copy(disk, starts[index]));
  const extents = contents.map(({ length }, index) => {
    const first = (starts[index] as number) / sector;
    return { first, last: first + Math.ceil(length / sector) - 1 };
  });
  return { disk, extents };
}

function protectiveRecord(sectors: number): Buffer {
  const record = Buffer.alloc(512);
  recordEntry({ type: 0xee, active: false, first: 1, count: sectors - 1 }).copy(record, 446);
  record.writeUInt16LE(0xaa55, 510);
  return record;
}

function recordEntry({ type, active, first, count }: { type: number; active: boolean; first: number; count: number }): Buffer {
  const entry = Buffer.from([active ? 0x80 : 0, 0, 2, 0, type, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0]);
  entry.writeUInt32LE(first, 8);
  entry.writeUInt32LE(count, 12);
  return entry;
}

interface HeaderPlace {
  readonly own: number;
  readonly other: number;
  readonly entriesAt: number;
  readonly sectors: number;
  readonly id: Buffer;
}

function gptHeader(entries: Buffer, { own, other, entriesAt, sectors, id }: HeaderPlace): Buffer {
  const header = Buffer.alloc(92);
  header.write('EFI PART', 0, 'latin1');
  header.writeUInt32LE(0x10000, 8);
  header.writeUInt32LE(header.length, 12);
  header.writeBigUInt64LE(BigInt(own), 24);
  header.writeBigUInt64LE(BigInt(other), 32);
  header.writeBigUInt64LE(34n, 40);
  header.writeBigUInt64LE(BigInt(sectors - 34), 48);
  id.copy(header, 56);
  header.writeBigUInt64LE(BigInt(entriesAt), 72);
  header.writeUInt32LE(128, 80);
  header.writeUInt32LE(128, 84);
  header.writeUInt32LE(crc32(entries), 88);
  header.writeUInt32LE(crc32(header), 16);
  return header;
}

/** As it lies on the disk: the first three groups have their bytes turned around. */
function guid(text: string): Buffer {
  const bytes = Buffer.from(text.replaceAll('-', ''), 'hex');
  bytes.subarray(0, 4).reverse();
  bytes.subarray(4, 6).reverse();
  bytes.subarray(6, 8).reverse();
  return bytes;
}
