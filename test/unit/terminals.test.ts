/** Terminals of the fake, and of a guest without a bus: real namespaces, which take root. */
import assert from 'node:assert/strict';
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { closeSync, fstatSync, openSync, readFileSync, readSync, writeFileSync, writeSync } from 'node:fs';
import { suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { isFailure } from '../../src/domain/failure.js';
import { GuestTerminals } from '../../src/host/guests/guest-terminals.js';
import { setDescriptorMode } from '../../src/host/kernel/libc.js';
import { FakeTerminals } from '../../src/ports/fakes/terminals.js';
import { shell, terminalsCompliance } from '../compliance/terminals.js';
import { identify, until } from '../support/guest.js';

const skip = process.getuid?.() === 0 ? false : 'needs root';

/** The host's files, in which there is no bus; `userNamespace`: and users of its own. */
async function startGuest(userNamespace = false) {
  const script = 'mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /tmp && exec sleep infinity';
  const holder = userNamespace ? await userNamespaceHolder('0 100000 65536\n') : undefined;
  const enter = holder === undefined ? [] : ['nsenter', '-t', String(holder.pid), '--user'];
  const child = spawn('env', [...enter, 'unshare', '--mount', '--uts', 'sh', '-c', script], { stdio: ['ignore', 'ignore', 'inherit'] });
  await until(() => readFileSync(`/proc/${child.pid}/cmdline`, 'utf8').startsWith('sleep'));
  holder?.kill('SIGKILL');
  const terminals = new GuestTerminals();
  const end = async () => {
    child.kill('SIGKILL');
    await until(() => child.exitCode !== null || child.signalCode !== null);
  };
  return {
    terminals,
    leader: identify(child.pid as number),
    end,
    [Symbol.asyncDispose]: async () => {
      terminals[Symbol.dispose]();
      await end();
    },
  };
}

/** A process that keeps one, for the caller to end. */
async function userNamespaceHolder(map: string): Promise<ChildProcess> {
  const holder = spawn('unshare', ['--user', 'sleep', 'infinity'], { stdio: 'ignore' });
  await until(() => readFileSync(`/proc/${holder.pid}/cmdline`, 'utf8').startsWith('sleep'));
  for (const file of ['uid_map', 'gid_map']) writeFileSync(`/proc/${holder.pid}/${file}`, map);
  return holder;
}

terminalsCompliance('fake ones', async () => {
  const terminals = new FakeTerminals(() => openSync('/dev/null', 'r+'));
  terminals.guests.set(5, { users: ['root'], programs: ['/bin/echo'] });
  const end = async () => void terminals.guests.delete(5);
  return { terminals, leader: { pid: 5, pidfdId: 9n }, end, [Symbol.asyncDispose]: async () => undefined };
});

terminalsCompliance('those of a guest without a bus', () => startGuest(), { skip });
terminalsCompliance('those of a guest with users of its own', () => startGuest(true), { skip });

/** What comes out of a terminal until it is hung up. */
async function readAll(fd: number): Promise<string> {
  const buffer = Buffer.alloc(65536);
  let text = '';
  for (const deadline = Date.now() + 30_000; Date.now() < deadline; await sleep(10)) {
    try {
      for (;;) text += buffer.toString('utf8', 0, readSync(fd, buffer));
    } catch (error) {
      assert.ok(error instanceof Error && 'code' in error);
      if (error.code === 'EIO') return text.replaceAll('\r\n', '\n'); // all other ends are closed
      assert.equal(error.code, 'EAGAIN');
    }
  }
  throw new Error(`not hung up: ${text}`);
}

suite('a guest without a bus', { skip }, () => {
  const script = (text: string) => ({ program: '/bin/sh', arguments: ['sh', '-c', text] });

  test('runs a program on a terminal of its own, with its user and environment', async () => {
    await using guest = await startGuest();
    const command = script('echo $A-$B-$TERM-$HOME; tty; id -u; test -e /run/dbus || echo inside; ps -o tpgid= -o pgid= -p $$; echo $(ls /proc/self/fd)');
    const { fd, path } = await guest.terminals.shell(guest.leader, shell({ command, environment: ['A=one', 'B=two words'] }));
    const [variables, tty, user, inside, groups, fds] = (await readAll(fd)).trim().split('\n');
    assert.deepEqual([variables, tty, user, inside], ['one-two words-vt220-/root', path, '0', 'inside']);
    const [foreground, own] = (groups ?? '').trim().split(/\s+/);
    assert.equal(foreground, own);
    assert.equal(fds, execFileSync('sh', ['-c', 'echo $(ls /proc/self/fd)'], { encoding: 'utf8' }).trim());
    closeSync(fd);
  });

  test('is in the cgroup of its leader, and holds no more capabilities', async () => {
    await using guest = await startGuest();
    const command = script('cat /proc/self/cgroup; grep CapBnd /proc/self/status');
    const { fd } = await guest.terminals.shell(guest.leader, shell({ command }));
    const said = await readAll(fd);
    assert.ok(said.includes(readFileSync(`/proc/${guest.leader.pid}/cgroup`, 'utf8').trim()), said);
    const allowed = capabilities(readFileSync(`/proc/${guest.leader.pid}/status`, 'utf8'));
    assert.equal(capabilities(said) & ~allowed, 0n);
    assert.equal(capabilities(said) & 4n, 0n, 'not CAP_DAC_READ_SEARCH');
    closeSync(fd);
  });

  test("what a caller puts into the environment reaches no program of the host's", async () => {
    await using guest = await startGuest();
    const environment = ['LD_PRELOAD=/nonexistent/library.so', 'PATH=/nonexistent'];
    const { fd } = await guest.terminals.shell(guest.leader, shell({ environment }));
    const complaints = (await readAll(fd)).split('\n').filter((line) => line.includes('library.so'));
    assert.equal(complaints.length, 1, 'the loader complains of it for echo alone');
    closeSync(fd);
  });

  test('with users of its own, runs a program as one of them, with the groups', async () => {
    await using guest = await startGuest(true);
    const { fd, path } = await guest.terminals.shell(guest.leader, shell({ user: 'daemon', command: script('id -u; id -g; echo go >/dev/tty; sleep 0.1') }));
    assert.equal(fstatSync(fd).isCharacterDevice(), true);
    assert.equal(await readAll(fd), '1\n1\ngo\n', path);
    closeSync(fd);
  });

  test('a program that runs is hung up when its terminal is closed', async () => {
    await using guest = await startGuest();
    const { fd } = await guest.terminals.shell(guest.leader, shell({ command: script('echo $$; exec sleep 1000') }));
    const buffer = Buffer.alloc(100);
    await until(() => hasInput(fd, buffer));
    const pid = Number.parseInt(buffer.toString(), 10);
    await until(() => readFileSync(`/proc/${pid}/comm`, 'utf8') === 'sleep\n');
    closeSync(fd);
    await until(() => isGone(pid));
  });

  test('one that nobody reads from, or types into until it is full, keeps nobody else waiting', async () => {
    await using guest = await startGuest();
    const unread = await guest.terminals.shell(guest.leader, shell({ command: script('echo $$; exec yes') }));
    const stuffed = await guest.terminals.open(guest.leader);
    for (const { fd } of [unread, stuffed]) setDescriptorMode(fd, { closeOnExec: true, nonBlocking: true });
    assert.throws(() => {
      for (;;) writeSync(stuffed.fd, 'nobody reads this\n'.repeat(1000));
    }, /EAGAIN/);
    const buffer = Buffer.alloc(20);
    await until(() => hasInput(unread.fd, buffer));
    const pid = Number.parseInt(buffer.toString(), 10);
    await until(() => readFileSync(`/proc/${pid}/wchan`, 'utf8') !== '0' && readFileSync(`/proc/${pid}/comm`, 'utf8') === 'yes\n');
    for (let count = 0; count < 3; count++) {
      const other = await guest.terminals.shell(guest.leader, shell({ command: script('echo served') }));
      assert.equal(await readAll(other.fd), 'served\n');
      closeSync(other.fd);
    }
    closeSync(unread.fd);
    closeSync(stuffed.fd);
    await until(() => isGone(pid));
  });

  test('an interactive shell takes what is typed', async () => {
    await using guest = await startGuest();
    const { fd } = await guest.terminals.shell(guest.leader, shell({ command: undefined }));
    writeSync(fd, 'echo $((6 * 7)); exit\n');
    assert.match(await readAll(fd), /^42$/m);
    closeSync(fd);
  });

  test('without terminals, is an error', async () => {
    await using guest = await startGuest();
    execFileSync('nsenter', ['-t', String(guest.leader.pid), '--mount', 'mount', '-t', 'tmpfs', 'tmpfs', '/dev/pts']);
    const attempt = guest.terminals.open(guest.leader);
    await assert.rejects(attempt, (error) => isFailure(error, 'system') && error.errno === 'ENOENT');
  });

  test('gives no device for a terminal that is none', async () => {
    await using guest = await startGuest();
    const make = 'mount -t tmpfs -o dev tmpfs /dev/pts; mknod /dev/pts/ptmx c 5 2';
    execFileSync('nsenter', ['-t', String(guest.leader.pid), '--mount', 'sh', '-ec', make]);
    const attempt = guest.terminals.open(guest.leader);
    await assert.rejects(attempt, (error) => isFailure(error, 'system') && error.errno === 'ENXIO');
  });
});

function capabilities(status: string): bigint {
  return BigInt(`0x${/CapBnd:\t([0-9a-f]+)/.exec(status)?.[1] ?? ''}`);
}

function hasInput(fd: number, buffer: Buffer): boolean {
  try {
    return readSync(fd, buffer) > 0;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EAGAIN') return false;
    throw error;
  }
}

function isGone(pid: number): boolean {
  try {
    return /^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return true;
  }
}
