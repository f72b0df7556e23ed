import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeProcesses } from '../../src/ports/fakes/processes.js';
import { processesSuite } from '../compliance/processes.js';

processesSuite('fake', async () => {
  const processes = new FakeProcesses();
  const parent = processes.spawn();
  return {
    processes,
    parent,
    owner: 1234,
    cgroup: '/somewhere',
    spawn: async () => processes.spawn({ parent, owner: 1234, cgroup: '/somewhere' }),
    end: async (pid) => {
      if (processes.parentOf(pid) !== undefined) processes.exit(pid);
    },
    pidFdOf: (pid) => processes.pidFdOf(pid),
    notAPidFd: () => 3,
    [Symbol.asyncDispose]: async () => {},
  };
});

test('a PID that is used again is another process', () => {
  const processes = new FakeProcesses();
  const pid = processes.spawn();
  using before = processes.open(pid);
  processes.exit(pid);
  processes.spawn({ pid });
  using after = processes.open(pid);
  assert.deepEqual([before.isAlive(), after.isAlive()], [false, true]);
  assert.notDeepEqual(before.identity, after.identity);
});

test('processes move, and orphans go to PID 1', () => {
  const processes = new FakeProcesses();
  const parent = processes.spawn();
  const child = processes.spawn({ parent });
  processes.setCgroup(child, '/machine.slice/x.scope');
  assert.equal(processes.cgroupOf(child), '/machine.slice/x.scope');
  processes.exit(parent);
  assert.equal(processes.parentOf(child), 1);
  processes.reparent(child, processes.spawn());
  assert.notEqual(processes.parentOf(child), 1);
  processes.open(child).signal(10);
  processes.open(child).signal(9);
  assert.deepEqual(processes.signals, [{ pid: child, signal: 10 }, { pid: child, signal: 9 }]);
  assert.equal(processes.parentOf(child), undefined);
});
