import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { isFailure } from '../../src/domain/failure.js';
import type { Processes } from '../../src/ports/processes.js';

/** A set of processes to look at, and the means to change it. */
export interface ProcessesWorld extends AsyncDisposable {
  readonly processes: Processes;
  /** Starts a process that stays until it gets a signal; it is in view when this resolves. */
  spawn(): Promise<number>;
  /** Resolves once the process, which has had a fatal signal or gets one now, is gone from view. */
  end(pid: number): Promise<void>;
  /** A descriptor of the process, as a client would send it, and one that is open but no pidfd. The world closes them. */
  pidFdOf(pid: number): number;
  notAPidFd(): number;
  /** What is true of every process that `spawn` starts. */
  readonly parent: number;
  readonly owner: number;
  readonly cgroup: string;
}

const failsWith = (errno: string) => (error: unknown) => isFailure(error, 'system') && error.errno === errno;
const neverAPid = 0x7ffffffe; // beyond the kernel's PID_MAX_LIMIT
const turn = () => new Promise((resolve) => setImmediate(resolve));

/** What every binding of the Processes port, and its fake, must do. */
export function processesSuite(name: string, make: () => Promise<ProcessesWorld>): void {
  suite(`Processes: ${name}`, () => {
    test('a handle knows its process, and whether it lives', async () => {
      await using world = await make();
      const pid = await world.spawn();
      using handle = world.processes.open(pid);
      assert.equal(handle.identity.pid, pid);
      assert.equal(handle.isAlive(), true);
      await world.end(pid);
      assert.equal(handle.isAlive(), false);
      assert.throws(() => handle.signal(15), failsWith('ESRCH'));
    });

    test('two handles of one process have the same identity, those of two processes do not', async () => {
      await using world = await make();
      const [first, second] = [await world.spawn(), await world.spawn()];
      using one = world.processes.open(first);
      using same = world.processes.open(first);
      using other = world.processes.open(second);
      assert.deepEqual(one.identity, same.identity);
      assert.notDeepEqual(one.identity, other.identity);
      if (one.identity.pidfdId !== undefined) assert.notEqual(one.identity.pidfdId, other.identity.pidfdId);
    });

    test('there is nothing to hold of a process that is not there', async () => {
      await using world = await make();
      const pid = await world.spawn();
      await world.end(pid);
      for (const missing of [pid, neverAPid, 0, -1, 1.5, NaN, 2 ** 32 + 1]) {
        assert.throws(() => world.processes.open(missing), failsWith('ESRCH'), `${missing}`);
      }
    });

    test('a pidfd that was sent is as good as a PID, and stays the sender\'s', async () => {
      await using world = await make();
      const pid = await world.spawn();
      const fd = world.pidFdOf(pid);
      using byPid = world.processes.open(pid);
      {
        using byDescriptor = world.processes.openPidFd(fd);
        assert.deepEqual(byDescriptor.identity, byPid.identity);
        assert.ok(byDescriptor.isAlive());
      }
      using again = world.processes.openPidFd(fd);
      assert.ok(again.isAlive());
      await world.end(pid);
      assert.throws(() => world.processes.openPidFd(fd), failsWith('ESRCH'));
    });

    test('a descriptor of something else is refused', async () => {
      await using world = await make();
      assert.throws(() => world.processes.openPidFd(world.notAPidFd()), failsWith('EBADF'));
      assert.throws(() => world.processes.openPidFd(99999), failsWith('EBADF'));
      assert.throws(() => world.processes.openPidFd(-1), failsWith('EBADF'));
    });

    test('signals reach the process', async () => {
      await using world = await make();
      const pid = await world.spawn();
      using handle = world.processes.open(pid);
      for (const wrong of [0, -1, 65, 1.5]) assert.throws(() => handle.signal(wrong), RangeError);
      assert.ok(handle.isAlive());
      handle.signal(15);
      await world.end(pid);
      assert.equal(handle.isAlive(), false);
    });

    test('its end is told once, to everyone who asked, and never within onExit', async () => {
      await using world = await make();
      const pid = await world.spawn();
      using handle = world.processes.open(pid);
      using other = world.processes.open(pid);
      const told: string[] = [];
      handle.onExit(() => told.push('first'));
      handle.onExit(() => told.push('disposed of'))[Symbol.dispose]();
      handle.onExit(() => told.push('second'));
      const otherTold = new Promise<void>((resolve) => other.onExit(resolve));
      await turn();
      assert.deepEqual(told, []);
      await world.end(pid);
      await otherTold;
      await turn();
      assert.deepEqual(told, ['first', 'second']);
      let late = false;
      const lateTold = new Promise<void>((resolve) => {
        handle.onExit(() => {
          late = true;
          resolve();
        });
      });
      assert.equal(late, false);
      await lateTold;
      await turn();
      assert.deepEqual(told, ['first', 'second']);
    });

    test('a handle that was disposed of tells nothing', async () => {
      await using world = await make();
      const pid = await world.spawn();
      const handle = world.processes.open(pid);
      let told = false;
      const watch = handle.onExit(() => (told = true));
      handle[Symbol.dispose]();
      handle[Symbol.dispose]();
      watch[Symbol.dispose]();
      using witness = world.processes.open(pid);
      const exited = new Promise<void>((resolve) => witness.onExit(resolve));
      assert.ok(witness.isAlive(), 'letting go of a process does nothing to it');
      await world.end(pid);
      await exited;
      await turn();
      assert.equal(told, false);
      assert.throws(() => handle.isAlive(), /disposed/);
      assert.throws(() => handle.signal(15), /disposed/);
    });

    test('a callback may dispose of its handle, and of the other callbacks', async () => {
      await using world = await make();
      const pid = await world.spawn();
      const handle = world.processes.open(pid);
      let calls = 0;
      const exited = new Promise<void>((resolve) => {
        for (let count = 0; count < 2; count++) {
          handle.onExit(() => {
            calls++;
            handle[Symbol.dispose]();
            resolve();
          });
        }
      });
      await world.end(pid);
      await exited;
      await turn();
      assert.equal(calls, 1);
    });

    test('what a process is', async () => {
      await using world = await make();
      const { processes } = world;
      const [pid, sibling] = [await world.spawn(), await world.spawn()];
      assert.equal(processes.parentOf(pid), world.parent);
      assert.equal(processes.ownerOf(pid), world.owner);
      assert.equal(processes.cgroupOf(pid), world.cgroup);
      for (const mappings of [processes.userMappings(pid), processes.groupMappings(pid)]) {
        assert.ok(mappings !== undefined && mappings.length > 0);
        for (const { inside, outside, count } of mappings) {
          assert.ok([inside, outside, count].every((id) => Number.isInteger(id) && id >= 0 && id <= 0xffffffff));
        }
      }
      for (const kind of ['user', 'net', 'mnt', 'pid', 'cgroup'] as const) {
        const inode = processes.namespaceOf(pid, kind);
        assert.ok(inode !== undefined && inode > 0n);
        assert.equal(processes.namespaceOf(sibling, kind), inode);
      }
    });

    test('of a process that has ended, nothing is known', async () => {
      await using world = await make();
      const { processes } = world;
      const pid = await world.spawn();
      await world.end(pid);
      for (const missing of [pid, neverAPid]) {
        assert.equal(processes.cgroupOf(missing), undefined);
        assert.equal(processes.parentOf(missing), undefined);
        assert.equal(processes.ownerOf(missing), undefined);
        assert.equal(processes.userMappings(missing), undefined);
        assert.equal(processes.groupMappings(missing), undefined);
        assert.equal(processes.namespaceOf(missing, 'net'), undefined);
      }
    });

    test('the host and its boot have ids', async () => {
      await using world = await make();
      assert.match(world.processes.bootId, /^[0-9a-f]{32}$/);
      if (world.processes.hostId !== undefined) assert.match(world.processes.hostId, /^[0-9a-f]{32}$/);
    });
  });
}
