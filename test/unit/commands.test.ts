/** Commands of the fake, and in real namespaces, which take root. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { suite, test } from 'node:test';
import type { CommandRequest } from '../../src/domain/command.js';
import { isFailure } from '../../src/domain/failure.js';
import { GuestCommands } from '../../src/host/guests/guest-commands.js';
import { ordinaryLimits } from '../../src/host/guests/helper-pool.js';
import { fileSystemStatus } from '../../src/host/kernel/libc.js';
import { FakeCommands } from '../../src/ports/fakes/commands.js';
import { command, commandsCompliance, failsWith, noStreams } from '../compliance/commands.js';
import { identify, until } from '../support/guest.js';

const skip = process.getuid?.() === 0 ? false : 'needs root';
const O_PATH = 0o10000000;
const ST_RDONLY = 1;
const SIGSTOP = 19;
const SIGCONT = 18;

interface GuestKind {
  /** Users of its own: the host's 100000 is its root. */
  readonly userNamespace?: boolean;
  readonly noNewPrivileges?: boolean;
  /** What is run before the leader, in shell. */
  readonly prelude?: string;
  /** setarch(8) */
  readonly domain?: 'linux32';
}

/** The host's files, read-only but for /run and /tmp, with users, processes and a network of its own. */
async function startGuest({ userNamespace = false, noNewPrivileges = false, prelude = ':', domain }: GuestKind = {}) {
  const script = prelude + '; mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /tmp && mount -t proc proc /proc && exec sleep infinity';
  const enter = userNamespace ? ['nsenter', '-t', String(await userNamespaceOf('0 100000 65536\n')), '--user'] : [];
  const limit = noNewPrivileges ? ['setpriv', '--no-new-privs', '--bounding-set=-sys_time,-sys_ptrace'] : [];
  const words = [...(domain === undefined ? [] : [domain]), ...enter, ...limit, 'unshare', '--mount', '--uts', '--net', '--pid', '--fork', '--kill-child', 'sh', '-c', script];
  const child = spawn('env', words, { stdio: ['ignore', 'ignore', 'inherit'] });
  const leader = () => readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8').trim();
  await until(() => leader() !== '' && readFileSync(`/proc/${leader()}/cmdline`, 'utf8').startsWith('sleep'));
  const identity = identify(Number(leader()));
  const commands = new GuestCommands({ ...ordinaryLimits, answer: 60_000 });
  const end = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    process.kill(identity.pid, 'SIGKILL'); // unshare(1) waits for it, and then ends
    await until(() => child.exitCode !== null || child.signalCode !== null);
  };
  return {
    commands,
    leader: identity,
    waiting: ['sleep', 'infinity'] as const,
    end,
    [Symbol.asyncDispose]: async () => {
      commands[Symbol.dispose]();
      await end();
    },
  };
}

/** The PID of a process that keeps one for a while. */
async function userNamespaceOf(map: string): Promise<number> {
  const holder = spawn('unshare', ['--user', 'sleep', '5'], { stdio: 'ignore' });
  await until(() => readFileSync(`/proc/${holder.pid}/cmdline`, 'utf8').startsWith('sleep'));
  for (const file of ['uid_map', 'gid_map']) writeFileSync(`/proc/${holder.pid}/${file}`, map);
  holder.unref();
  return holder.pid as number;
}

commandsCompliance('fake ones', async () => {
  const commands = new FakeCommands();
  commands.guests.set(5, { users: ['root'], programs: { true: 'exit 0', false: 'exit 1', wait: 'wait' }, directories: ['/tmp'] });
  const end = async () => void commands.guests.delete(5);
  return { commands, leader: { pid: 5, pidfdId: 9n }, waiting: ['wait'], end, [Symbol.asyncDispose]: async () => undefined };
});

commandsCompliance('those of a guest without a service manager', () => startGuest(), { skip });
commandsCompliance('those of a guest with users of its own', () => startGuest({ userNamespace: true }), { skip });

type Guest = Awaited<ReturnType<typeof startGuest>>;

/** Runs a shell script to its end. */
async function runScript(guest: Guest, script: string, request: Partial<CommandRequest> = {}) {
  const directory = mkdtempSync(path.join(tmpdir(), 'machined-command-'));
  const input = openInput(directory, 'what is typed\n');
  const files = ['output', 'error'].map((name) => openSync(path.join(directory, name), 'w')) as [number, number];
  try {
    const running = await guest.commands.run(guest.leader, command(['/bin/sh', '-c', script], request), { input, output: files[0], error: files[1] });
    const end = await running.ended;
    const [output, error] = ['output', 'error'].map((name) => readFileSync(path.join(directory, name), 'utf8').trimEnd());
    return { end, output, error };
  } finally {
    for (const fd of [input, ...files]) closeSync(fd);
    rmSync(directory, { recursive: true });
  }
}

function openInput(directory: string, text: string): number {
  const file = path.join(directory, 'input');
  writeFileSync(file, text);
  return openSync(file, 'r');
}

/** A zombie does not. */
function isRunning(pid: number): boolean {
  try {
    return !/^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

suite('a command in a guest', { skip }, () => {
  test('has its three streams apart, its environment, its directory, and nothing else', async () => {
    await using guest = await startGuest();
    const script = 'cat; echo error >&2; echo "$A|$HOME|$USER|$PATH|$MACHINED_TEST"; pwd; ls -l /proc/self/fd | grep -c " [0-9]* -> "; exit 7';
    process.env['MACHINED_TEST'] = 'of the host';
    const leaked = openSync('/', 'r');
    const { end, output, error } = await runScript(guest, script, { environment: ['A=one two', 'PATH=/bin:/usr/bin'], workingDirectory: '/tmp' });
    closeSync(leaked);
    assert.deepEqual([end, output, error], [
      { kind: 'exited', status: 7 }, 'what is typed\none two|/root|root|/bin:/usr/bin|\n/tmp\n4', 'error',
    ]);
  });

  test('reads nothing and writes nowhere if it is given no streams', async () => {
    await using guest = await startGuest();
    const script = 'test "$(cat)" = "" && echo x && echo y >&2 && test /proc/self/fd/0 -ef /dev/null && test ! -t 1';
    const running = await guest.commands.run(guest.leader, command(['/bin/sh', '-c', script]), noStreams);
    assert.deepEqual(await running.ended, { kind: 'exited', status: 0 });
  });

  test("is of the guest's user, with that one's groups, in the guest's namespaces and a session of its own", async () => {
    await using guest = await startGuest({ userNamespace: true });
    const look = 'id -u; id -g; id -G; pwd; hostname >/dev/null; ps -o sid= -p $$ | tr -d " "; ls /run /tmp | wc -w; cat /proc/self/uid_map | tr -s " "';
    const daemon = await runScript(guest, look, { user: 'daemon', workingDirectory: '/tmp' });
    assert.deepEqual(daemon.output?.split('\n').slice(0, 4), ['1', '1', '1', '/tmp']);
    assert.equal(daemon.output?.split('\n').at(-1), ' 0 100000 65536');
    const byNumber = await runScript(guest, 'id -un', { user: '1' });
    assert.equal(byNumber.output, 'daemon');
    for (const kind of ['user', 'mnt', 'pid', 'net', 'uts', 'ipc']) {
      const { output } = await runScript(guest, `readlink /proc/self/ns/${kind}`);
      assert.equal(output, readlinkSync(`/proc/${guest.leader.pid}/ns/${kind}`), kind);
    }
  });

  test('may do no more than the guest', async () => {
    await using guest = await startGuest({ noNewPrivileges: true });
    const { output } = await runScript(guest, 'grep -E "^(CapEff|CapBnd|NoNewPrivs)" /proc/self/status');
    const [effective, bounding, noNewPrivileges] = (output ?? '').split('\n').map((line) => line.split('\t')[1] ?? '');
    const status = readFileSync(`/proc/${guest.leader.pid}/status`, 'utf8');
    const allowed = BigInt(`0x${/^CapBnd:\t([0-9a-f]+)$/m.exec(status)?.[1]}`);
    assert.equal(BigInt(`0x${effective}`) & ~allowed, 0n);
    assert.equal(BigInt(`0x${bounding}`) & ~allowed, 0n);
    assert.equal(BigInt(`0x${bounding}`) & (1n << 2n), 0n, 'open_by_handle_at(2) would open files of the host');
    assert.equal(noNewPrivileges, '1');
    assert.equal((await runScript(guest, 'id -un; ls -l /proc/self/fd | grep -c " [0-9]* -> "', { user: 'daemon', workingDirectory: '/' })).output, 'daemon\n4');
  });

  test('ends by the signal that its program ends by', async () => {
    await using guest = await startGuest();
    assert.deepEqual((await runScript(guest, 'kill -USR1 $$')).end, { kind: 'signaled', signal: 10 });
    assert.deepEqual((await runScript(guest, 'kill -40 $$')).end, { kind: 'signaled', signal: 40 }, 'a realtime signal');
    assert.deepEqual((await runScript(guest, 'kill -64 $$')).end, { kind: 'signaled', signal: 64 });
    assert.deepEqual((await runScript(guest, 'exit 255')).end, { kind: 'exited', status: 255 });
  });

  test('has the limits, the memory score and the execution domain of the guest, and a usual umask', async () => {
    const surroundings = 'prlimit --pid=$$ --core=12345:23456 --nofile=2000:3000; echo 321 >/proc/self/oom_score_adj; umask 077';
    await using guest = await startGuest({ prelude: surroundings, domain: 'linux32' });
    const look = 'ulimit -Sn; ulimit -Hn; grep "core file" /proc/self/limits | tr -s " " | sed "s/ $//"; cat /proc/self/oom_score_adj; uname -m; umask';
    const { output } = await runScript(guest, look, { workingDirectory: '/' });
    const machine = execFileSync('linux32', ['uname', '-m'], { encoding: 'utf8' }).trim();
    assert.deepEqual(output?.split('\n'), ['1024', '3000', 'Max core file size 12345 23456 bytes', '321', machine, '0022']);
  });

  test('can be stopped, and goes on', async () => {
    await using guest = await startGuest();
    const running = await guest.commands.run(guest.leader, command(['sleep', 'infinity']), noStreams);
    const stateOf = () => /^State:\t(.)/m.exec(readFileSync(`/proc/${running.pid}/status`, 'utf8'))?.[1];
    running.signal(SIGSTOP);
    await until(() => stateOf() === 'T');
    running.signal(SIGCONT);
    await until(() => stateOf() === 'S');
    running.signal(15);
    assert.deepEqual(await running.ended, { kind: 'signaled', signal: 15 });
  });

  test('takes with it what it has started', async () => {
    await using guest = await startGuest();
    const sleepers = () => execFileSync('sh', ['-c', 'ps ax | grep -c "[s]leep 54321" || true'], { encoding: 'utf8' }).trim();
    for (const end of ['kill', 'terminate'] as const) {
      const running = await guest.commands.run(guest.leader, command(['/bin/sh', '-c', 'sleep 54321 & sleep 54321; :']), noStreams);
      await until(() => sleepers() !== '0');
      running[end]();
      assert.equal((await running.ended).kind, 'signaled');
      await until(() => sleepers() === '0');
    }
  });

  /** ENOENT, and what is not there. */
  const missing = (file: string) => (error: unknown) => failsWith('ENOENT')(error) && String(error).includes(file);

  test('says what is wrong with its program or its directory', async () => {
    await using guest = await startGuest({ userNamespace: true });
    const refused = (words: CommandRequest['words'], request: Partial<CommandRequest> = {}) =>
      guest.commands.run(guest.leader, command(words, request), noStreams);
    await assert.rejects(refused(['/etc/passwd']), failsWith('EACCES'));
    await assert.rejects(refused(['/tmp']), failsWith('EACCES'));
    await assert.rejects(refused(['/etc/passwd/x']), failsWith('ENOENT'));
    await assert.rejects(refused(['true'], { workingDirectory: '/etc/passwd' }), failsWith('ENOTDIR'));
    await assert.rejects(refused(['true'], { environment: ['PATH=/nowhere'] }), failsWith('ENOENT'));
    await assert.rejects(refused(['true', 'x'.repeat(200_000)]), failsWith('E2BIG'));
    await runScript(guest, `cd /tmp
      script() { printf "#!$2\\nexit 5\\n" >$1; chmod 755 $1; }
      script lost /no/such/interpreter; script further /tmp/lost; script refused /etc/passwd; script good "/bin/sh -e"; script relative ./none
      mkdir path; cp lost path/id`);
    for (const file of ['/tmp/lost', '/tmp/further']) await assert.rejects(refused([file]), missing('/no/such/interpreter'));
    await assert.rejects(refused(['/tmp/refused']), failsWith('EACCES'));
    await assert.rejects(refused(['id'], { environment: ['PATH=/nowhere:/tmp/path'] }), missing('/no/such/interpreter'));
    assert.deepEqual(await (await refused(['id'], { environment: ['PATH=/tmp/path:/usr/bin'] })).ended, { kind: 'exited', status: 0 });
    assert.deepEqual(await (await refused(['/tmp/good'])).ended, { kind: 'exited', status: 5 });
    await runScript(guest, 'sed "s,/lib64/ld-linux-x86-64.so.2,/lib64/xx-linux-x86-64.so.2,;s,/lib/ld-linux-,/lib/xx-linux-," /bin/true >/tmp/unloadable; chmod 755 /tmp/unloadable');
    await assert.rejects(refused(['/tmp/unloadable']), missing('xx-linux'));
    await runScript(guest, 'mkdir -m 700 /tmp/private; cp /bin/true /tmp/mine; chmod 700 /tmp/mine');
    await assert.rejects(refused(['true'], { user: 'daemon', workingDirectory: '/tmp/private' }), failsWith('EACCES'));
    await assert.rejects(refused(['/tmp/mine'], { user: 'daemon' }), failsWith('EACCES'));
  });

  test("gets variables of the host's loader by the guest's env alone", async () => {
    await using guest = await startGuest();
    const { output } = await runScript(guest, 'echo "$LD_MACHINED_TEST$A"', { environment: ['LD_MACHINED_TEST=one', 'A=two'] });
    assert.equal(output, 'onetwo');
    // a library that was loaded into a program of the host would say that it cannot be found
    const { error } = await runScript(guest, ':', { environment: ['LD_PRELOAD=/no/such/library.so'] });
    assert.equal(error?.includes('setpriv') === true || error?.includes('nsenter') === true, false, error);
  });

  test('gives no way to write to a program of the host', async () => {
    await using guest = await startGuest();
    const running = await guest.commands.run(guest.leader, command(['sleep', 'infinity']), noStreams);
    const parent = /^PPid:\t([0-9]+)$/m.exec(readFileSync(`/proc/${running.pid}/status`, 'utf8'))?.[1];
    const located = openSync(`/proc/${parent}/exe`, O_PATH); // nsenter(1), which the guest's program has been a moment ago
    running.kill();
    await running.ended;
    assert.match(readlinkSync(`/proc/self/fd/${located}`), /nsenter$/);
    // not by an attempt to write: any nsenter(1) that runs at the moment makes that fail
    const status = Buffer.alloc(256);
    assert.equal(fileSystemStatus(located, status), 0);
    assert.equal(status.readUInt32LE(80) & ST_RDONLY, ST_RDONLY); // f_flags of struct statfs
    closeSync(located);
  });

  test('goes on running nowhere when the registry ends', async () => {
    const guest = await startGuest();
    const running = await guest.commands.run(guest.leader, command(['sleep', 'infinity']), noStreams);
    guest.commands[Symbol.dispose]();
    await running.ended;
    await until(() => !isRunning(running.pid));
    await guest.end();
  });

  test('where a file system does not answer is given up, and others are run', { skip: existsSync('/dev/fuse') ? false : 'needs /dev/fuse' }, async () => {
    await using guest = await startGuest();
    using impatient = new GuestCommands({ ...ordinaryLimits, answer: 3000 });
    // its server never says a word: any walk into it waits until the walker is killed
    const hang = 'exec 3<>/dev/fuse; mount -i -t fuse -o fd=3,rootmode=40000,user_id=0,group_id=0,allow_other hung /run; sleep 60 3<&3 >/dev/null 2>&1 &';
    execFileSync('nsenter', ['-t', String(guest.leader.pid), '--mount', 'sh', '-ec', hang]);
    const attempts = [
      impatient.run(guest.leader, command(['true'], { workingDirectory: '/run/x' }), noStreams),
      impatient.run(guest.leader, command(['/run/program']), noStreams),
      impatient.run(guest.leader, command(['true'], { environment: ['PATH=/run:/usr/bin'] }), noStreams),
    ];
    await Promise.all(attempts.map((attempt) => assert.rejects(attempt, failsWith('ETIMEDOUT'))));
    assert.deepEqual((await runScript(guest, 'exit 4', { workingDirectory: '/tmp' })).end, { kind: 'exited', status: 4 });
  });

  test('a user database with a NUL in it costs nobody else anything', async () => {
    await using guest = await startGuest();
    await runScript(guest, 'printf "root:x:0:0::/root\\0:/bin/sh\\ndaemon:x:1:1::/:/bin/sh\\n" >/tmp/passwd && mount --bind /tmp/passwd /etc/passwd');
    await assert.rejects(guest.commands.run(guest.leader, command(['true']), noStreams), (error) => isFailure(error, 'no-such-user'));
    assert.deepEqual((await runScript(guest, 'exit 3', { user: 'daemon' })).end, { kind: 'exited', status: 3 });
  });
});
