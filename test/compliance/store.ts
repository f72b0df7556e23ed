import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { noVsockCid, type Machine } from '../../src/domain/machine.js';
import type { Store } from '../../src/ports/store.js';

export interface StoreSetup extends Disposable {
  readonly store: Store;
  /** Another store of the same place, as a daemon that was restarted has it. */
  reopen(): Store;
}

/** A machine with as little as possible. */
export const plainMachine: Machine = {
  name: 'plain',
  id: undefined,
  class: 'container',
  service: '',
  leader: { pid: 4711, pidfdId: undefined },
  supervisor: undefined,
  rootDirectory: '',
  unit: '',
  subgroup: '',
  networkInterfaces: [],
  vsockCid: noVsockCid,
  sshAddress: '',
  sshPrivateKeyPath: '',
  controlAddress: '',
  owner: 0,
  timestamp: { realtime: 1795255603330821n, monotonic: 2552363860n },
  allocatedUnit: false,
  state: 'running',
};

/** A machine with everything. */
export const fullMachine: Machine = {
  name: 'a-b.cd',
  id: 'd0000000000000000000000000000d01',
  class: 'vm',
  service: 'a b "c" $d `e` \\f\ng\rh é',
  leader: { pid: 4194304, pidfdId: 0xffffffffffffffffn },
  supervisor: { pid: 1, pidfdId: 2n },
  rootDirectory: '/srv/with space/ü',
  unit: 'machine-a\\x2db.cd.scope',
  subgroup: '',
  networkInterfaces: [3, 2147483647],
  vsockCid: 4242,
  sshAddress: 'vsock/4242',
  sshPrivateKeyPath: '/run/ssh/key',
  controlAddress: '/run/control.sock',
  owner: 4294967294,
  timestamp: { realtime: 1795255603330822n, monotonic: 2552363861n },
  allocatedUnit: true,
  state: 'running',
};

const inSubgroup: Machine = {
  ...plainMachine,
  name: 'boxed',
  leader: { pid: 4712, pidfdId: 7n },
  unit: 'systemd-nspawn@boxed.service',
  subgroup: 'payload/deep er',
  timestamp: { realtime: 1795255603330823n, monotonic: 2552363862n },
};

/** What every Store keeps to. */
export function storeCompliance(name: string, setUp: () => StoreSetup): void {
  suite(`${name} is a Store`, () => {
    test('it is empty at first', () => {
      using setup = setUp();
      assert.deepEqual(setup.store.load(), { machines: [], intended: [], damaged: [] });
    });

    test('what is saved is loaded by the next daemon, in the order of registration', () => {
      using setup = setUp();
      const machines = [plainMachine, fullMachine, inSubgroup].map((machine) => ({ machine, job: '' }));
      for (const stored of machines) setup.store.save(stored);
      assert.deepEqual(setup.reopen().load(), { machines, intended: [], damaged: [] });
    });

    test('a VSOCK CID of 0 is none, and yet another one than the one that says so', () => {
      using setup = setUp();
      setup.store.save({ machine: { ...plainMachine, vsockCid: 0 }, job: '' });
      assert.equal(setup.reopen().load().machines[0]?.machine.vsockCid, 0);
    });

    test('saving again replaces what was saved', () => {
      using setup = setUp();
      setup.store.save({ machine: { ...inSubgroup, state: 'closing' }, job: '/org/freedesktop/systemd1/job/7' });
      assert.deepEqual(setup.reopen().load().machines, [
        { machine: { ...inSubgroup, state: 'closing' }, job: '/org/freedesktop/systemd1/job/7' },
      ]);
      setup.store.save({ machine: { ...inSubgroup, subgroup: '' }, job: '' });
      assert.deepEqual(setup.reopen().load().machines, [{ machine: { ...inSubgroup, subgroup: '' }, job: '' }]);
    });

    test('a machine that was being opened is running when it is loaded; its job is known', () => {
      using setup = setUp();
      setup.store.save({ machine: { ...fullMachine, state: 'opening' }, job: '/org/freedesktop/systemd1/job/8' });
      assert.deepEqual(setup.reopen().load().machines, [{ machine: fullMachine, job: '/org/freedesktop/systemd1/job/8' }]);
    });

    test('it is known later who had all of a unit', () => {
      using setup = setUp();
      for (const machine of [plainMachine, fullMachine, inSubgroup]) setup.store.save({ machine, job: '' });
      const later = setup.reopen();
      const known = later.load().machines.map(({ machine }) => [machine.name, later.hadWholeUnit(machine)]);
      assert.deepEqual(known, [[plainMachine.name, false], [fullMachine.name, true], [inSubgroup.name, false]]);
    });

    test('what is removed is gone; removing what is not there is no error', () => {
      using setup = setUp();
      for (const machine of [fullMachine, inSubgroup]) setup.store.save({ machine, job: '' });
      const later = setup.reopen();
      later.load();
      for (const machine of [plainMachine, fullMachine, inSubgroup, inSubgroup]) later.remove(machine);
      assert.deepEqual(setup.reopen().load(), { machines: [], intended: [], damaged: [] });
    });

    test('what is intended is told to the next daemon, and is no machine, until it is saved or removed', () => {
      using setup = setUp();
      setup.store.intend({ ...fullMachine, state: 'opening' });
      setup.store.intend({ ...plainMachine, unit: 'machine-plain.scope', allocatedUnit: true, state: 'opening' });
      const next = setup.reopen();
      const { machines, intended } = next.load();
      assert.deepEqual([machines, intended.map(({ name }) => name).sort()], [[], ['a-b.cd', 'plain']]);
      assert.deepEqual(intended.find(({ name }) => name === fullMachine.name), fullMachine);
      next.save({ machine: fullMachine, job: '' });
      next.remove(plainMachine);
      assert.deepEqual(setup.reopen().load(), { machines: [{ machine: fullMachine, job: '' }], intended: [], damaged: [] });
    });

    test('what was intended and saved, or removed, by the same daemon is not intended any more', () => {
      using setup = setUp();
      for (const machine of [fullMachine, inSubgroup]) setup.store.intend(machine);
      setup.store.save({ machine: fullMachine, job: '' });
      setup.store.remove(inSubgroup);
      assert.deepEqual(setup.reopen().load(), { machines: [{ machine: fullMachine, job: '' }], intended: [], damaged: [] });
    });

    test('nothing of a removed machine sticks to the next one of its name', () => {
      using setup = setUp();
      setup.store.save({ machine: { ...inSubgroup, state: 'closing' }, job: '' });
      setup.store.remove(inSubgroup);
      const next: Machine = { ...plainMachine, name: inSubgroup.name };
      setup.store.save({ machine: next, job: '' });
      assert.deepEqual(setup.reopen().load().machines, [{ machine: next, job: '' }]);
    });
  });
}
