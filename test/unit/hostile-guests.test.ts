/** Guests that do their worst to whoever reaches into them: real namespaces, which take root. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { suite, test } from 'node:test';
import { isFailure } from '../../src/domain/failure.js';
import { GuestCommands } from '../../src/host/guests/guest-commands.js';
import { ordinaryLimits } from '../../src/host/guests/helper-pool.js';
import { command, noStreams } from '../compliance/commands.js';
import { failsWith, Guest, look } from '../support/guest.js';

const skip = process.getuid?.() === 0 ? false : 'needs root';

class HostDirectory implements Disposable {
  readonly path = mkdtempSync(path.join(tmpdir(), 'machined-hostile-'));
  readonly #inMemory: boolean;

  constructor({ inMemory = false } = {}) {
    this.#inMemory = inMemory;
    if (inMemory) execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', this.path]);
  }

  file(name: string): string {
    return path.join(this.path, name);
  }

  [Symbol.dispose](): void {
    if (this.#inMemory) execFileSync('umount', ['-l', this.path]);
    rmSync(this.path, { recursive: true });
  }
}

/** What it comes to, or the errno that it fails with. */
async function outcome<T>(work: Promise<T>): Promise<T | string> {
  try {
    return await work;
  } catch (error) {
    if (isFailure(error, 'system') && error.errno !== undefined) return error.errno;
    throw error;
  }
}

suite('a hostile guest', { skip }, () => {
  test('that swaps its directories for links to the host while they are looked at shows nothing of the host', async () => {
    using place = look();
    using guest = await Guest.start();
    using host = new HostDirectory();
    const { files } = place.guests;
    writeFileSync(host.file('os-release'), 'ID=outside\n');
    writeFileSync(guest.file('etc/os-release'), 'ID=inside\n');
    symlinkSync(host.path, guest.file('evil'));
    const swapping = guest.spawn(`cd "$1"; echo swapping; exec ${process.execPath} -e '
      for (;;) for (const [from, to] of [["etc", "kept"], ["evil", "etc"], ["etc", "evil"], ["kept", "etc"]]) fs.renameSync(from, to);'`);
    await swapping.said('swapping');
    const seen = new Set<string>();
    const deadline = Date.now() + 30_000;
    for (let round = 0; round < 60 || (seen.size < 3 && Date.now() < deadline); round++) {
      const release = await outcome(place.guests.osRelease(guest.leader));
      seen.add(typeof release === 'string' ? release : String(release?.get('ID')));
      const request = { machine: 'guest', direction: 'from', source: '/etc/os-release', destination: host.file('copy'), replace: true } as const;
      seen.add(String(await outcome(files.copy(guest.leader, request))));
      if (existsSync(host.file('copy'))) assert.equal(readFileSync(host.file('copy'), 'utf8'), 'ID=inside\n');
      await outcome(files.copy(guest.leader, { machine: 'guest', direction: 'to', source: host.file('os-release'), destination: '/etc/planted', replace: true }));
    }
    await swapping.end();
    assert.deepEqual([...seen].filter((one) => !['inside', 'undefined', 'ENOENT', 'ENOTDIR', 'ELOOP'].includes(one)), []);
    assert.ok(seen.has('inside') && seen.size >= 3, [...seen].join());
    assert.deepEqual(readdirSync(host.path).filter((name) => name !== 'copy'), ['os-release']);
    assert.equal(readFileSync(host.file('os-release'), 'utf8'), 'ID=outside\n');
  });

  test('that has put files of its own in the place of /proc leads nobody astray by it', async () => {
    using place = look();
    using guest = await Guest.start();
    using host = new HostDirectory();
    const { files } = place.guests;
    writeFileSync(host.file('secret'), 'secret');
    // wherever descriptors of this or another process might be looked up by a path
    guest.inside(`
      mount -t tmpfs tmpfs "$1/proc"
      mkdir -p "$1/proc/self/fd" "$1/proc/thread-self/ns"; ln -s self "$1/proc/1"
      for number in $(seq 0 40); do ln -s ${host.path} "$1/proc/self/fd/$number"; done
      ln -s /nowhere "$1/proc/self/root"; ln -s /nowhere "$1/proc/thread-self/ns/mnt"`);
    writeFileSync(guest.file('etc/os-release'), 'ID=inside\n');
    mkdirSync(guest.file('etc/target'));
    assert.deepEqual(await place.guests.osRelease(guest.leader), new Map([['ID', 'inside']]));
    const root = await files.openRoot(guest.leader);
    assert.ok(readdirSync(`/proc/self/fd/${root}`).includes('etc'));
    closeSync(root);
    await files.bind(guest.leader, { source: host.path, destination: '/etc/target', readOnly: true, makeDestination: false });
    assert.equal(guest.inside('cat "$1/etc/target/secret"'), 'secret');
    await files.unbind(guest.leader, '/etc/target');
    assert.equal(guest.inside('ls "$1/etc/target"'), '');
    await files.copy(guest.leader, { machine: 'guest', direction: 'from', source: '/etc/os-release', destination: host.file('copy'), replace: false });
    await files.copy(guest.leader, { machine: 'guest', direction: 'to', source: host.file('copy'), destination: '/etc/copy', replace: false });
    assert.equal(readFileSync(guest.file('etc/copy'), 'utf8'), 'ID=inside\n');
    const magic = { machine: 'guest', direction: 'from', source: '/proc/self/fd/3/secret', destination: host.file('stolen'), replace: false } as const;
    await assert.rejects(files.copy(guest.leader, magic), failsWith('ENOENT'));
    assert.deepEqual(readdirSync(host.path).sort(), ['copy', 'secret']);
  });

  /** What a guest may have where a file is expected, made at "$2"; the host has files of its own in "$3". */
  const impostors = {
    fifo: 'mkfifo "$2"',
    directory: 'mkdir "$2"',
    device: 'mknod --mode=755 "$2" c 1 5',
    'link to the host': 'ln -s "$3/planted" "$2"',
    'way up to the host': 'ln -s "../../../../../../../../$3/planted" "$2"',
    'link to itself': 'ln -s "${2##*/}" "$2"',
    'link of /proc': 'ln -s /proc/1/root"$3/planted" "$2"',
    'descriptor of /proc': 'ln -s /proc/self/fd/0 "$2"',
    'endless file': 'truncate -s 1T "$2"',
    'mount on itself': 'echo "#!/etc/${2##*/}" >"$2"; chmod 755 "$2"; for i in 1 2 3; do mount --bind "$2" "$2"; done',
  } as const;

  const plant = (guest: Guest, impostor: keyof typeof impostors, file: string, host: HostDirectory) => {
    guest.inside(`set -- "$1" "$1/${file}" ${host.path}; rm -f "$2"; ${impostors[impostor]}`);
  };

  for (const impostor of Object.keys(impostors) as (keyof typeof impostors)[]) {
    test(`that has a ${impostor} where files are looked for costs its asker an error`, async () => {
      using place = look();
      using commands = new GuestCommands({ ...ordinaryLimits, answer: 60_000 });
      using guest = await Guest.start();
      using host = new HostDirectory();
      writeFileSync(host.file('planted'), 'ID=outside\nroot:x:0:0::/:/bin/sh\n', { mode: 0o755 });
      for (const file of ['etc/os-release', 'etc/program']) plant(guest, impostor, file, host);
      const release = await outcome(place.guests.osRelease(guest.leader));
      assert.ok(typeof release === 'string' || release?.has('ID') !== true);
      const run = () => commands.run(guest.leader, command(['/etc/program']), noStreams);
      await assert.rejects(run(), (error) => isFailure(error, 'system') && /^(ENOENT|EACCES|ELOOP)$/.test(error.errno ?? ''));
      plant(guest, impostor, 'etc/passwd', host);
      await assert.rejects(run(), isFailure);
      const request = { machine: 'guest', direction: 'from', source: '/etc/program/x', destination: host.file('copy'), replace: false } as const;
      await assert.rejects(place.guests.files.copy(guest.leader, request), (error) => isFailure(error, 'system'));
      assert.deepEqual(readdirSync(host.path), ['planted']);
    });
  }

  test('that has thousands of files with names of all bytes has them copied, both ways', async () => {
    using place = look();
    using guest = await Guest.start();
    using host = new HostDirectory({ inMemory: true });
    guest.inside('mount -t tmpfs tmpfs "$1/etc"');
    const names = namesOfAllBytes(2000);
    mkdirSync(host.file('many'));
    for (const name of names) writeFileSync(Buffer.concat([Buffer.from(`${host.file('many')}/`), name]), name);
    const { files } = place.guests;
    await files.copy(guest.leader, { machine: 'guest', direction: 'to', source: host.file('many'), destination: '/etc/many', replace: false });
    await files.copy(guest.leader, { machine: 'guest', direction: 'from', source: '/etc/many', destination: host.file('back'), replace: false });
    const found = readdirSync(host.file('back'), { encoding: 'buffer' });
    assert.deepEqual(found.map((name) => name.toString('hex')).sort(), names.map((name) => name.toString('hex')).sort());
    for (const name of found) {
      assert.ok(readFileSync(Buffer.concat([Buffer.from(`${host.file('back')}/`), name])).equals(name), name.toString('hex'));
    }
  });

  test('that has ten thousand directories one in the other is left where it gets too deep', async () => {
    using place = look();
    using guest = await Guest.start();
    using host = new HostDirectory({ inMemory: true });
    guest.inside(`mount -t tmpfs tmpfs "$1/etc"; cd "$1/etc"; ${process.execPath} -e '
      for (let level = 0; level < 10000; level++) { fs.mkdirSync("d"); process.chdir("d"); }'`);
    const request = { machine: 'guest', direction: 'from', source: '/etc', destination: host.file('deep'), replace: false } as const;
    await assert.rejects(place.guests.files.copy(guest.leader, request), failsWith('ENAMETOOLONG'));
    mkdirSync(host.file('deep'));
    await assert.rejects(place.guests.files.copy(guest.leader, request), failsWith('ENAMETOOLONG'));
    assert.deepEqual(readdirSync(host.file('deep')), []);
  });
});

/** Different ones, of up to 255 bytes: each byte that a name can have is in several of them. */
function namesOfAllBytes(count: number): Buffer[] {
  const bytes = Array.from({ length: 255 }, (_, index) => index + 1).filter((byte) => byte !== 0x2f);
  return Array.from({ length: count }, (_, index) => {
    const length = 1 + (index % 250);
    const name = Array.from({ length }, (_unused, at) => bytes[(index * 7 + at * 13) % bytes.length] as number);
    return Buffer.from([...Buffer.from(index.toString(36)), ...name]);
  });
}
