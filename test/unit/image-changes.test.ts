/** Changing images in directories of the tests' own, by real helper processes; and the fake that stands for them. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  existsSync, linkSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, statSync, symlinkSync,
  truncateSync, utimesSync, writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { suite, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import type { Image } from '../../src/domain/image.js';
import type { Progress } from '../../src/domain/operations.js';
import { HelperPool, ordinaryLimits } from '../../src/host/guests/helper-pool.js';
import { HostImageChanges } from '../../src/host/images/host-image-changes.js';
import { HostImages } from '../../src/host/images/host-images.js';
import { FileLock } from '../../src/host/kernel/file-lock.js';
import { FakeImages } from '../../src/ports/fakes/images.js';
import { failsWith, imageChangesCompliance, type ImageChangesSetup } from '../compliance/image-changes.js';
import { FakeLog } from '../support/world.js';

/** A pool of images, another directory of them, and what belongs to both. */
class Place implements ImageChangesSetup {
  readonly root = realpathSync(mkdtempSync(path.join(tmpdir(), 'machined-images-')));
  readonly pool = path.join(this.root, 'pool');
  readonly other = path.join(this.root, 'other');
  readonly settings = path.join(this.root, 'settings');
  readonly locks = path.join(this.root, 'run/locks');
  readonly log = new FakeLog();
  readonly #directories = [this.other, this.pool];
  readonly images = new HostImages(this.log, this.#directories);
  readonly #helpers = new HelperPool(ordinaryLimits);
  readonly changes = this.restarted();

  constructor() {
    for (const directory of [this.pool, this.other, this.settings]) mkdirSync(directory);
  }

  /** As another daemon, of later, would change them. */
  restarted(): HostImageChanges {
    const { pool, settings, locks } = this;
    return new HostImageChanges(this.log, this.#helpers, { directories: this.#directories, pool, settings: [settings], locks });
  }

  add(name: string, type: 'directory' | 'raw'): void {
    if (type === 'directory') mkdirSync(this.in(name));
    else writeFileSync(this.in(`${name}.raw`), '');
  }

  use(name: string): Disposable {
    const { dev, ino } = statSync(this.in(name), { bigint: true });
    return new FileLock(`${this.locks}/inode-${dev}:${ino}`);
  }

  in(file: string): string {
    return path.join(this.pool, file);
  }

  find(name: string): Image {
    const image = this.images.find(name);
    assert.ok(image !== undefined, name);
    return image;
  }

  files(directory = this.pool): string[] {
    return readdirSync(directory).sort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#helpers[Symbol.dispose]();
    spawnSync('chattr', ['-R', '-f', '-i', this.root]); // it fails for links and pipes, which have no such mark
    rmSync(this.root, { recursive: true });
  }
}

const isRoot = process.geteuid?.() === 0;

suite('on a host', { skip: isRoot ? false : 'only root marks directories' }, () => {
  imageChangesCompliance('HostImageChanges', () => {
    const place = new Place();
    mkdirSync(place.locks, { recursive: true });
    return place;
  });

  test('a clone has all that the original has', async () => {
    await using place = new Place();
    place.add('one', 'directory');
    const directory = place.in('one/sub');
    mkdirSync(directory);
    writeFileSync(`${directory}/file`, 'text', { mode: 0o640 });
    linkSync(`${directory}/file`, `${directory}/again`);
    symlinkSync('/etc/passwd', place.in('one/link'));
    execFileSync('mkfifo', [place.in('one/pipe')]);
    execFileSync('mknod', [place.in('one/null'), 'c', '1', '3']);
    execFileSync('chown', ['1234:567', directory]);
    execFileSync('chmod', ['2751', directory]);
    execFileSync('setcap', ['cap_net_raw=ep', `${directory}/file`]);
    execFileSync('chmod', ['711', place.in('one')]);
    utimesSync(directory, 1, 1_000_000);
    utimesSync(place.in('one'), 1, 2_000_000);
    await place.changes.clone(place.find('one'), 'two', false);
    const describe = (name: string) =>
      execFileSync('find', ['.', '-printf', '%p %y %m %U:%G %n %l %s\n', '(', '-type', 'd', '-printf', '%T@\n', ')'], { cwd: place.in(name), encoding: 'utf8' })
        .split('\n').filter((line) => !line.startsWith('. ')).sort();
    // the size of directories depends on their history
    const withoutSizes = (lines: string[]) => lines.map((line) => line.replace(/^(\.\/sub d .*) \d+$/, '$1'));
    assert.deepEqual(withoutSizes(describe('two')), withoutSizes(describe('one')));
    assert.equal(statSync(place.in('two')).mode & 0o7777, 0o711);
    assert.match(execFileSync('getcap', ['sub/file'], { cwd: place.in('two'), encoding: 'utf8' }), /cap_net_raw/);
    const { dev, ino } = statSync(`${directory}/file`);
    assert.notDeepEqual([statSync(place.in('two/sub/file')).dev, statSync(place.in('two/sub/file')).ino], [dev, ino]);
    assert.deepEqual(place.files(), ['one', 'two']);
  });

  test('a tree goes with hashes that lie beside it', async () => {
    await using place = new Place();
    place.add('one', 'directory');
    writeFileSync(place.in('one.roothash'), 'hash');
    await place.changes.update(place.find('one'), { newName: 'two' });
    assert.deepEqual(place.files(), ['two', 'two.roothash']);
    await place.changes.remove(place.find('two'));
    assert.deepEqual(place.files(), []);
  });

  test('a disk keeps its holes, and goes with what belongs to it', async () => {
    await using place = new Place();
    place.add('one', 'raw');
    truncateSync(place.in('one.raw'), 64 << 20);
    for (const ending of ['roothash', 'roothash.p7s', 'usrhash', 'usrhash.p7s', 'verity', 'nspawn']) writeFileSync(place.in(`one.${ending}`), ending);
    writeFileSync(`${place.settings}/one.nspawn`, '[Exec]');
    await place.changes.clone(place.find('one'), 'two', false);
    const { size, blocks } = statSync(place.in('two.raw'));
    assert.deepEqual([size, blocks < 1024], [64 << 20, true]);
    assert.equal(readFileSync(place.in('two.verity'), 'utf8'), 'verity');
    writeFileSync(`${place.settings}/three.nspawn`, 'kept');
    await place.changes.update(place.find('two'), { newName: 'three' });
    assert.deepEqual(place.files().filter((file) => file.startsWith('two')), []);
    assert.deepEqual(place.files(place.settings), ['one.nspawn', 'three.nspawn', 'two.nspawn']);
    assert.equal(readFileSync(`${place.settings}/three.nspawn`, 'utf8'), 'kept');
    await place.changes.remove(place.find('one'));
    await place.changes.remove(place.find('three'));
    assert.deepEqual(place.files(), []);
    assert.deepEqual(place.files(place.settings), ['two.nspawn']);
  });

  test('of a link, only the link is changed', async () => {
    await using place = new Place();
    const target = path.join(place.root, 'target');
    mkdirSync(target);
    symlinkSync(target, place.in('link'));
    await place.changes.clone(place.find('link'), 'copy', false);
    assert.ok(lstatSync(place.in('copy')).isDirectory());
    await place.changes.update(place.find('link'), { newName: 'new' });
    assert.deepEqual(place.files(), ['copy', 'new']);
    await place.changes.remove(place.find('new'));
    assert.deepEqual(place.files(), ['copy']);
    assert.ok(existsSync(target));
  });

  test('a clone tells how much there is to do', async () => {
    await using place = new Place();
    place.add('disk', 'raw');
    writeFileSync(place.in('disk.raw'), 'x'.repeat(5000));
    place.add('tree', 'directory');
    writeFileSync(place.in('tree/file'), 'x'.repeat(3000));
    for (const settings of ['disk', 'tree']) writeFileSync(place.in(`${settings}.nspawn`), '[Exec]');
    const last = async (name: string) => {
      const reports: Progress[] = [];
      const report = (progress: Progress) => void reports.push(progress);
      await place.changes.clone(place.find(name), `new-${name}`, false, { report, canceled: new AbortController().signal });
      return reports.at(-1);
    };
    assert.deepEqual(await last('disk'), { filesDone: 2, bytesDone: 5006, filesTotal: 2, bytesTotal: 5006 });
    assert.deepEqual(await last('tree'), { filesDone: 3, bytesDone: 3006, filesTotal: 3 });
    const removed: Progress[] = [];
    await place.changes.remove(place.find('tree'), { report: (progress) => void removed.push(progress) });
    assert.deepEqual(removed.at(-1), { filesDone: 3 });
  });

  test('a clone that is canceled leaves nothing', async () => {
    await using place = new Place();
    place.add('one', 'directory');
    for (let count = 0; count < 12_000; count++) writeFileSync(place.in(`one/${count}`), '');
    writeFileSync(place.in('one.nspawn'), '[Exec]');
    const canceler = new AbortController();
    const clone = place.changes.clone(place.find('one'), 'two', false, { report: () => canceler.abort(), canceled: canceler.signal });
    await failsWith(clone, 'ECANCELED');
    assert.deepEqual(place.files(), ['one', 'one.nspawn']);
  });

  test('protected files inside do not keep an image', async () => {
    await using place = new Place();
    place.add('one', 'directory');
    mkdirSync(place.in('one/a/b'), { recursive: true });
    writeFileSync(place.in('one/a/b/c'), '');
    execFileSync('chattr', ['+i', place.in('one/a/b/c'), place.in('one/a/b'), place.in('one')]);
    await place.changes.remove(place.find('one'));
    assert.deepEqual(place.files(), []);
  });

  test('what is mounted in an image is neither copied nor removed', async () => {
    await using place = new Place();
    place.add('one', 'directory');
    const precious = path.join(place.root, 'precious');
    mkdirSync(precious);
    writeFileSync(`${precious}/file`, '');
    mkdirSync(place.in('one/mnt'));
    execFileSync('mount', ['--bind', precious, place.in('one/mnt')]);
    try {
      await place.changes.clone(place.find('one'), 'two', false);
      assert.ok(!existsSync(place.in('two/mnt/file')));
      await failsWith(place.changes.remove(place.find('one')), 'EBUSY');
    } finally {
      const mounted = execFileSync('findmnt', ['-rno', 'TARGET'], { encoding: 'utf8' }).split('\n').filter((line) => line.startsWith(place.root));
      for (const target of mounted) execFileSync('umount', [target]);
    }
    assert.ok(existsSync(`${precious}/file`));
  });

  test('a clone that fails leaves nothing behind', async () => {
    await using place = new Place();
    place.add('one', 'directory');
    writeFileSync(place.in('one/large'), Buffer.alloc(4 << 20));
    rmSync(place.other, { recursive: true });
    mkdirSync(place.other);
    const small = path.join(place.root, 'small');
    mkdirSync(small);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1M', 'tmpfs', small]);
    using helpers = new HelperPool(ordinaryLimits);
    try {
      const places = { directories: [place.pool, small], pool: small, settings: [place.settings], locks: place.locks };
      const changes = new HostImageChanges(place.log, helpers, places);
      await failsWith(changes.clone(place.find('one'), 'two', false), 'ENOSPC');
      assert.deepEqual(place.files(small), []);
    } finally {
      execFileSync('umount', [small]);
    }
  });

  test('what a helper leaves half done that is killed is swept away at once', async () => {
    await using place = new Place();
    place.add('one', 'directory');
    for (let number = 0; number < 10_000; number++) writeFileSync(place.in(`one/${number}`), '');
    const clone = place.changes.clone(place.find('one'), 'two', false);
    const outcome = failsWith(clone, 'EIO');
    while (!place.files().some((file) => file.startsWith('.#machined-'))) await setImmediate();
    const children = readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8').trim().split(' ');
    for (const child of children) process.kill(Number(child), 'SIGKILL');
    await outcome;
    assert.deepEqual([place.files(), place.files(place.locks), place.log.lines], [['one'], [], []]);
  });

  test('what another daemon left half done is swept away, and only that', async () => {
    await using place = new Place();
    const file = `${place.in('.#machined-0badcafe-1')}/deep/file`;
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, '');
    execFileSync('chattr', ['+i', file]);
    mkdirSync(place.in('x.v/.#machined-0badcafe-2'), { recursive: true });
    const target = path.join(place.root, 'target');
    mkdirSync(`${target}/.#machined-0badcafe-3`, { recursive: true });
    symlinkSync(`${target}/gone`, place.in('link'));
    writeFileSync(`${place.settings}/.#machined-0badcafe-4`, '');
    for (const other of ['.#other', '.hidden']) mkdirSync(place.in(other));
    await place.restarted().sweep();
    assert.deepEqual(place.files(), ['.#other', '.hidden', 'link', 'x.v']);
    assert.deepEqual([place.files(place.in('x.v')), place.files(target), place.files(place.settings)], [[], [], []]);
    assert.deepEqual(place.log.lines, []);
  });

  test('of what was intended, only what is understood is settled', async () => {
    await using place = new Place();
    place.add('one', 'directory');
    const journal = (name: string, text: string, mode = 0o600) => writeFileSync(place.in(`.#machined-0badcafe.1-${name}.journal`), text, { mode });
    const { ino } = statSync(place.in('one'));
    const removal = { kind: 'rename', directory: place.pool, from: 'two', to: 'one', inode: String(ino) };
    const undoing = JSON.stringify({ steps: [removal, { ...removal, from: 'a', to: 'b' }], decisive: 1 });
    journal('torn', undoing.slice(0, 20));
    journal('not-private', undoing, 0o644);
    await place.restarted().sweep();
    assert.deepEqual([place.files(), place.log.lines], [['one'], []]);
    journal('later', '{"steps":[{"kind":"unheard-of"}],"decisive":0}');
    await place.restarted().sweep();
    assert.match(place.log.lines[0]?.message ?? '', /Bad message/);
    rmSync(place.in('.#machined-0badcafe.1-later.journal'));
    journal('good', undoing);
    await place.restarted().sweep();
    assert.deepEqual(place.files(), ['two']);
  });

  test('changes wait until what another daemon had begun is settled', async () => {
    await using place = new Place();
    place.add('two', 'directory'); // it was 'one' before, as its settings still say
    writeFileSync(path.join(place.settings, 'one.nspawn'), '[Exec]');
    const renaming = (directory: string, from: string, to: string, inode: number) => ({ kind: 'rename', directory, from, to, inode: String(inode) });
    const steps = [
      renaming(place.pool, 'one', 'two', statSync(place.in('two')).ino),
      renaming(place.settings, 'one.nspawn', 'two.nspawn', statSync(path.join(place.settings, 'one.nspawn')).ino),
    ];
    writeFileSync(place.in('.#machined-0badcafe.1-1.journal'), JSON.stringify({ steps, decisive: 0 }), { mode: 0o600 });
    const later = place.restarted();
    await Promise.all([later.sweep(), later.clone(place.find('two'), 'three', false)]);
    assert.deepEqual(place.files(), ['three', 'two']);
    assert.deepEqual(place.files(place.settings), ['three.nspawn', 'two.nspawn']);
  });

  test('no image gets a name that would be too long for one of another form', async () => {
    await using place = new Place();
    place.add('one', 'directory');
    const one = place.find('one');
    for (const length of [247, 250]) {
      await failsWith(place.changes.update(one, { newName: 'x'.repeat(length) }), 'EINVAL');
      await failsWith(place.changes.clone(one, 'x'.repeat(length), false), 'EINVAL');
    }
    await place.changes.update(one, { newName: 'x'.repeat(246) });
    assert.deepEqual(place.files(), ['x'.repeat(246)]);
  });

  test('locks are those of systemd-nspawn, and are not left behind', async () => {
    await using place = new Place();
    place.add('one', 'directory');
    const one = place.find('one');
    {
      using _lock = new FileLock(place.in('.#one.lck'));
      await failsWith(place.changes.remove(one), 'EBUSY');
    }
    mkdirSync(place.locks, { recursive: true });
    {
      using _lock = new FileLock(`${place.locks}/name-two`);
      await failsWith(place.changes.clone(one, 'two', false), 'EBUSY');
    }
    await place.changes.update(one, { newName: 'two' });
    assert.deepEqual([place.files(), place.files(place.locks)], [['two'], []]);
  });
});

imageChangesCompliance('FakeImages', () => {
  const images = new FakeImages();
  return {
    images,
    changes: images,
    add: (name, type) => void images.add({ name, type }),
    use: (name) => {
      images.inUse.add(name);
      return { [Symbol.dispose]: () => void images.inUse.delete(name) };
    },
    [Symbol.asyncDispose]: async () => undefined,
  };
});
