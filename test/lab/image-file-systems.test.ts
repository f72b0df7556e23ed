/** Images on file systems of several types: what is shared, what is limited, a disk that is full, one that is read-only. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, statfsSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { suite, test } from 'node:test';
import { isFailure, type Failure } from '../../src/domain/failure.js';
import type { Image } from '../../src/domain/image.js';
import { HelperPool, ordinaryLimits } from '../../src/host/guests/helper-pool.js';
import { HostImageChanges } from '../../src/host/images/host-image-changes.js';
import { HostImages } from '../../src/host/images/host-images.js';
import { FakeLog } from '../support/world.js';

const mebi = 1 << 20;

interface FileSystem {
  readonly type: string;
  readonly size: number;
  /** The program that makes it on a disk, and its parameters; none for one that is in memory. */
  readonly make: readonly string[];
  /** Files can have their contents in common. */
  readonly shares: boolean;
  /** Why no plain directory on it can be limited. */
  readonly limits: RegExp;
}

const fileSystems: readonly FileSystem[] = [
  { type: 'ext4', size: 64 * mebi, make: ['mkfs.ext4', '-q', '-m', '0'], shares: false, limits: /ext4 that is mounted at .* with the option prjquota/ },
  { type: 'xfs', size: 320 * mebi, make: ['mkfs.xfs', '-q'], shares: true, limits: /on xfs.*(option prjquota|no quotas)/ },
  { type: 'btrfs', size: 128 * mebi, make: ['mkfs.btrfs', '-q'], shares: true, limits: /on btrfs: only its subvolumes/ },
];

/** A file system of its own with a pool on it, and no room for anything else. */
class Disk implements Disposable {
  readonly #root = realpathSync(mkdtempSync(path.join(tmpdir(), 'machined-disk-')));
  readonly #helpers = new HelperPool({ ...ordinaryLimits, answer: 60_000 });
  readonly mounted = path.join(this.#root, 'mounted');
  readonly pool = path.join(this.mounted, 'pool');
  readonly settings = path.join(this.#root, 'settings');
  readonly log = new FakeLog();
  readonly images = new HostImages(this.log, [this.pool]);
  readonly changes: HostImageChanges;

  constructor({ type, size, make }: Pick<FileSystem, 'type' | 'size' | 'make'>) {
    mkdirSync(this.mounted);
    const [program, ...parameters] = make;
    const file = path.join(this.#root, 'disk');
    if (program === undefined) execFileSync('mount', ['-t', type, type, this.mounted]);
    else {
      writeFileSync(file, '');
      truncateSync(file, size);
      execFileSync(program, [...parameters, file]);
      execFileSync('mount', ['-t', type, '-o', 'loop', file, this.mounted]);
    }
    mkdirSync(this.pool);
    mkdirSync(this.settings);
    const places = { directories: [this.pool], pool: this.pool, settings: [this.settings], locks: path.join(this.#root, 'locks') };
    this.changes = new HostImageChanges(this.log, this.#helpers, places);
  }

  in(file: string): string {
    return path.join(this.pool, file);
  }

  addTree(name: string, bytes: number): void {
    mkdirSync(this.in(name));
    writeFileSync(this.in(`${name}/data`), randomBytes(bytes));
    writeFileSync(path.join(this.settings, `${name}.nspawn`), name);
  }

  find(name: string): Image {
    const image = this.images.find(name);
    assert.ok(image !== undefined, name);
    return image;
  }

  /** In bytes. */
  free(): number {
    execFileSync('sync', ['-f', this.mounted]);
    const { bavail, bsize } = statfsSync(this.mounted);
    return bavail * bsize;
  }

  fill(): void {
    const writing = spawnSync('dd', ['if=/dev/zero', `of=${this.mounted}/filling`, 'bs=64K', 'status=none'], { encoding: 'utf8' });
    assert.match(writing.stderr, /No space left/);
    // what is left between large blocks goes to small ones
    for (let number = 0; spawnSync('dd', ['if=/dev/zero', `of=${this.mounted}/filling-${number}`, 'bs=512', 'count=16', 'status=none']).status === 0; number++);
  }

  state(): string[] {
    const files = [this.pool, this.settings].flatMap((directory) => readdirSync(directory, { recursive: true, encoding: 'utf8' }));
    return files.sort();
  }

  [Symbol.dispose](): void {
    this.#helpers[Symbol.dispose]();
    execFileSync('umount', [this.mounted]);
    rmSync(this.#root, { recursive: true });
  }
}

async function failsWith(change: Promise<void>, errno: string | readonly string[], message = /./): Promise<void> {
  const isExpected = (error: unknown) => isFailure(error, 'system') && [errno].flat().includes(error.errno ?? '') && message.test(error.message);
  await assert.rejects(change, isExpected);
}

const known = readFileSync('/proc/filesystems', 'utf8').split('\n').map((line) => line.trim());
const isRoot = process.geteuid?.() === 0;

for (const fileSystem of fileSystems.filter(({ type }) => known.includes(type))) {
  suite(`on ${fileSystem.type}`, { skip: isRoot ? false : 'only root mounts file systems' }, () => {
    test('clones share what they have in common, if that can be', async () => {
      using disk = new Disk(fileSystem);
      disk.addTree('tree', 8 * mebi);
      writeFileSync(disk.in('disk.raw'), randomBytes(8 * mebi));
      const before = disk.free();
      await disk.changes.clone(disk.find('tree'), 'tree2', false);
      await disk.changes.clone(disk.find('disk'), 'disk2', false);
      const taken = before - disk.free();
      assert.ok(fileSystem.shares ? taken < 4 * mebi : taken >= 16 * mebi, `${taken} bytes`);
      assert.ok(readFileSync(disk.in('tree2/data')).equals(readFileSync(disk.in('tree/data'))));
      assert.ok(readFileSync(disk.in('disk2.raw')).equals(readFileSync(disk.in('disk.raw'))));
    });

    test('limits are refused with a reason', async () => {
      using disk = new Disk(fileSystem);
      disk.addTree('tree', 1);
      const before = disk.state();
      await failsWith(disk.changes.update(disk.find('tree'), { limit: 1n, newName: 'other' }), 'EOPNOTSUPP', fileSystem.limits);
      await failsWith(disk.changes.setPoolLimit(1n), 'EOPNOTSUPP', fileSystem.limits);
      assert.deepEqual(disk.state(), before);
    });

    test('where no space is left, changes fail as a whole', async () => {
      using disk = new Disk(fileSystem);
      disk.addTree('tree', 2 * mebi);
      writeFileSync(disk.in('disk.raw'), randomBytes(2 * mebi));
      disk.fill();
      const before = disk.state();
      // sharing takes space for what says so only
      const outcomes = await Promise.allSettled([
        disk.changes.clone(disk.find('tree'), 'tree2', false),
        disk.changes.clone(disk.find('disk'), 'disk2', false),
      ]);
      for (const [index, name] of ['tree2', 'disk2'].entries()) {
        const outcome = outcomes[index] as PromiseSettledResult<void>;
        if (outcome.status === 'rejected') assert.equal((outcome.reason as Failure).errno, 'ENOSPC');
        else await disk.changes.remove(disk.find(name));
        assert.ok(fileSystem.shares || outcome.status === 'rejected', name);
      }
      assert.deepEqual(disk.state(), before);
      const renamed = await disk.changes.update(disk.find('tree'), { newName: 'other' }).then(() => true, (error: unknown) => {
        assert.ok(isFailure(error, 'system') && error.errno === 'ENOSPC', String(error));
        return false;
      });
      assert.deepEqual(disk.state(), renamed ? before.map((file) => file.replace('tree', 'other')).sort() : before);
      await disk.changes.remove(disk.find(renamed ? 'other' : 'tree'));
      assert.deepEqual(disk.state(), ['disk.raw']);
      assert.deepEqual(disk.log.lines, []);
    });

    test('where nothing can be written, nothing changes', async () => {
      using disk = new Disk(fileSystem);
      disk.addTree('tree', 1);
      writeFileSync(disk.in('disk.raw'), '');
      const before = disk.state();
      const images = [disk.find('tree'), disk.find('disk')];
      execFileSync('mount', ['-o', 'remount,ro', disk.mounted]);
      for (const image of images) {
        await failsWith(disk.changes.clone(image, 'other', false), 'EROFS', /^Read-only file system$/);
        await failsWith(disk.changes.update(image, { newName: 'other' }), 'EROFS');
        await failsWith(disk.changes.update(image, { readOnly: true }), 'EROFS');
        await failsWith(disk.changes.remove(image), 'EROFS');
      }
      await disk.changes.sweep();
      assert.deepEqual([disk.state(), disk.log.lines], [before, []]);
    });
  });
}

suite('on ramfs, which has no marks of files', { skip: isRoot ? false : 'only root mounts file systems' }, () => {
  test('no directory is made read-only, and the caller is told why before anything is copied', async () => {
    using disk = new Disk({ type: 'ramfs', size: 0, make: [] });
    disk.addTree('tree', 1);
    const before = disk.state();
    const reason = /^The file system of .*\/pool has no way to make a directory read-only \(chattr \+i\): use a disk image$/;
    await failsWith(disk.changes.clone(disk.find('tree'), 'other', true), 'ENOTTY', reason);
    await failsWith(disk.changes.update(disk.find('tree'), { readOnly: true, newName: 'other' }), 'ENOTTY', reason);
    assert.deepEqual([disk.state(), disk.log.lines], [before, []]);
    await disk.changes.clone(disk.find('tree'), 'other', false);
  });
});
