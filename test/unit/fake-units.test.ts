import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Failure, isFailure } from '../../src/domain/failure.js';
import { FakeProcesses } from '../../src/ports/fakes/processes.js';
import { FakeUnits } from '../../src/ports/fakes/units.js';
import { unitsSuite } from '../compliance/units.js';

const asProcess = (pid: number) => ({ pid, pidfd: undefined });

unitsSuite('fake', async () => {
  const processes = new FakeProcesses();
  const units = new FakeUnits(processes);
  units.refusedProperties.add('Refused');
  return {
    units,
    refused: { name: 'Refused', signature: 's', value: '' },
    spawn: async () => asProcess(processes.spawn()),
    spawnIn: async (unit, subgroup) => {
      const pid = processes.spawn();
      units.enter(unit, pid, subgroup);
      return asProcess(pid);
    },
    end: async ({ pid }) => processes.exit(pid),
    isAlive: ({ pid }) => processes.cgroupOf(pid) !== undefined,
    cgroupOf: ({ pid }) => processes.cgroupOf(pid),
    prefix: '',
    [Symbol.asyncDispose]: async () => units[Symbol.dispose](),
  };
});

test('a job that is held ends as it is told to', async () => {
  const processes = new FakeProcesses();
  const units = new FakeUnits(processes);
  units.holdsJobs = true;
  const leader = asProcess(processes.spawn());
  const request = { unit: 'machine-a.scope', description: '', leader, properties: [] };
  const first = await units.startScope(request);
  assert.notEqual(first.job, '');
  units.finishJob('machine-a.scope', new Failure('system', 'no'));
  await assert.rejects(first.done, isFailure);
  assert.equal(await units.isActive('machine-a.scope'), false);
  const second = await units.startScope(request);
  units.finishJob('machine-a.scope');
  await second.done;
  assert.equal(processes.cgroupOf(leader.pid), '/machine.slice/machine-a.scope');
});
