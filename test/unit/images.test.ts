/** Images in directories of the tests' own; and the fake that stands for them. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync, existsSync, mkdirSync, mkdtempSync, realpathSync, renameSync, rmSync, statSync, symlinkSync, truncateSync, unlinkSync,
  utimesSync, writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Image } from '../../src/domain/image.js';
import { HostImages } from '../../src/host/images/host-images.js';
import { FakeImages } from '../../src/ports/fakes/images.js';
import { imagesCompliance } from '../compliance/images.js';
import { FakeLog } from '../support/world.js';

/** Two directories that images are looked for in, the first of which hides the other's. */
class Place implements Disposable {
  readonly root = realpathSync(mkdtempSync(path.join(tmpdir(), 'machined-images-')));
  readonly directories = [path.join(this.root, 'first'), path.join(this.root, 'second'), path.join(this.root, 'missing')] as const;
  readonly log = new FakeLog();
  readonly images = new HostImages(this.log, this.directories);

  constructor() {
    mkdirSync(this.directories[0]);
    mkdirSync(this.directories[1]);
  }

  in(where: 'first' | 'second', file: string): string {
    return path.join(this.root, where, file);
  }

  directory(file: string, where: 'first' | 'second' = 'second'): string {
    mkdirSync(this.in(where, file), { recursive: true });
    return this.in(where, file);
  }

  file(file: string, size = 0, where: 'first' | 'second' = 'second'): string {
    const name = this.in(where, file);
    writeFileSync(name, '');
    truncateSync(name, size);
    return name;
  }

  link(file: string, target: string): void {
    symlinkSync(target, this.in('second', file));
  }

  async list(): Promise<string[]> {
    return (await this.images.list()).filter(({ name }) => name !== '.host').map(({ name, type }) => `${name} ${type}`);
  }

  find(name: string): Image {
    const image = this.images.find(name);
    assert.ok(image !== undefined, name);
    return image;
  }

  add(name: string, type: 'directory' | 'raw'): void {
    if (type === 'raw') this.file(`${name}.raw`);
    else this.directory(name);
  }

  remove(name: string): void {
    for (const file of [name, `${name}.raw`]) rmSync(this.in('second', file), { recursive: true, force: true });
  }

  [Symbol.dispose](): void {
    rmSync(this.root, { recursive: true });
  }
}

imagesCompliance('HostImages', () => {
  const place = new Place();
  return { images: place.images, add: (name, type) => place.add(name, type), remove: (name) => place.remove(name), [Symbol.dispose]: () => place[Symbol.dispose]() };
});
imagesCompliance('FakeImages', () => {
  const images = new FakeImages();
  return { images, add: (name, type) => void images.add({ name, type }), remove: (name) => images.forget(name), [Symbol.dispose]: () => undefined };
});

suite('a directory of images', () => {
  test('has directories and disks; everything else is left alone', async () => {
    using place = new Place();
    place.directory('tree');
    place.file('disk.raw');
    place.directory('tree.raw');
    place.directory('stack.mstack');
    place.file('file');
    place.file('file.mstack');
    place.file('.#new.raw');
    execFileSync('mkfifo', [place.in('second', 'pipe'), place.in('second', 'pipe.raw')]); // opening one would wait for ever
    writeFileSync(Buffer.concat([Buffer.from(`${place.directories[1]}/bad`), Buffer.from([0xff]), Buffer.from('.raw')]), '');
    writeFileSync(place.in('second', 'bad\n.raw'), '');
    assert.deepEqual(await place.list(), ['disk raw', 'stack mstack', 'tree directory', 'tree.raw directory']);
  });

  test('hides images of the same name in later ones, of whatever type', async () => {
    using place = new Place();
    place.directory('a', 'first');
    place.file('a.raw');
    place.file('b.raw', 0, 'first');
    place.directory('b');
    assert.deepEqual(await place.list(), ['a directory', 'b raw']);
    assert.equal(place.find('a').path, place.in('first', 'a'));
    assert.equal(place.find('b').path, place.in('first', 'b.raw'));
  });

  test('has an image once, whatever came first', async () => {
    using place = new Place();
    for (const name of ['a', 'b', 'c', 'd']) place.directory(`${name}.v/${name}_1`);
    for (const name of ['a', 'b', 'c']) place.directory(`${name}.mstack`);
    for (const name of ['a', 'b']) place.file(`${name}.raw`);
    place.directory('a');
    assert.deepEqual(await place.list(), ['a directory', 'b raw', 'c mstack', 'd directory']);
    for (const image of await place.images.list()) assert.deepEqual(place.find(image.name), image);
  });

  test('is what a link leads to', async () => {
    using place = new Place();
    place.directory('tree', 'first');
    rmSync(place.directories[1], { recursive: true });
    symlinkSync(place.directories[0], place.directories[1]);
    assert.equal(place.find('tree').path, place.in('first', 'tree'));
    assert.deepEqual(await place.list(), ['tree directory']);
  });

  test('that is a file, or a link to itself, keeps no other from being searched', async () => {
    using place = new Place();
    place.directory('tree');
    rmSync(place.directories[0], { recursive: true });
    writeFileSync(place.directories[0], '');
    symlinkSync('missing', place.directories[2]);
    assert.deepEqual(await place.list(), ['tree directory']);
    assert.equal(place.find('tree').type, 'directory');
  });

  test('may become another while it is used', async () => {
    using place = new Place();
    place.directory('old');
    assert.deepEqual(await place.list(), ['old directory']);
    renameSync(place.directories[1], `${place.root}/aside`);
    assert.deepEqual(await place.list(), []);
    place.directory('new');
    assert.deepEqual(await place.list(), ['new directory']);
  });
});

suite('a link', () => {
  test('is an image by its own name, at the end of it', async () => {
    using place = new Place();
    const target = place.directory('../elsewhere');
    const disk = place.file('../disk.raw', 512);
    writeFileSync(`${place.root}/plain`, '');
    place.link('tree', target);
    place.link('disk.raw', '../disk.raw');
    place.link('disk', '../disk.raw');
    place.link('plain.raw', '../plain');
    assert.deepEqual(await place.list(), ['disk raw', 'plain raw', 'tree directory']);
    assert.deepEqual([place.find('tree').path, place.find('disk').path], [target, disk]);
  });

  test('that leads nowhere is none, and hides none', async () => {
    using place = new Place();
    symlinkSync('nowhere', place.in('first', 'a'));
    symlinkSync('b', place.in('first', 'b'));
    for (const name of ['a', 'b', 'c']) place.directory(name);
    assert.deepEqual(await place.list(), ['a directory', 'b directory', 'c directory']);
    assert.equal(place.find('b').path, place.in('second', 'b'));
  });

  test('is followed anew each time', async () => {
    using place = new Place();
    for (const target of ['one', 'two']) {
      rmSync(place.in('second', 'link'), { force: true });
      place.link('link', place.directory(`../${target}`));
      const image = (await place.images.list()).find(({ name }) => name === 'link');
      assert.equal(image?.path, path.join(place.root, target));
    }
  });
});

suite('versions', () => {
  test('are one image, the best of them', async () => {
    using place = new Place();
    for (const version of ['1.9', '1.10']) place.directory(`tree.v/tree_${version}`);
    place.directory('disk.raw.v');
    for (const version of ['1', '2']) place.file(`disk.raw.v/disk_${version}.raw`);
    place.directory('disk.raw.v/disk_3.raw');
    place.directory('empty.v');
    assert.deepEqual(await place.list(), ['disk raw', 'tree directory']);
    assert.equal(place.find('tree').path, place.in('second', 'tree.v/tree_1.10'));
    assert.equal(place.find('disk').path, place.in('second', 'disk.raw.v/disk_2.raw'));
    assert.deepEqual(['tree.v', 'tree_1.10', 'empty', 'disk.raw'].map((name) => place.images.find(name)), Array(4).fill(undefined));
  });

  test('that are broken leave the next best', async () => {
    using place = new Place();
    place.directory('tree.v/tree_1');
    place.link('tree.v/tree_2', '../nowhere');
    place.file('tree.v/tree_3');
    assert.equal(place.find('tree').path, place.in('second', 'tree.v/tree_1'));
  });

  test('are looked at anew when there are others', async () => {
    using place = new Place();
    place.directory('tree.v/tree_1');
    await place.list();
    for (const version of ['2', '3']) {
      await sleep(150);
      place.directory(`tree.v/tree_${version}`);
      const image = (await place.images.list()).find(({ name }) => name === 'tree');
      assert.equal(image?.path, place.in('second', `tree.v/tree_${version}`));
    }
  });
});

suite('what is said of an image', () => {
  test('of a directory', () => {
    using place = new Place();
    const status = statSync(place.directory('tree'), { bigint: true });
    assert.deepEqual(place.find('tree'), {
      name: 'tree',
      path: place.in('second', 'tree'),
      type: 'directory',
      readOnly: false,
      creationTime: status.birthtimeNs / 1000n,
      modificationTime: 0n,
      usage: undefined,
      usageExclusive: undefined,
      limit: undefined,
      limitExclusive: undefined,
    });
  });

  test('of a disk', () => {
    using place = new Place();
    const file = place.file('disk.raw', 1 << 20);
    writeFileSync(file, 'x'.repeat(10_000), { flag: 'r+' });
    utimesSync(file, 0, 981_173_106.5);
    const status = statSync(file, { bigint: true });
    assert.deepEqual(place.find('disk'), {
      name: 'disk',
      path: file,
      type: 'raw',
      readOnly: false,
      creationTime: status.birthtimeNs / 1000n,
      modificationTime: 981_173_106_500_000n,
      usage: status.blocks * 512n,
      usageExclusive: status.blocks * 512n,
      limit: 1_048_576n,
      limitExclusive: 1_048_576n,
    });
  });

  test('read-only is a disk that nobody may write to', () => {
    using place = new Place();
    for (const [mode, readOnly] of [[0o444, true], [0o400, true], [0o200, false], [0o020, false], [0o644, false]] as const) {
      chmodSync(place.file('disk.raw'), mode);
      assert.equal(place.find('disk').readOnly, readOnly, mode.toString(8));
      unlinkSync(place.in('second', 'disk.raw'));
    }
    chmodSync(place.directory('tree'), 0o555);
    assert.equal(place.find('tree').readOnly, false);
  });

  test('read-only is what is hidden by its name, or below /usr', () => {
    using place = new Place();
    place.file('.disk.raw');
    place.directory('.tree');
    place.link('vendor', '/usr/lib');
    assert.deepEqual(['.disk', '.tree', 'vendor'].map((name) => place.find(name).readOnly), [true, true, true]);
  });

  test('an image that is asked for by its file has its name', () => {
    using place = new Place();
    place.file('disk.raw');
    assert.deepEqual([place.find('disk.raw').name, place.find('disk.raw').type], ['disk.raw', 'raw']);
    assert.equal(place.find('disk').name, 'disk');
  });
});

suite('many images', () => {
  test('are listed while others work', async () => {
    using place = new Place();
    const directories = Array.from({ length: 2000 }, (_, index) => `d${index}`);
    for (const name of directories) mkdirSync(place.in('second', name));
    const ticks: number[] = [];
    const clock = setInterval(() => ticks.push(performance.now()), 0);
    try {
      for (let round = 0; round < 5; round++) assert.equal((await place.images.list()).length, 2001);
    } finally {
      clearInterval(clock);
    }
    assert.ok(ticks.length >= 5, `only ${ticks.length} turns`);
  });

  test('are only described again if they have changed', async () => {
    using place = new Place();
    for (const name of ['a', 'b']) place.file(`${name}.raw`);
    place.directory('c');
    await sleep(150);
    const first = await place.images.list();
    const second = await place.images.list();
    assert.deepEqual(second.map((image, index) => image.name === '.host' || image === first[index]), [true, true, true, true]);
    truncateSync(place.in('second', 'a.raw'), 4096);
    chmodSync(place.in('second', 'b.raw'), 0o444);
    const third = await place.images.list();
    assert.equal(third.find(({ name }) => name === 'a')?.limit, 4096n);
    assert.equal(third.find(({ name }) => name === 'b')?.readOnly, true);
    assert.equal(third.find(({ name }) => name === 'c'), first.find(({ name }) => name === 'c'));
  });

  test('that come and go in quick succession are all seen', async () => {
    using place = new Place();
    for (let round = 0; round < 50; round++) {
      place.add(`i${round}`, round % 2 === 0 ? 'directory' : 'raw');
      assert.equal((await place.images.list()).length, round + 2);
    }
  });

  test('of which some vanish meanwhile are listed without those', async () => {
    using place = new Place();
    for (let index = 0; index < 1000; index++) place.directory(`d${index}`);
    const listing = place.images.list();
    rmSync(place.directories[1], { recursive: true });
    const names = (await listing).length;
    assert.ok(names < 1001, `${names} of them`);
    assert.ok(!existsSync(place.directories[1]));
  });
});

test('what the system refuses to show is logged, and hides nothing', () => {
  using place = new Place();
  chmodSync(place.root, 0o755);
  chmodSync(place.directories[0], 0);
  place.directory('tree');
  assert.equal(withoutRoot(() => place.find('tree').type), 'directory');
  assert.match(place.log.lines[0]?.message ?? '', /No image: .*EACCES/);
});

/** root may see all. */
function withoutRoot<T>(work: () => T): T {
  if (process.geteuid?.() !== 0) return work();
  process.seteuid?.(nobody);
  try {
    return work();
  } finally {
    process.seteuid?.(0);
  }
}

const nobody = 65534;
