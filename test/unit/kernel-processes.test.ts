import assert from 'node:assert/strict';
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { isFailure } from '../../src/domain/failure.js';
import { KernelClock } from '../../src/host/kernel/clock.js';
import { eventHub } from '../../src/host/kernel/event-loop.js';
import { raiseOpenFilesLimit } from '../../src/host/kernel/limits.js';
import { fileControl } from '../../src/host/kernel/libc.js';
import { isPidfdAlive, openPidfd, pidOfPidfd } from '../../src/host/kernel/pidfd.js';
import { KernelProcesses, parseCgroup, parseIdMappings, parseMachineId, parseParent } from '../../src/host/kernel/processes.js';
import { processesSuite, type ProcessesWorld } from '../compliance/processes.js';

eventHub(); // its epoll descriptor stays open: it is no leak
const openDescriptors = () => readdirSync('/proc/self/fd').length;

/** Real children. */
class KernelWorld implements ProcessesWorld {
  readonly processes = new KernelProcesses();
  readonly parent = process.pid;
  readonly owner = process.geteuid?.() ?? -1;
  readonly cgroup = this.processes.cgroupOf(process.pid) ?? '';
  readonly #children = new Map<number, ChildProcess>();
  readonly #descriptors: number[] = [];

  async spawn(): Promise<number> {
    const child = spawn('sleep', ['1000'], { stdio: 'ignore' });
    await new Promise((resolve) => child.once('spawn', resolve));
    this.#children.set(child.pid as number, child);
    return child.pid as number;
  }

  async end(pid: number): Promise<void> {
    const child = this.#children.get(pid) as ChildProcess;
    if (child.exitCode === null && child.signalCode === null) {
      const exited = new Promise((resolve) => child.once('exit', resolve)); // node has reaped it by then
      child.kill('SIGKILL');
      await exited;
    }
    this.#children.delete(pid);
  }

  pidFdOf(pid: number): number {
    return this.#keep(openPidfd(pid));
  }

  notAPidFd(): number {
    return this.#keep(openSync('/proc/self/status', 'r'));
  }

  #keep(fd: number): number {
    this.#descriptors.push(fd);
    return fd;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const pid of this.#children.keys()) await this.end(pid);
    for (const fd of this.#descriptors) closeSync(fd);
  }
}

processesSuite('kernel', async () => new KernelWorld());

test('handles leak no descriptors', async () => {
  await using world = new KernelWorld();
  const pid = await world.spawn();
  const fd = world.pidFdOf(pid);
  const before = openDescriptors();
  for (let count = 0; count < 100; count++) {
    using handle = world.processes.open(pid);
    using sent = world.processes.openPidFd(fd);
    handle.onExit(() => assert.fail());
    sent.onExit(() => assert.fail());
    assert.equal(fileControl(sent.pidfd as number, 1, 0) & 1, 1, 'close-on-exec');
    assert.throws(() => world.processes.openPidFd(world.notAPidFd()));
  }
  assert.equal(openDescriptors() - 100 /* the world's own */, before);
});

test('a zombie does not live, and is not taken from a client', async () => {
  // The shell's child ends while nobody reaps it: exec makes sleep its parent, which never waits.
  const shell = spawn('sh', ['-c', 'sleep 0.05 & echo $!; exec sleep 1000'], { stdio: ['ignore', 'pipe', 'ignore'] });
  const pid = Number(await new Promise((resolve) => shell.stdout.once('data', (text) => resolve(String(text)))));
  const processes = new KernelProcesses();
  using handle = processes.open(pid);
  await new Promise<void>((resolve) => handle.onExit(resolve));
  assert.match(readFileSync(`/proc/${pid}/stat`, 'utf8'), /\) Z /);
  assert.equal(handle.isAlive(), false);
  assert.throws(() => processes.openPidFd(handle.pidfd as number), (error) => isFailure(error, 'system') && error.errno === 'ESRCH');
  shell.kill();
});

test('a thread is no process', () => {
  const threads = readdirSync('/proc/self/task').map(Number).filter((id) => id !== process.pid);
  assert.ok(threads.length > 0);
  assert.throws(() => new KernelProcesses().open(threads[0] as number), (error) => isFailure(error, 'system') && error.errno === 'ESRCH');
});

test('the pidfd of a process that was reaped', async () => {
  const child = spawn('true');
  const fd = openPidfd(child.pid as number);
  assert.equal(pidOfPidfd(fd), child.pid);
  await new Promise((resolve) => child.once('exit', resolve));
  assert.equal(isPidfdAlive(fd), false);
  assert.throws(() => pidOfPidfd(fd), /ESRCH/);
  closeSync(fd);
});

test('a signal that comes in meanwhile does not matter', () => {
  const program = `
    const { spawn } = await import('node:child_process');
    const { KernelProcesses } = await import('${new URL('../../src/host/kernel/processes.js', import.meta.url).href}');
    const arrived = new Promise((resolve) => process.once('SIGUSR2', resolve));
    process.on('SIGUSR2', () => undefined);
    spawn('sh', ['-c', 'while kill -USR2 $PPID; do :; done'], { stdio: 'ignore' }); // ends with this process
    await arrived;
    const handle = new KernelProcesses().open(process.pid);
    for (const end = Date.now() + 200; Date.now() < end; ) if (!handle.isAlive()) throw new Error('not alive');
    console.log('alive');
    process.exit(0);`;
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    encoding: 'utf8', timeout: 20_000, killSignal: 'SIGKILL',
  });
  assert.deepEqual([stdout, stderr], ['alive\n', '']);
});

test('a signal that is not permitted', { skip: process.getuid?.() !== 0 }, () => {
  const program = `
    const { KernelProcesses } = await import('${new URL('../../src/host/kernel/processes.js', import.meta.url).href}');
    process.setuid(12345);
    try { new KernelProcesses().open(1).signal(10); } catch (error) { console.log(error.name, error.kind, error.errno); }`;
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8' });
  assert.deepEqual([stdout, stderr], ['Failure system EPERM\n', '']);
});

test("the cgroup's line", () => {
  assert.equal(parseCgroup('0::/machine.slice/machine-a\\x2db.scope\n'), '/machine.slice/machine-a\\x2db.scope');
  const hybrid = '12:pids:/elsewhere\n1:name=systemd:/user.slice\n0::/user.slice/user-0.slice\n';
  assert.equal(parseCgroup(hybrid), '/user.slice/user-0.slice');
  assert.equal(parseCgroup('9:pids:/x\n1:name=systemd:/system.slice/a.service\n'), '/system.slice/a.service');
  assert.equal(parseCgroup('0::/a:b::c (deleted)\n'), '/a:b::c');
  assert.equal(parseCgroup(''), '/');
});

test("the parent's field, whatever the name", () => {
  assert.equal(parseParent('12 (sh) S 34 12 12 0'), 34);
  assert.equal(parseParent('12 (a) S 99 (b) R 34 12 12 0'), 34);
  assert.equal(parseParent('12 () \n) Z 0 12 12 0'), 0);
});

test('mappings', () => {
  assert.deepEqual(parseIdMappings('         0          0 4294967295\n'), [{ inside: 0, outside: 0, count: 4294967295 }]);
  assert.deepEqual(parseIdMappings('0 524288 1000\n1000\t1000\t1\n'), [
    { inside: 0, outside: 524288, count: 1000 }, { inside: 1000, outside: 1000, count: 1 },
  ]);
  assert.deepEqual(parseIdMappings(''), []);
});

test('machine ids', () => {
  assert.equal(parseMachineId('3d1219c7c4c5404aaa1f6d2a48adfda4\n'), '3d1219c7c4c5404aaa1f6d2a48adfda4');
  for (const none of [undefined, '', 'uninitialized\n', '0'.repeat(32), 'xyz']) assert.equal(parseMachineId(none), undefined);
});

test('the clock', () => {
  const { realtime, monotonic } = new KernelClock().now();
  assert.ok(Math.abs(Number(realtime) / 1000 - Date.now()) < 1000);
  assert.ok(Math.abs(Number(monotonic) / 1000 - Number(process.hrtime.bigint()) / 1e6) < 1000);
});

test('a process whose memory is limited ends when it needs more, in V8’s heap or beside it', () => {
  const limits = new URL('../../src/host/kernel/limits.js', import.meta.url).href;
  const program = (hoard: string) => `
    const { limitMemory } = await import('${limits}');
    limitMemory(256 << 20);
    (await import('node:fs')).writeSync(1, 'begun');
    const kept = [];
    for (let size = 0; size < 1024; size++) kept.push(${hoard});
    console.log('not ended');`;
  for (const hoard of ['Buffer.alloc(1 << 20)', 'Array.from({ length: 1 << 15 }, (_, number) => ({ number }))']) {
    const parameters = ['-c', 'ulimit -c 0; exec "$@"', 'sh', process.execPath, '--input-type=module', '-e', program(hoard)];
    const { stdout, status } = spawnSync('sh', parameters, { encoding: 'utf8' });
    assert.deepEqual([stdout, status === 0], ['begun', false], hoard);
  }
});

test('the limit on open files goes up to the hard one', () => {
  const limits = new URL('../../src/host/kernel/limits.js', import.meta.url).href;
  // Node raises the limit when it starts: it is lowered from within.
  const program = `
    const { raiseOpenFilesLimit } = await import('${limits}');
    (await import('node:child_process')).spawnSync('prlimit', ['--pid', process.pid, '--nofile=256:2048']);
    console.log(JSON.stringify(raiseOpenFilesLimit()), JSON.stringify(raiseOpenFilesLimit()));`;
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8' });
  assert.equal(stdout, '{"before":256,"after":2048} {"before":2048,"after":2048}\n');
  assert.ok(raiseOpenFilesLimit().after > 0);
});
