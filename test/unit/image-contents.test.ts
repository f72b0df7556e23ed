/** Looking into images, by real helper processes. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { isFailure } from '../../src/domain/failure.js';
import { HelperPool, ordinaryLimits } from '../../src/host/guests/helper-pool.js';
import { HostImageContents } from '../../src/host/images/host-image-contents.js';
import { HostImages } from '../../src/host/images/host-images.js';
import { FakeLog } from '../support/world.js';

/** One image, and a way to look into it. */
class Place implements Disposable {
  readonly root = realpathSync(mkdtempSync(path.join(tmpdir(), 'machined-images-')));
  readonly images = new HostImages(new FakeLog(), [this.root]);
  readonly #helpers = new HelperPool(ordinaryLimits);
  readonly contents = new HostImageContents(this.#helpers);

  constructor() {
    for (const directory of ['image/etc', 'image/usr/lib']) mkdirSync(path.join(this.root, directory), { recursive: true });
  }

  in(file: string): string {
    return path.join(this.root, 'image', file);
  }

  metadata(name = 'image') {
    const image = this.images.find(name);
    assert.ok(image !== undefined);
    return this.contents.metadata(image);
  }

  [Symbol.dispose](): void {
    this.#helpers[Symbol.dispose]();
    rmSync(this.root, { recursive: true });
  }
}

test('an image says what its files say', async () => {
  using place = new Place();
  writeFileSync(place.in('etc/hostname'), '# name\n\nhost.example.org\n');
  writeFileSync(place.in('etc/machine-id'), 'E0000000000000000000000000000e01\n');
  writeFileSync(place.in('etc/machine-info'), 'CHASSIS=vm\nDEPLOYMENT="test ing"\n');
  writeFileSync(place.in('usr/lib/os-release'), 'ID=x\n');
  symlinkSync('/usr/lib/os-release', place.in('etc/os-release')); // the image's own
  assert.deepEqual(await place.metadata(), {
    hostname: 'host.example.org', machineId: 'e0000000000000000000000000000e01',
    machineInfo: new Map([['CHASSIS', 'vm'], ['DEPLOYMENT', 'test ing']]), osRelease: new Map([['ID', 'x']]),
  });
});

test('what is missing or broken says nothing', async () => {
  using place = new Place();
  const nothing = { hostname: undefined, machineId: undefined, machineInfo: new Map(), osRelease: new Map() };
  assert.deepEqual(await place.metadata(), nothing);
  execFileSync('mkfifo', [place.in('etc/hostname')]);
  writeFileSync(place.in('etc/machine-id'), 'uninitialized\n');
  writeFileSync(place.in('etc/machine-info'), Buffer.from([0x41, 0x3d, 0xff, 0x0a]));
  mkdirSync(place.in('usr/lib/os-release'));
  assert.deepEqual(await place.metadata(), nothing);
});

test('no link leads out of an image', async () => {
  using place = new Place();
  writeFileSync(path.join(place.root, 'secret'), 'secret\n');
  symlinkSync('../../secret', place.in('etc/hostname'));
  symlinkSync(path.join(place.root, 'secret'), place.in('etc/machine-info'));
  symlinkSync(`/proc/${process.pid}/root/etc/os-release`, place.in('etc/os-release'));
  const { hostname: found, machineInfo, osRelease } = await place.metadata();
  assert.deepEqual([found, machineInfo.size, osRelease.size], [undefined, 0, 0]);
});

test('a name is what it says without what has no place in one', async () => {
  using place = new Place();
  for (const [text, name] of [
    ['-bad-host-name-', 'bad-host-name'], ['a..b.', 'a.b'], ['x y!', 'xy'], ['...', undefined], ['n'.repeat(100), 'n'.repeat(64)],
  ] as const) {
    writeFileSync(place.in('etc/hostname'), `${text}\n`);
    assert.equal((await place.metadata()).hostname, name, text);
  }
});

test('the host says its own name', async () => {
  using place = new Place();
  assert.equal((await place.metadata('.host')).hostname, hostname());
});

test('what is gone, or no tree of files, is not looked into', async () => {
  using place = new Place();
  const image = place.images.find('image');
  assert.ok(image !== undefined);
  rmSync(place.in(''), { recursive: true });
  const gone = 'Failed to read image metadata: No such file or directory';
  await assert.rejects(place.contents.metadata(image), (error) => isFailure(error, 'system') && error.errno === 'ENOENT' && error.message === gone);
  mkdirSync(path.join(place.root, 'stack.mstack'));
  await assert.rejects(place.metadata('stack'), (error) => isFailure(error, 'not-supported'));
  for (const content of [Buffer.alloc(0), Buffer.alloc(1 << 20), hostileTable()]) {
    writeFileSync(path.join(place.root, 'disk.raw'), content);
    await assert.rejects(place.metadata('disk'), (error) => isFailure(error, 'system') && error.errno === 'ENOPKG');
  }
});

const isRoot = process.geteuid?.() === 0;

test('a disk says what is in its root partition, or in its file system', { skip: isRoot ? false : 'only root mounts disks' }, async () => {
  using place = new Place();
  const fileSystem = path.join(place.root, 'bare.raw');
  writeFileSync(place.in('etc/hostname'), 'ondisk\n');
  writeFileSync(place.in('usr/lib/os-release'), 'ID=disk\n');
  execFileSync('truncate', ['-s', '8M', fileSystem]);
  execFileSync('mkfs.ext4', ['-q', '-d', place.in(''), fileSystem]);
  const contents = readFileSync(fileSystem);
  writeFileSync(path.join(place.root, 'table.raw'), Buffer.concat([partitionTable(1 << 20, contents.length), contents]));
  for (const name of ['bare', 'table']) {
    const { hostname: found, osRelease } = await place.metadata(name);
    assert.deepEqual([found, [...osRelease]], ['ondisk', [['ID', 'disk']]], name);
  }
  assert.deepEqual(readFileSync(fileSystem), contents, 'nothing is written');
});

/** With one root partition of this architecture behind it. In bytes. */
function partitionTable(length: number, size: number): Buffer {
  const types: Partial<Record<NodeJS.Architecture, string>> = { arm64: '45b021b9f01dc341af444c6f280d3fae' };
  const table = Buffer.alloc(length);
  table.write('EFI PART', 512);
  table.writeBigUInt64LE(2n, 512 + 72);
  table.writeUInt32LE(4, 512 + 80);
  table.writeUInt32LE(128, 512 + 84);
  const entry = 1024 + 128; // the first one is empty
  table.write(types[process.arch] ?? 'e3bc684fcde8b14d96e7fbcaf984b709', entry, 'hex');
  table.writeBigUInt64LE(BigInt(length / 512), entry + 32);
  table.writeBigUInt64LE(BigInt((length + size) / 512 - 1), entry + 40);
  return table;
}

/** A partition table that lies beyond the end of everything. */
function hostileTable(): Buffer {
  const disk = Buffer.alloc(4096);
  disk.write('EFI PART', 512);
  disk.writeBigUInt64LE(0xffff_ffff_ffff_ffffn, 512 + 72);
  disk.writeUInt32LE(128, 512 + 80);
  disk.writeUInt32LE(128, 512 + 84);
  return disk;
}
