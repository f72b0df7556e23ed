/** Looking into images, by real helper processes. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import path from 'node:path';
import { after, suite, test } from 'node:test';
import { crc32 } from 'node:zlib';
import { isFailure } from '../../src/domain/failure.js';
import { HelperPool, ordinaryLimits } from '../../src/host/guests/helper-pool.js';
import { FileLock } from '../../src/host/kernel/file-lock.js';
import { HostImageContents } from '../../src/host/images/host-image-contents.js';
import { HostImages } from '../../src/host/images/host-images.js';
import { gptDisk, mbrDisk } from '../support/disks.js';
import { FakeLog } from '../support/world.js';

/** One image, and a way to look into it. */
class Place implements Disposable {
  readonly root = realpathSync(mkdtempSync(path.join(tmpdir(), 'machined-images-')));
  readonly images = new HostImages(new FakeLog(), [this.root]);
  readonly #helpers = new HelperPool({ ...ordinaryLimits, answer: 60_000 }); // however busy this machine is
  readonly contents = new HostImageContents(this.#helpers, this.root);

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

test('an image that somebody has locked for himself is not looked into', async () => {
  using place = new Place();
  const { dev, ino } = statSync(place.in(''), { bigint: true });
  for (const file of ['.#image.lck', `inode-${dev}:${ino}`]) {
    using _lock = new FileLock(path.join(place.root, file));
    await assert.rejects(place.metadata(), { errno: 'EBUSY', message: 'Failed to read image metadata: Device or resource busy' });
  }
  writeFileSync(path.join(place.root, '.#image.lck'), ''); // nobody's
  assert.equal((await place.metadata()).hostname, undefined);
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
    ['h-??-$word', 'h-??-$word'], ['a-.b.-.c', 'a-b.c'], ['-.x-.-y.', 'x--y'], ['h\0x', 'h'], ['\0h', 'h'], ['?', '?'],
  ] as const) {
    writeFileSync(place.in('etc/hostname'), `${text}\n`);
    assert.equal((await place.metadata()).hostname, name, text);
  }
});

test('the host says its own name', async () => {
  using place = new Place();
  assert.equal((await place.metadata('.host')).hostname, hostname());
});

const fails = (errno: string) => (error: unknown) => {
  assert.ok(isFailure(error, 'system'), String(error));
  assert.equal(error.errno, errno, error.message);
  return true;
};

test('what is gone, or no tree of files, is not looked into', async () => {
  using place = new Place();
  const image = place.images.find('image');
  assert.ok(image !== undefined);
  rmSync(place.in(''), { recursive: true });
  const gone = 'Failed to read image metadata: No such file or directory';
  await assert.rejects(place.contents.metadata(image), (error) => fails('ENOENT')(error) && (error as Error).message === gone);
  mkdirSync(path.join(place.root, 'stack.mstack'));
  await assert.rejects(place.metadata('stack'), fails('EOPNOTSUPP'));
  for (const content of [Buffer.alloc(0), Buffer.alloc(1 << 20), Buffer.from('text\n'), hostileTable()]) {
    writeFileSync(path.join(place.root, 'disk.raw'), content);
    await assert.rejects(place.metadata('disk'), fails('ENOPKG'));
  }
});

/** A partition table that lies beyond the end of everything, with the checksum that it should have. */
function hostileTable(): Buffer {
  const disk = gptDisk([]);
  const header = disk.subarray(512, 604);
  header.writeBigUInt64LE(0xffff_ffff_ffff_ffffn, 72);
  header.writeUInt32LE(0, 16);
  header.writeUInt32LE(crc32(header), 16);
  return disk.subarray(0, 4096);
}

suite('a disk', { skip: process.geteuid?.() === 0 ? false : 'only root mounts disks' }, () => {
  /** A file system with these files, made by a tool of its own. */
  function fileSystem(files: Readonly<Record<string, string>>, make: (tree: string, disk: string) => void = makeExt4): Buffer {
    const directory = mkdtempSync(path.join(tmpdir(), 'machined-disk-'));
    const tree = path.join(directory, 'tree');
    for (const [file, text] of Object.entries(files)) {
      mkdirSync(path.dirname(path.join(tree, file)), { recursive: true });
      writeFileSync(path.join(tree, file), text);
    }
    const disk = path.join(directory, 'disk');
    make(tree, disk);
    const contents = readFileSync(disk);
    rmSync(directory, { recursive: true });
    return contents;
  }

  function makeExt4(tree: string, disk: string): void {
    execFileSync('truncate', ['-s', '2M', disk]);
    execFileSync('mkfs.ext4', ['-q', '-O', '^has_journal', '-d', tree, disk]);
  }

  function makeBtrfs(tree: string, disk: string): void {
    execFileSync('truncate', ['-s', '120M', disk]);
    execFileSync('mkfs.btrfs', ['-q', '--rootdir', tree, disk]);
  }

  const system = fileSystem({ 'etc/hostname': 'ondisk\n', 'usr/lib/os-release': 'ID=disk\n' });
  const other = fileSystem({ 'etc/hostname': 'other\n', 'usr/lib/os-release': 'ID=other\n' });
  const data = fileSystem({ 'etc/hostname': 'data\n' });
  const usr = fileSystem({ 'lib/os-release': 'ID=usr\n' });
  const rest = fileSystem({ 'etc/hostname': 'rest\n', 'usr/.empty': '' });
  const nothing = Buffer.alloc(1 << 20);
  const secret = Buffer.concat([Buffer.from('LUKS\xba\xbe\0\x02', 'latin1'), nothing]);
  const hidden = 1n << 63n;

  /** What it is found to be by hostname and ID, or the errno that it is refused with. */
  async function look(disk: Buffer): Promise<string> {
    writeFileSync(path.join(place.root, 'disk.raw'), disk);
    try {
      const { hostname: name, osRelease } = await place.metadata('disk');
      return `${name ?? '-'} ${osRelease.get('ID') ?? '-'}`;
    } catch (error) {
      assert.ok(isFailure(error, 'system'), String(error));
      return error.errno ?? '';
    }
  }

  /** With a byte of its table changed, and so many sectors at its end lost. */
  const damaged = (at: number | undefined, lost: number): Buffer => {
    const disk = gptDisk([{ type: 'root', contents: system }]);
    if (at !== undefined) disk[at] = (disk[at] as number) ^ 0xff;
    return disk.fill(0, disk.length - 512 * lost);
  };

  const place = new Place();
  after(() => place[Symbol.dispose]());

  // as systemd-machined 262 answers
  const expected: readonly (readonly [what: string, disk: () => Buffer, found: string])[] = [
    ['is a file system', () => system, 'ondisk disk'],
    ['is a file system of btrfs', () => fileSystem({ 'etc/hostname': 'b\n', 'usr/lib/os-release': 'ID=btrfs\n' }, makeBtrfs), 'b btrfs'],
    ['has no operating system', () => data, 'ENOMEDIUM'],
    ['is encrypted', () => secret, 'ENOKEY'],
    ['has a root partition', () => gptDisk([{ type: 'swap', contents: nothing }, { type: 'root', contents: system }]), 'ondisk disk'],
    ['has a root partition beside others', () => gptDisk([{ type: 'linux', contents: other }, { type: 'root', contents: system }]), 'ondisk disk'],
    ['has two root partitions', () => gptDisk([{ type: 'root', contents: system }, { type: 'root', contents: other }]), 'ondisk disk'],
    ['has a root partition of another architecture', () => gptDisk([{ type: 'foreignRoot', contents: system }]), 'ondisk disk'],
    ['has root partitions of two', () => gptDisk([{ type: 'foreignRoot', contents: other }, { type: 'root', contents: system }]), 'ondisk disk'],
    ['has a hidden root partition', () => gptDisk([{ type: 'root', contents: system, attributes: hidden }]), 'ENXIO'],
    ['has a root partition without a system', () => gptDisk([{ type: 'root', contents: data }]), 'ENOMEDIUM'],
    ['has a root partition without a file system', () => gptDisk([{ type: 'root', contents: nothing }]), 'EAFNOSUPPORT'],
    ['has an encrypted root partition', () => gptDisk([{ type: 'root', contents: secret }]), 'ENOKEY'],
    ['has a /usr partition', () => gptDisk([{ type: 'usr', contents: usr }]), '- usr'],
    ['has a /usr partition beside another', () => gptDisk([{ type: 'usr', contents: usr }, { type: 'linux', contents: system }]), '- usr'],
    ['has root and /usr', () => gptDisk([{ type: 'usr', contents: usr }, { type: 'root', contents: rest }]), 'rest usr'],
    ['has /usr for another root', () => gptDisk([{ type: 'usr', contents: usr }, { type: 'foreignRoot', contents: rest }]), 'EREMOTE'],
    ['has one partition', () => gptDisk([{ type: 'esp', contents: nothing }, { type: 'linux', contents: system }]), 'ondisk disk'],
    ['has several partitions', () => gptDisk([{ type: 'linux', contents: system }, { type: 'linux', contents: other }]), 'ENOTUNIQ'],
    ['has none of Linux', () => gptDisk([{ type: 'swap', contents: nothing }]), 'ENXIO'],
    ['has hashes of nothing', () => gptDisk([{ type: 'linux', contents: system }, { type: 'rootVerity', contents: nothing }]), 'EADDRNOTAVAIL'],
    ['has a damaged table', () => damaged(512 + 40, 0), 'ondisk disk'],
    ['has damaged entries', () => damaged(1024 + 200, 0), 'ondisk disk'],
    ['has no copy of its table', () => damaged(undefined, 33), 'ondisk disk'],
    ['has two damaged tables', () => damaged(512 + 40, 1), 'ENOPKG'],
    ['has large sectors', () => gptDisk([{ type: 'root', contents: system }], 4096), 'ondisk disk'],
    ['has an old table', () => mbrDisk([{ type: 0x83, contents: other }, { type: 0x83, contents: system, active: true }]), 'ondisk disk'],
    ['has an old table without an active partition', () => mbrDisk([{ type: 0x83, contents: system }]), 'ENXIO'],
    ['has an old table with two', () => mbrDisk([{ type: 0x83, contents: system, active: true }, { type: 0x83, contents: other, active: true }]), 'ENOTUNIQ'],
    ['has an old table of another system', () => mbrDisk([{ type: 0x0c, contents: system, active: true }]), 'ENXIO'],
  ];
  for (const [what, disk, found] of expected) {
    test(`that ${what}: ${found}`, async () => assert.equal(await look(disk()), found));
  }

  test('is not written to', async () => {
    const file = path.join(place.root, 'disk.raw');
    writeFileSync(file, system);
    await place.metadata('disk');
    assert.deepEqual(readFileSync(file), system);
  });

  test('that the kernel has as a device says the same', async () => {
    const table = gptDisk([{ type: 'root', contents: system }]);
    for (const contents of [system, table]) {
      const file = path.join(place.root, 'contents');
      writeFileSync(file, contents);
      const device = attach(file);
      try {
        rmSync(path.join(place.root, 'device'), { force: true });
        symlinkSync(device, path.join(place.root, 'device'));
        assert.equal(place.images.find('device')?.type, 'block');
        assert.equal((await place.metadata('device')).hostname, 'ondisk');
      } finally {
        execFileSync('losetup', ['--detach', device]);
        rmSync(device);
      }
    }
  });

  /** By a node of our own: /dev may have none. */
  function attach(file: string): string {
    for (let number = 0; number < 256; number++) {
      if (existsSync(`/sys/block/loop${number}/loop`)) continue; // it is in use
      const node = path.join(place.root, `loop${number}`);
      execFileSync('mknod', [node, 'b', '7', String(number)]);
      if (spawnSync('losetup', ['--read-only', node, file]).status === 0) return node; // another process may have been faster
      rmSync(node);
    }
    return assert.fail('no loop device is free');
  }

  test('needs no nodes of loop devices', () => {
    // in a mount namespace whose /dev has none
    const script = `mount -t tmpfs none /dev && exec "$0" --enable-source-maps --input-type=module -e '
      import { closeSync, openSync, readdirSync } from "node:fs";
      const { mountPart } = await import(process.argv[1]);
      const file = openSync(process.argv[2], "r");
      const root = mountPart(file, { offset: 0n, size: 0n }, "ext4", ["noload"]);
      console.log(readdirSync("/proc/self/fd/" + root).sort().join());' "$@"`;
    const file = path.join(place.root, 'contents');
    writeFileSync(file, system);
    const module = new URL('../../src/host/kernel/disk-mount.js', import.meta.url).href;
    const listed = execFileSync('unshare', ['--mount', 'sh', '-c', script, process.execPath, module, file], { encoding: 'utf8' });
    assert.equal(listed, 'etc,lost+found,usr\n');
  });
});

test('a disk that is protected is for systemd-dissect to look into', () => {
  using place = new Place();
  const file = path.join(place.root, 'disk.raw');
  writeFileSync(file, gptDisk([{ type: 'root', contents: Buffer.alloc(1 << 20) }, { type: 'rootVerity', contents: Buffer.alloc(1 << 20) }]));
  const script = `
    import { readMetadata } from '${new URL('../../src/host/images/read-metadata.js', import.meta.url).href}';
    try { console.log(JSON.stringify(readMetadata({ name: 'disk', path: process.argv[1], type: 'raw' }, '/nonexistent'))); }
    catch (error) { console.log(error.errno, error.message); }`;
  const lookWith = (program: string | undefined): string => {
    const programs = path.join(place.root, 'programs');
    rmSync(programs, { recursive: true, force: true });
    mkdirSync(programs);
    if (program !== undefined) writeFileSync(path.join(programs, 'systemd-dissect'), `#!/bin/sh\n${program}\n`, { mode: 0o755 });
    for (const needed of ['timeout', 'sh', 'sleep', 'echo']) symlinkSync(execFileSync('which', [needed], { encoding: 'utf8' }).trim(), path.join(programs, needed));
    return execFileSync(process.execPath, ['--input-type=module', '-e', script, file], { encoding: 'utf8', env: { ...process.env, PATH: programs } }).trim();
  };
  assert.match(lookWith(undefined), /^EOPNOTSUPP .*systemd-dissect is not installed/);
  const facts = '{"hostname":"h","machineInfo":["CHASSIS=vm"],"osRelease":["ID=x","NAME=a=b"],"mounts":[]}';
  assert.deepEqual(JSON.parse(lookWith(`[ "$*" = "--no-pager --json=short -- ${file}" ] && echo '${facts}'`)), {
    hostname: 'h', machineId: null, machineInfo: [['CHASSIS', 'vm']], osRelease: [['ID', 'x'], ['NAME', 'a=b']],
  });
  assert.equal(lookWith('echo No such luck >&2; exit 1'), 'EOPNOTSUPP systemd-dissect fails: No such luck');
  assert.match(lookWith('echo {'), /^EOPNOTSUPP .*understood/);
  assert.match(lookWith('sleep 600 & sleep 600'), /^ETIMEDOUT /);
});
