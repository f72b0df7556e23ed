/** Partition tables that nobody would make, with checksums as they should be. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { readPartitionTable, type Partition } from '../../src/host/images/partition-table.js';
import { gptDisk, mbrDisk } from '../support/disks.js';

const small = Buffer.alloc(1 << 20);
const largestRead = 4 << 20;

function read(disk: Buffer): readonly Partition[] | undefined {
  return readPartitionTable((position, length) => {
    assert.ok(length <= largestRead, `${length} bytes are read at once`);
    if (position < 0n || position >= BigInt(disk.length)) return Buffer.alloc(0);
    return disk.subarray(Number(position), Number(position) + length);
  }, BigInt(disk.length));
}

function isSane(partitions: readonly Partition[] | undefined): void {
  assert.ok((partitions ?? []).length <= 1024);
  for (const { type, offset, size } of partitions ?? []) {
    assert.match(type, /^(mbr-[0-9a-f]{2}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$/);
    assert.ok(offset > 0n && size > 0n && offset + size < 1n << 63n, `${offset} ${size}`);
  }
}

/** Bytes of which some are extreme, for a place below `end`. */
const changes = (end: number) =>
  fc.array(fc.tuple(fc.nat(end - 1), fc.oneof(fc.constantFrom(0, 1, 0x7f, 0x80, 0xff), fc.nat(255))), { maxLength: 12 });

const guidTable = gptDisk([{ type: 'root', contents: small }, { type: 'usr', contents: small }]).subarray(0, 64 << 10);
const oldTable = mbrDisk([{ type: 0x83, contents: small, active: true }]).subarray(0, 4096);

test('a GPT of any contents is read or refused', () => {
  const entry = changes(256).map((found) => found.map(([at, value]) => [1024 + at, value] as const));
  const header = changes(92).map((found) => found.map(([at, value]) => [512 + at, value] as const));
  fc.assert(
    fc.property(entry, header, (entries, fields) => {
      const disk = Buffer.from(guidTable);
      for (const [at, value] of [...entries, ...fields]) disk[at] = value;
      disk.writeUInt32LE(crc32(disk.subarray(1024, 1024 + 128 * 128)), 512 + 88);
      disk.writeUInt32LE(0, 512 + 16);
      disk.writeUInt32LE(crc32(disk.subarray(512, 604)), 512 + 16);
      isSane(read(disk));
    }),
    { numRuns: 5000 },
  );
});

test('an old table of any contents is read or refused', () => {
  fc.assert(
    fc.property(changes(512), (found) => {
      const disk = Buffer.from(oldTable);
      for (const [at, value] of found) disk[at] = value;
      isSane(read(disk));
    }),
    { numRuns: 5000 },
  );
});

test('any bytes are read or refused', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 2048 }), (bytes) => isSane(read(Buffer.from(bytes)))), { numRuns: 2000 });
});

test('what is not damaged is read as it was written', () => {
  assert.deepEqual(read(Buffer.from(guidTable))?.map(({ offset, size }) => [offset, size]), [[1n << 20n, 1n << 20n], [2n << 20n, 1n << 20n]]);
  assert.deepEqual(read(Buffer.from(oldTable)), [{ type: 'mbr-83', isPassive: false, offset: 1n << 20n, size: 1n << 20n }]);
});
