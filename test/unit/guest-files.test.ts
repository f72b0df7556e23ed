/** Reaching into the files of guests: real namespaces, which take root, with all that a hostile guest may have in store. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import {
  closeSync, existsSync, lstatSync, mkdirSync, mkdtempSync, openSync, readFileSync, readdirSync, readlinkSync, rmSync, statSync, symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { KernelGuests } from '../../src/host/guests/kernel-guests.js';
import { bind } from '../../src/host/kernel/libc.js';
import type { Progress } from '../../src/domain/operations.js';
import type { CopyRequest } from '../../src/ports/guest-files.js';
import { FakeGuestFiles } from '../../src/ports/fakes/guest-files.js';
import { guestFilesCompliance } from '../compliance/guest-files.js';
import { failsWith, Guest, helpersOf, identify, look, until } from '../support/guest.js';

const skip = process.getuid?.() === 0 ? false : 'needs root';
const shift = 1_000_000; // of the guests with a user namespace

const setAttribute = bind<(path: Buffer, name: Buffer, value: Buffer, length: number, flags: number) => number>(
  'int setxattr(const void *, const void *, const void *, size_t, int)',
);
const getAttribute = bind<(path: Buffer, name: Buffer, value: Buffer, length: number) => number>(
  'intptr_t getxattr(const void *, const void *, void *, size_t)',
);
const cString = (text: string): Buffer => Buffer.from(`${text}\0`);

/** A directory of the host, on the disk. */
class HostDirectory implements Disposable {
  readonly path = mkdtempSync(path.join(tmpdir(), 'machined-files-'));

  file(name: string): string {
    return path.join(this.path, name);
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true });
  }
}

function copy(guests: KernelGuests, guest: Guest, direction: 'from' | 'to', source: string, destination: string, replace = false) {
  const request: CopyRequest = { machine: 'guest', direction, source, destination, replace };
  return guests.files.copy(guest.leader, request);
}

function statusLine(pid: string, field: string): string | undefined {
  return new RegExp(`^${field}:.*$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[0];
}

/** Name, type, mode, owner, names, size, times in ns and target of everything in a tree. */
function describeTree(directory: string): string[] {
  const format = '%P %y %m %U:%G %n %s %T@ %l\n';
  const lines = execFileSync('find', [directory, '-printf', format], { encoding: 'utf8' }).trimEnd().split('\n');
  return lines.map((line) => line.replace(/^(\S*) d (\S+ \S+) \S+ \S+/, '$1 d $2')).sort(); // a directory's size is its own affair
}

const tree = `
  mkdir -p "$1/t/sub/empty"; cd "$1/t"
  echo one >a; ln a b; ln a sub/c; echo two >sub/plain; mkfifo fifo; mknod null c 1 3; ln -s a link; ln -s /etc/passwd out
  printf 'x' >"$(printf 'sub/\\377name')"
  chmod 4755 a; chmod 640 sub/plain; chmod 2750 sub; chmod 500 sub/empty
  touch -h -d '2001-02-03 04:05:06.123456789' a fifo link sub/empty sub`;

guestFilesCompliance('fakes', async () => {
  const files = new FakeGuestFiles(() => openSync('/', 'r'));
  files.copiesEnd = ({ source }) => source !== '/long';
  const request = { machine: 'guest', direction: 'to', source: '/short', destination: '/x', replace: false } as const;
  return {
    files,
    leader: { pid: 7, pidfdId: undefined },
    end: async () => void files.ended.add(7),
    longCopy: { ...request, source: '/long' },
    shortCopy: request,
    [Symbol.asyncDispose]: async () => undefined,
  };
});

guestFilesCompliance('files of the kernel', async () => {
  const place = look();
  const guest = await Guest.start();
  const host = new HostDirectory();
  execFileSync('truncate', ['-s', '1G', host.file('long')]);
  writeFileSync(host.file('short'), 'short');
  const request = { machine: 'guest', direction: 'to', replace: false } as const;
  return {
    files: place.guests.files,
    leader: guest.leader,
    end: () => guest.end(),
    longCopy: { ...request, source: host.file('long'), destination: '/long' },
    shortCopy: { ...request, source: host.file('short'), destination: '/short' },
    [Symbol.asyncDispose]: async () => {
      place[Symbol.dispose]();
      guest[Symbol.dispose]();
      host[Symbol.dispose]();
    },
  };
}, { skip });

suite('the root directory', { skip }, () => {
  test('is opened for reading', async () => {
    using place = look();
    using guest = await Guest.start({ userNamespace: true });
    const fd = await place.guests.files.openRoot(guest.leader);
    try {
      assert.deepEqual(readdirSync(`/proc/self/fd/${fd}`).sort(), ['bin', 'etc', 'lib', 'lib64', 'proc', 'usr']);
      assert.match(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'), /^flags:\t0[0-7]*[0-7]00000$/m); // not O_PATH; O_RDONLY
    } finally {
      closeSync(fd);
    }
  });

  test('of the host is its own', async () => {
    using place = look();
    const fd = await place.guests.files.openRoot(identify(1));
    assert.equal(statSync(`/proc/self/fd/${fd}`).ino, statSync('/').ino);
    closeSync(fd);
  });

  test('of a process that has ended is not there', async () => {
    using place = look();
    using guest = await Guest.start();
    await guest.end();
    await assert.rejects(place.guests.files.openRoot(guest.leader), failsWith('ESRCH'));
  });

  test('no descriptor is left behind', async () => {
    using place = look();
    using guest = await Guest.start();
    closeSync(await place.guests.files.openRoot(guest.leader));
    const before = readdirSync('/proc/self/fd').length;
    for (let count = 0; count < 20; count++) closeSync(await place.guests.files.openRoot(guest.leader));
    await copy(place.guests, guest, 'from', '/usr', '/nowhere/x').catch(() => undefined);
    assert.equal(readdirSync('/proc/self/fd').length, before);
  });
});

suite('copies', { skip }, () => {
  for (const direction of ['from', 'to'] as const) {
    test(`${direction} a guest of the host's users keep everything`, async () => {
      using place = look();
      using guest = await Guest.start();
      using host = new HostDirectory();
      const [source, destination] = direction === 'to' ? [host.file('t'), guest.file('copy')] : [guest.file('t'), host.file('copy')];
      execFileSync('sh', ['-ec', `${tree}; chown -h 7:8 link fifo sub/plain`, 'sh', path.dirname(source)]);
      await (direction === 'to'
        ? copy(place.guests, guest, 'to', source, '/copy')
        : copy(place.guests, guest, 'from', '/t', destination));
      assert.deepEqual(describeTree(destination), describeTree(source));
      assert.equal(statSync(path.join(destination, 'a')).ino, statSync(path.join(destination, 'sub/c')).ino);
    });
  }

  test('to a guest with users of its own become its root user\'s', async () => {
    using place = look();
    using guest = await Guest.start({ userNamespace: true });
    using host = new HostDirectory();
    execFileSync('sh', ['-ec', `${tree}; chown -h 7:8 link fifo sub/plain`, 'sh', host.path]);
    await copy(place.guests, guest, 'to', host.file('t'), '/copy');
    const expected = describeTree(host.file('t')).map((line) => line.replace(/ \d+:\d+ /, ` ${shift}:${shift} `));
    assert.deepEqual(describeTree(guest.file('copy')), expected);
  });

  test('from a guest with users of its own become root\'s, whom their programs do not run as', async () => {
    using place = look();
    using guest = await Guest.start({ userNamespace: true });
    using host = new HostDirectory();
    execFileSync('sh', ['-ec', `${tree}; chown -hR ${shift + 5}:${shift} .; chmod 4755 a`, 'sh', guest.root]);
    await copy(place.guests, guest, 'from', '/t', host.file('copy'));
    const expected = describeTree(guest.file('t')).map((line) => line.replace(/ \d+:\d+ /, ' 0:0 ').replace(' 4755 ', ' 755 '));
    assert.deepEqual(describeTree(host.file('copy')), expected);
  });

  test('keep holes, attributes of users and large contents', async () => {
    using place = look();
    using guest = await Guest.start();
    using host = new HostDirectory();
    const file = host.file('disk');
    execFileSync('sh', ['-ec', 'truncate -s 1G "$1"; dd if=/dev/urandom of="$1" bs=1M count=20 seek=300 conv=notrunc status=none', 'sh', file]);
    guest.inside('mount -t tmpfs tmpfs "$1/etc"'); // another file system: nothing can be cloned
    await copy(place.guests, guest, 'to', file, '/etc/disk');
    guest.inside(`cmp "$1/etc/disk" ${file}`);
    assert.ok(Number(guest.inside('stat -c %b "$1/etc/disk"')) * 512 < 64 << 20, 'the holes are filled');
    await copy(place.guests, guest, 'from', '/etc/disk', host.file('back'));
    assert.equal(statSync(host.file('back')).size, 2 ** 30);
    assert.ok(statSync(host.file('back')).blocks * 512 < 64 << 20);
  });

  test('keep attributes of users, and nobody else\'s', async () => {
    using place = look();
    using guest = await Guest.start();
    using host = new HostDirectory();
    mkdirSync(host.file('t'));
    writeFileSync(host.file('t/f'), 'f');
    const value = Buffer.from('value');
    const set = (file: string, name: string) => setAttribute(cString(file), cString(name), value, value.length, 0);
    assert.equal(set(host.file('t'), 'user.directory') + set(host.file('t/f'), 'user.file') + set(host.file('t/f'), 'trusted.x'), 0);
    await copy(place.guests, guest, 'to', host.file('t'), '/t');
    const found = Buffer.alloc(100);
    const length = getAttribute(cString(guest.file('t/f')), cString('user.file'), found, found.length);
    assert.deepEqual(found.subarray(0, length), value);
    assert.equal(getAttribute(cString(guest.file('t')), cString('user.directory'), found, found.length), 5);
    assert.equal(getAttribute(cString(guest.file('t/f')), cString('trusted.x'), found, found.length), -1);
  });

  test('of files that do not know their size are complete', async () => {
    using place = look();
    using guest = await Guest.start();
    using host = new HostDirectory();
    await copy(place.guests, guest, 'from', '/proc/version', host.file('version'));
    assert.equal(readFileSync(host.file('version'), 'utf8'), readFileSync('/proc/version', 'utf8'));
  });

  test('merge directories, and leave files alone or replace them', async () => {
    using place = look();
    using guest = await Guest.start();
    using host = new HostDirectory();
    execFileSync('sh', ['-ec', 'mkdir -p "$1/t/sub" && cd "$1/t" && echo new >f && ln f f2 && echo new >sub/g && ln -s f l', 'sh', host.path]);
    execFileSync('sh', ['-ec', 'mkdir -m 700 -p "$1/t/sub" && cd "$1/t" && echo old >f && echo stays >other && mkdir l', 'sh', guest.root]);
    await copy(place.guests, guest, 'to', host.file('t'), '/t');
    assert.deepEqual(readdirSync(guest.file('t')).sort(), ['f', 'f2', 'l', 'other', 'sub']);
    assert.equal(readFileSync(guest.file('t/f'), 'utf8'), 'old\n');
    assert.equal(readFileSync(guest.file('t/sub/g'), 'utf8'), 'new\n');
    await copy(place.guests, guest, 'to', host.file('t'), '/t', true);
    assert.equal(readFileSync(guest.file('t/f'), 'utf8'), 'new\n');
    assert.equal(statSync(guest.file('t/f')).ino, statSync(guest.file('t/f2')).ino);
    assert.ok(statSync(guest.file('t/l')).isDirectory());
    assert.equal(readFileSync(guest.file('t/other'), 'utf8'), 'stays\n');
  });

  test('that cannot be are refused as the original does', async () => {
    using place = look();
    using guest = await Guest.start();
    using host = new HostDirectory();
    execFileSync('sh', ['-ec', 'cd "$1"; mkdir d; mkdir -p t/d; echo f >file; echo f >t/file; echo g >t/x', 'sh', host.path]);
    execFileSync('sh', ['-ec', 'cd "$1"; mkdir d t; echo f >file; echo f >t/d; ln -s d l', 'sh', guest.root]);
    const to = (source: string, destination: string, replace = false) => copy(place.guests, guest, 'to', host.file(source), destination, replace);
    await assert.rejects(to('missing', '/x'), failsWith('ENOENT'));
    await assert.rejects(to('file', '/missing/x'), failsWith('ENOENT'));
    await assert.rejects(to('file', '/file'), failsWith('EEXIST'));
    await assert.rejects(to('file', '/d', true), failsWith('EEXIST'));
    await assert.rejects(to('d', '/file', true), failsWith('ENOTDIR'));
    await assert.rejects(to('d', '/l', true), failsWith('EEXIST'));
    await assert.rejects(to('file', '/..'), failsWith('EINVAL'));
    await assert.rejects(to('t', '/t'), failsWith('ENOTDIR')); // t/d is in the way
    assert.deepEqual(readdirSync(guest.file('t')).sort(), ['d', 'file', 'x']); // the rest is there
  });

  test('of a directory into itself end', async () => {
    using place = look();
    using guest = await Guest.start();
    mkdirSync(guest.file('a/b'), { recursive: true });
    await copy(place.guests, guest, 'to', guest.file('a'), '/a/b/c');
    assert.deepEqual(readdirSync(guest.file('a/b/c')), ['b']);
    assert.deepEqual(readdirSync(guest.file('a/b/c/b')), []);
  });

  test('that fail leave nothing behind', async () => {
    using place = look();
    using guest = await Guest.start();
    using host = new HostDirectory();
    guest.inside('mount -t tmpfs -o size=1m tmpfs "$1/etc"');
    execFileSync('sh', ['-ec', 'mkdir -p "$1/t/sub"; head -c 3M /dev/zero | tr "\\0" x >"$1/t/sub/big"', 'sh', host.path]);
    await assert.rejects(copy(place.guests, guest, 'to', host.file('t'), '/etc/t'), failsWith('ENOSPC'));
    await assert.rejects(copy(place.guests, guest, 'to', host.file('t/sub/big'), '/etc/big'), failsWith('ENOSPC'));
    assert.equal(guest.inside('ls -A "$1/etc"'), '');
  });

  test('that fail in a directory that is there leave in it what was there, and nothing else', async () => {
    using place = look();
    using guest = await Guest.start();
    using host = new HostDirectory();
    guest.inside('mount -t tmpfs -o size=1m tmpfs "$1/etc"; mkdir -p "$1/etc/t/sub"; echo old >"$1/etc/t/sub/old"');
    execFileSync('sh', ['-ec', 'mkdir -p "$1/t/sub/new" "$1/t/a"; cd "$1/t"; echo x >a/x; echo x >sub/new/x; echo x >sub/old; head -c 3M /dev/zero | tr "\\0" x >sub/big', 'sh', host.path]);
    await assert.rejects(copy(place.guests, guest, 'to', host.file('t'), '/etc/t'), failsWith('ENOSPC'));
    assert.equal(guest.inside('cd "$1/etc" && find . -type f -o -empty'), './t/sub/old\n');
  });

  test('tell how far they have come, and take back what they made when they are canceled', async () => {
    using place = look();
    using guest = await Guest.start();
    using host = new HostDirectory();
    execFileSync('sh', ['-ec', 'cd "$1"; mkdir t; head -c 1M /dev/zero >t/a; ln t/a t/b; mkfifo t/c', 'sh', host.path]);
    const { files } = place.guests;
    const reports: Progress[] = [];
    const request = { machine: 'guest', direction: 'to', source: host.file('t'), destination: '/t', replace: false } as const;
    const report = (progress: Progress) => void reports.push(progress);
    await files.copy(guest.leader, request, { report, canceled: new AbortController().signal });
    assert.deepEqual(reports.at(-1), { filesDone: 4, bytesDone: 1 << 20 });
    await files.copy(guest.leader, { ...request, source: host.file('t/a'), destination: '/a' }, { report, canceled: new AbortController().signal });
    assert.deepEqual(reports.at(-1), { filesDone: 1, bytesDone: 1 << 20, filesTotal: 1, bytesTotal: 1 << 20 });

    mkdirSync(host.file('many'));
    for (let count = 0; count < 12_000; count++) writeFileSync(host.file(`many/${count}`), '');
    execFileSync('sh', ['-ec', 'cd "$1"; mkdir there; echo old >there/0', 'sh', guest.root]);
    for (const destination of ['new', 'there']) {
      const canceler = new AbortController();
      const many = files.copy(
        guest.leader,
        { ...request, source: host.file('many'), destination: `/${destination}` },
        { report: () => canceler.abort(), canceled: canceler.signal },
      );
      await assert.rejects(many, failsWith('ECANCELED'));
    }
    assert.deepEqual(readdirSync(guest.root).filter((name) => /new|there|^\./.test(name)), ['there']);
    assert.deepEqual(readdirSync(guest.file('there')), ['0']);
  });

  test('follow no link of a guest to the host', async () => {
    using place = look();
    using guest = await Guest.start();
    using host = new HostDirectory();
    writeFileSync(host.file('secret'), 'secret');
    symlinkSync(host.path, guest.file('door'));
    symlinkSync(`/proc/self/root${host.path}`, guest.file('magic'));
    const passwd = host.file('passwd');
    await assert.rejects(copy(place.guests, guest, 'from', '/door/secret', passwd), failsWith('ENOENT'));
    await assert.rejects(copy(place.guests, guest, 'from', '/magic/secret', passwd), failsWith('ELOOP'));
    await assert.rejects(copy(place.guests, guest, 'from', `/../..${host.path}/secret`, passwd), failsWith('ENOENT'));
    await assert.rejects(copy(place.guests, guest, 'to', host.file('secret'), '/door/new'), failsWith('ENOENT'));
    await assert.rejects(copy(place.guests, guest, 'to', host.file('secret'), '/magic/new'), failsWith('ELOOP'));
    await copy(place.guests, guest, 'from', '/door', passwd);
    assert.equal(readlinkSync(passwd), host.path);
    assert.deepEqual(readdirSync(host.path).sort(), ['passwd', 'secret']);
  });

  test('stop at a tree that is too deep', async () => {
    using place = look();
    using guest = await Guest.start();
    using host = new HostDirectory();
    execFileSync('sh', ['-ec', 'cd "$1"; mkdir deep; cd deep; i=0; while [ $i -lt 1100 ]; do mkdir d; cd -P d 2>/dev/null || cd d; i=$((i+1)); done', 'sh', guest.root]);
    await assert.rejects(copy(place.guests, guest, 'from', '/deep', host.file('deep')), failsWith('ENAMETOOLONG'));
    assert.ok(!existsSync(host.file('deep')));
  });
});

// A file system whose server never says a word: any walk into it waits until the walker is killed.
const hang = 'exec 3<>/dev/fuse; mount -i -t fuse -o fd=3,rootmode=40000,user_id=0,group_id=0,allow_other hung "$1/etc"; sleep 20 3<&3 >/dev/null 2>&1 &';

suite('a guest that keeps us waiting', { skip: skip || (existsSync('/dev/fuse') ? false : 'needs /dev/fuse') }, () => {
  test('is given up on, while others are served and a copy goes on until it is cancelled', async () => {
    using place = look({ answer: 5000 });
    using hostile = await Guest.start();
    using honest = await Guest.start();
    using host = new HostDirectory();
    hostile.inside(hang);
    const { files } = place.guests;
    const bind = files.bind(hostile.leader, { source: host.path, destination: '/etc/x', readOnly: true, makeDestination: false });
    writeFileSync(honest.file('etc/y'), 'y');
    await Promise.all([
      assert.rejects(bind, failsWith('ETIMEDOUT')),
      assert.rejects(files.unbind(hostile.leader, '/etc/x'), failsWith('ETIMEDOUT')),
      assert.rejects(copy(place.guests, hostile, 'from', '/etc/x', host.file('x')), failsWith('ETIMEDOUT')),
      assert.rejects(copy(place.guests, hostile, 'to', host.path, '/etc/x'), failsWith('ETIMEDOUT')),
      assert.rejects(copy(place.guests, hostile, 'to', host.path, '/etc/y'), failsWith('ETIMEDOUT')),
      copy(place.guests, honest, 'from', '/etc/y', host.file('y')),
    ]);

    // what hangs below the directory that is copied shows only later
    const canceler = new AbortController();
    const everything = { machine: 'guest', direction: 'from', source: '/etc', destination: host.file('etc'), replace: false } as const;
    const hung = files.copy(hostile.leader, everything, { report: () => undefined, canceled: canceler.signal });
    await copy(place.guests, honest, 'from', '/etc/y', host.file('z'));
    assert.equal(await Promise.race([hung, sleep(600, 'waiting')]), 'waiting');
    canceler.abort();
    await assert.rejects(hung, failsWith('ECANCELED'));
  });
});

const hangIn = (place: string) => `mkdir -p "$1/${place}"; ${hang.replace('"$1/etc"', `"$1/${place}"`)}`;
const leftIn = (directory: string): string[] => execFileSync('find', [directory, '-name', '.#copy-*'], { encoding: 'utf8' }).split('\n').slice(0, -1);

suite('a copy that gets no further', { skip: skip || (existsSync('/dev/fuse') ? false : 'needs /dev/fuse') }, () => {
  test('is given up, and leaves nothing behind', async () => {
    using place = look({ headway: 500 });
    using hostile = await Guest.start();
    using host = new HostDirectory();
    hostile.inside(`mkdir -p "$1/x/a"; echo a >"$1/x/a/file"; ${hangIn('x/b/deep')}`);
    await assert.rejects(copy(place.guests, hostile, 'from', '/x', host.file('new')), failsWith('ETIMEDOUT'));
    mkdirSync(host.file('there/b'), { recursive: true });
    writeFileSync(host.file('there/b/old'), 'old');
    await assert.rejects(copy(place.guests, hostile, 'from', '/x', host.file('there')), failsWith('ETIMEDOUT'));
    assert.deepEqual(leftIn(host.path), []);
    assert.deepEqual(readdirSync(host.path), ['there']);
    assert.equal(readFileSync(host.file('there/b/old'), 'utf8'), 'old');
    assert.match(place.log.warnings[0] ?? '', /got no further for 0.5 seconds/);
    assert.deepEqual(readdirSync(path.join(place.directory, 'copies')), []);
  });

  test('leaves nothing behind when its helper is killed, in either direction', async () => {
    using place = look();
    using hostile = await Guest.start();
    using host = new HostDirectory();
    hostile.inside(hangIn('x/hung'));
    hostile.inside('mkdir -p "$1/new"');
    // a file system that hangs in the host, for once: at the source of a copy into the guest
    execFileSync('sh', ['-ec', hangIn('src/hung'), 'sh', host.path]);
    try {
      for (const [direction, source, destination, where] of [
        ['from', '/x', host.file('copy'), host.path], ['to', host.file('src'), '/new/copy', hostile.file('new')],
      ] as const) {
        const copying = assert.rejects(copy(place.guests, hostile, direction, source, destination), failsWith('EIO'));
        await until(() => readdirSync(where).some((name) => name.startsWith('.#copy-')));
        process.kill(Number(helpersOf(process.pid).at(-1)), 'SIGKILL'); // the youngest
        await copying;
        assert.deepEqual(readdirSync(where).filter((name) => name.startsWith('.')), []);
      }
    } finally {
      execFileSync('umount', ['-l', host.file('src/hung')]);
    }
  });

  test('and whose daemon is killed is tidied up after by the next one', async () => {
    using place = look();
    using hostile = await Guest.start();
    using host = new HostDirectory();
    hostile.inside(hangIn('x/hung'));
    const module = new URL('../../src/host/guests/kernel-guests.js', import.meta.url).href;
    const { pid, pidfdId } = hostile.leader;
    const program = `
      const { KernelGuests } = await import(${JSON.stringify(module)});
      const leader = { pid: ${pid}, pidfdId: ${pidfdId === undefined ? 'undefined' : `${pidfdId}n`} };
      const request = { machine: 'guest', direction: 'from', source: '/x', destination: ${JSON.stringify(host.file('copy'))}, replace: false };
      await new KernelGuests({ warning() {} }, ${JSON.stringify(place.directory)}).files.copy(leader, request);`;
    const daemon = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: 'ignore' });
    await until(() => leftIn(host.path).length === 1);
    const helpers = helpersOf(daemon.pid as number);
    daemon.kill('SIGKILL');
    await until(() => helpers.every((helper) => !existsSync(`/proc/${helper}`)));
    writeFileSync(host.file('.#copy-0123456789abcdef'), 'somebody else\'s');
    assert.equal(leftIn(host.path).length, 2);
    await place.guests.files.sweep();
    assert.deepEqual(readdirSync(host.path), ['.#copy-0123456789abcdef']);
    assert.deepEqual(readdirSync(path.join(place.directory, 'copies')), []);
    assert.deepEqual(place.log.warnings, []);
  });
});

suite('a helper that does not move', { skip }, () => {
  test('is replaced', async () => {
    using place = look({ answer: 5000, processes: 1 });
    using guest = await Guest.start();
    closeSync(await place.guests.files.openRoot(guest.leader));
    const [helper] = helpersOf(process.pid);
    process.kill(Number(helper), 'SIGSTOP');
    await assert.rejects(place.guests.files.openRoot(guest.leader), failsWith('ETIMEDOUT'));
    closeSync(await place.guests.files.openRoot(guest.leader));
    await until(() => !existsSync(`/proc/${helper}`));
    assert.match(place.log.warnings[0] ?? '', /waiting/);
  });

  test('goes on to other work when it has copied, and is then what it was before', async () => {
    using place = look();
    using guest = await Guest.start({ userNamespace: true });
    using host = new HostDirectory();
    writeFileSync(host.file('file'), 'x', { mode: 0o666 });
    await copy(place.guests, guest, 'to', host.file('file'), '/first');
    const [helper] = helpersOf(process.pid);
    assert.ok(helper);
    const [umask, uids] = ['Umask', 'Uid'].map((field) => statusLine('self', field));
    await until(() => statusLine(helper, 'Umask') === umask); // it answers first
    assert.equal(statusLine(helper, 'Uid'), uids);
    await copy(place.guests, guest, 'from', '/first', host.file('back'));
    await copy(place.guests, guest, 'to', host.file('file'), '/second');
    assert.deepEqual(helpersOf(process.pid), [helper]);
    assert.equal(statSync(host.file('back')).uid, 0);
    assert.equal(guest.inside('stat -c %u "$1/first" "$1/second"'), `${shift}\n${shift}\n`);
  });

  test('and one that is killed fails just what it was doing', async () => {
    using place = look({ processes: 1 });
    using guest = await Guest.start();
    closeSync(await place.guests.files.openRoot(guest.leader));
    const [helper] = helpersOf(process.pid);
    process.kill(Number(helper), 'SIGSTOP');
    const failing = assert.rejects(place.guests.files.openRoot(guest.leader), failsWith('EIO'));
    process.kill(Number(helper), 'SIGKILL');
    const next = place.guests.files.openRoot(guest.leader);
    await failing;
    closeSync(await next);
  });
});

suite('bind mounts', { skip }, () => {
  test('are not made where the mounts are our own', async () => {
    using place = look();
    const request = { source: '/nowhere', destination: '/nowhere', readOnly: false, makeDestination: true };
    const message = "Failed to mount /nowhere on /nowhere in machine's namespace: Invalid argument";
    await assert.rejects(place.guests.files.bind(identify(process.pid), request), { errno: 'EINVAL', message });
  });

  for (const userNamespace of [false, true]) {
    test(`appear in a guest ${userNamespace ? 'with' : 'without'} users of its own, for as long as it runs`, async () => {
      using place = look();
      using guest = await Guest.start({ userNamespace });
      using host = new HostDirectory();
      execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', host.path]); // where owners can be mapped
      try {
        writeFileSync(host.file('f'), 'f');
        if (userNamespace) execFileSync('chown', [`${shift}:${shift}`, guest.root]);
        const bind = (source: string, destination: string, options: { readOnly?: boolean; makeDestination?: boolean } = {}) =>
          place.guests.files.bind(guest.leader, { source, destination, readOnly: false, makeDestination: true, ...options });
        await bind(host.path, '/new/dir');
        await bind(host.path, '/new/ro', { readOnly: true });
        await bind(host.file('f'), '/new/file');
        assert.equal(guest.inside('cat "$1/new/dir/f" "$1/new/file"'), 'ff');
        assert.equal(guest.inside('stat -c %u "$1/new/dir/f" "$1/new/file"'), userNamespace ? `${shift}\n${shift}\n` : '0\n0\n');
        assert.throws(() => guest.inside('touch "$1/new/ro/x" 2>/dev/null'));
        const asRoot = userNamespace ? `nsenter -t ${guest.leader.pid} -U -S 0 -G 0` : '';
        guest.inside(`${asRoot} touch "$1/new/dir/made"`);
        assert.equal(lstatSync(host.file('made')).uid, 0);
        assert.ok(!existsSync(path.join(guest.root, 'new/dir/f')), 'it is to be seen in the host');
        await assert.rejects(bind(host.file('f'), '/new/dir'), failsWith('EINVAL'));
        await assert.rejects(bind(host.path, '/none', { makeDestination: false }), failsWith('ENOENT'));
        await assert.rejects(bind(host.file('none'), '/x'), failsWith('ENOENT'));
        symlinkSync('/usr', guest.file('link'));
        await assert.rejects(bind(host.path, '/link'), failsWith('EINVAL'));
        symlinkSync(host.path, guest.file('door'));
        await bind(host.path, '/door/inside').catch(() => undefined);
        assert.ok(!existsSync(host.file('inside')), 'a link has led to the host');
      } finally {
        execFileSync('umount', ['-l', host.path]);
      }
    });
  }

  for (const userNamespace of [false, true]) {
    test(`are taken out of a guest ${userNamespace ? 'with' : 'without'} users of its own, and no other mounts are`, async () => {
      using place = look();
      using guest = await Guest.start({ userNamespace });
      using host = new HostDirectory();
      execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', host.path]); // where owners can be mapped
      try {
        writeFileSync(host.file('f'), 'f');
        if (userNamespace) execFileSync('chown', [`${shift}:${shift}`, guest.root]);
        const { files } = place.guests;
        const bind = (source: string, destination: string) =>
          files.bind(guest.leader, { source, destination, readOnly: false, makeDestination: true });
        const gone = (destination: string, errno: string) => assert.rejects(files.unbind(guest.leader, destination), failsWith(errno));
        // others of this machine's come and go meanwhile
        const mountsInside = () => guest.inside('cat /proc/self/mountinfo').split('\n').filter((line) => line.includes(guest.root)).length;
        const before = mountsInside();
        await bind(host.path, '/new/dir');
        await bind(host.file('f'), '/new/file');
        assert.equal(mountsInside(), before + 2);

        for (const other of ['/usr', '/etc', '/proc', '/new', '/new/dir/f', '/new/dir/..']) await gone(other, 'EINVAL');
        await gone('/none', 'ENOENT');
        await gone('/', 'EINVAL');
        assert.equal(mountsInside(), before + 2);

        // what lies over ours is the guest's
        guest.inside('mount -t tmpfs tmpfs "$1/new/dir"');
        await gone('/new/dir', 'EINVAL');
        guest.inside('umount "$1/new/dir"');
        assert.equal(readFileSync(host.file('f'), 'utf8'), 'f');

        // a link to it is not it; a link on the way may lead there
        symlinkSync('new/dir', guest.file('link'));
        symlinkSync('/new', guest.file('way'));
        await gone('/link', 'EINVAL');
        await files.unbind(guest.leader, '/way/dir');
        await gone('/new/dir', 'EINVAL');

        await files.unbind(guest.leader, '/new/file');
        assert.equal(mountsInside(), before);
        assert.ok(existsSync(host.file('f')));
        assert.deepEqual(readdirSync(path.join(place.directory, 'mounts')), []);
      } finally {
        execFileSync('umount', ['-l', host.path]);
      }
    });
  }

  test('are not taken away while they are in use', async () => {
    using place = look();
    using guest = await Guest.start();
    using host = new HostDirectory();
    const { files } = place.guests;
    await files.bind(guest.leader, { source: host.path, destination: '/x', readOnly: false, makeDestination: true });
    const user = guest.spawn('cd "$1/x"; echo here; exec sleep 1000');
    await user.said('here');
    await assert.rejects(files.unbind(guest.leader, '/x'), (error) => {
      assert.match(String(error), /is in use in the machine: end the processes/);
      return failsWith('EBUSY')(error);
    });
    await user.end();
    await files.unbind(guest.leader, '/x');
  });

  test('are remembered over a restart, for as long as their guest runs', async () => {
    using place = look();
    using guest = await Guest.start();
    using ending = await Guest.start();
    using host = new HostDirectory();
    const request = { source: host.path, destination: '/x', readOnly: false, makeDestination: true };
    await place.guests.files.bind(guest.leader, request);
    await place.guests.files.bind(ending.leader, request);
    assert.equal(readdirSync(path.join(place.directory, 'mounts')).length, 2);
    await ending.end();
    place.guests[Symbol.dispose]();
    using next = place.restart();
    await next.files.sweep();
    assert.equal(readdirSync(path.join(place.directory, 'mounts')).length, 1);
    await next.files.unbind(guest.leader, '/x');
    await assert.rejects(next.files.unbind(guest.leader, '/x'), failsWith('EINVAL'));
    await next.files.bind(guest.leader, request);
    next.files.forget(guest.leader);
    assert.deepEqual(readdirSync(path.join(place.directory, 'mounts')), []);
    await assert.rejects(next.files.unbind(guest.leader, '/x'), failsWith('EINVAL'));
    mkdirSync(path.join(place.directory, `mounts/${guest.leader.pid}-${guest.leader.pidfdId}`));
    await next.files.bind(guest.leader, request);
    assert.match(place.log.warnings.at(-1) ?? '', /cannot be noted: .*EISDIR/);
  });

  test('leave the helper where it was', async () => {
    using place = look({ processes: 1 });
    using guest = await Guest.start();
    using host = new HostDirectory();
    await place.guests.files.bind(guest.leader, { source: host.path, destination: '/x', readOnly: false, makeDestination: true });
    const fd = await place.guests.files.openRoot(identify(1));
    assert.ok(readdirSync(`/proc/self/fd/${fd}`).includes('var'));
    closeSync(fd);
    writeFileSync(host.file('f'), 'f');
    await place.guests.files.bind(guest.leader, { source: host.file('f'), destination: '/y', readOnly: false, makeDestination: true });
    await until(() => guest.inside('cat "$1/y"') === 'f');
  });
});
