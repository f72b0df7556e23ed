import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Failure, invalidArgument, isFailure, systemFailure } from '../../src/domain/failure.js';
import type { Machine } from '../../src/domain/machine.js';
import { isMachineName } from '../../src/domain/name.js';
import * as check from '../../src/domain/registration.js';
import { Registry, sameProcess } from '../../src/domain/registry.js';
import { signalByName } from '../../src/domain/signals.js';
import { UndoStack } from '../../src/domain/undo.js';
import {
  isHostId, isUserId, machineUserName, mapIn, mapOut, parseMachineUserName, uidShift,
} from '../../src/domain/users.js';

const refuses = (body: () => unknown, parameter: string) =>
  assert.throws(body, (error) => isFailure(error, 'invalid-argument') && error.parameter === parameter);

function machine(name: string, changes: Partial<Machine> = {}): Machine {
  return {
    name, id: undefined, class: 'container', service: '', leader: { pid: 100, pidfdId: 1n }, supervisor: undefined,
    rootDirectory: '', unit: `${name}.service`, subgroup: '', networkInterfaces: [], vsockCid: 0, sshAddress: '',
    sshPrivateKeyPath: '', controlAddress: '', owner: 0, timestamp: { realtime: 0n, monotonic: 0n }, allocatedUnit: false,
    state: 'running', ...changes,
  };
}

test('names of machines', () => {
  for (const good of ['a', '0', 'A-b.c-9', '_', 'a_b', 'x'.repeat(64), 'a--b', '1.2.3']) assert.ok(isMachineName(good), good);
  const bad = ['', '.', '..', '.host', 'a.', 'a..b', '-a', 'a-', 'a.-b', 'a-.b', 'a b', 'a/b', 'a\n', 'ä', 'a\0', 'x'.repeat(65)];
  for (const name of bad) assert.ok(!isMachineName(name), JSON.stringify(name));
});

test('classes: a host cannot be registered', () => {
  assert.equal(check.checkMachineClass('container'), 'container');
  assert.equal(check.checkMachineClass('vm'), 'vm');
  for (const bad of ['host', '', 'VM', 'bogus']) refuses(() => check.checkMachineClass(bad), 'class');
});

test('ids are 16 bytes; none, and zero, are no id', () => {
  assert.equal(check.checkMachineId(Uint8Array.from({ length: 16 }, (_, index) => index)), '000102030405060708090a0b0c0d0e0f');
  assert.equal(check.checkMachineId(new Uint8Array()), undefined);
  assert.equal(check.checkMachineId(new Uint8Array(16)), undefined);
  for (const length of [1, 15, 17]) refuses(() => check.checkMachineId(new Uint8Array(length)), 'id');
});

test('root directories are absolute and as long as a path can be', () => {
  for (const good of ['', '/', '/srv/../etc', `/${'x'.repeat(255)}`, '/x'.repeat(2047)]) assert.equal(check.checkRootDirectory(good), good);
  for (const bad of ['srv', './srv', `/${'x'.repeat(256)}`, `/${'ä'.repeat(128)}`, '/x'.repeat(2048)]) {
    refuses(() => check.checkRootDirectory(bad), 'rootDirectory');
  }
});

test('interfaces, CIDs, signals and whom they are for', () => {
  assert.deepEqual(check.checkNetworkInterfaces([1, 2]), [1, 2]);
  for (const bad of [[0], [1, -1]]) refuses(() => check.checkNetworkInterfaces(bad), 'ifIndices');
  for (const good of [3, 0xfffffffe]) assert.equal(check.checkVsockCid(good), good);
  for (const bad of [0, 2, 0xffffffff, 3.5, -1]) refuses(() => check.checkVsockCid(bad), 'vSockCid');
  for (const good of [1, 64]) assert.equal(check.checkSignal(good), good);
  for (const bad of [0, 65, -9]) refuses(() => check.checkSignal(bad), 'signal');
  for (const good of ['leader', 'supervisor', 'all'] as const) assert.equal(check.checkKillWhom(good), good);
  assert.equal(check.checkKillWhom(''), 'all');
  for (const bad of ['Leader', 'nobody']) refuses(() => check.checkKillWhom(bad), 'whom');
});

test('scopes are named like systemd-escape names them', () => {
  assert.equal(check.scopeName('one'), 'machine-one.scope');
  assert.equal(check.scopeName('a-b.c_d'), 'machine-a\\x2db.c_d.scope');
  assert.equal(check.scopeName('ä b/c'), 'machine-\\xc3\\xa4\\x20b-c.scope');
});

test('the registry finds what it was given, in order', () => {
  const registry = new Registry();
  const [b, a] = [machine('b'), machine('a', { leader: { pid: 200, pidfdId: undefined } })];
  registry.add(b);
  registry.add(a);
  assert.deepEqual([[...registry.all()], registry.size], [[b, a], 2]);
  assert.equal(registry.find('a'), a);
  assert.equal(registry.byUnit('b.service'), b);
  assert.equal(registry.byLeader({ pid: 100, pidfdId: 1n }), b);
  assert.equal(registry.byLeader({ pid: 100, pidfdId: 2n }), undefined);
  assert.equal(registry.byLeader({ pid: 200, pidfdId: 5n }), a, 'of a machine without an inode the PID has to do');
  registry.remove('b');
  registry.remove('b');
  assert.deepEqual([registry.find('b'), registry.byUnit('b.service'), registry.byLeader({ pid: 100, pidfdId: 1n })], [undefined, undefined, undefined]);
});

test('what one machine has, no other can have; a refusal changes nothing', () => {
  const registry = new Registry();
  const first = machine('first');
  registry.add(first);
  const rejects = (other: Machine, kind: 'machine-exists' | 'system') => {
    assert.throws(() => registry.add(other), (error) => isFailure(error, kind));
    assert.deepEqual([...registry.all()], [first]);
    assert.equal(registry.byUnit('first.service'), first);
  };
  const other = { pid: 300, pidfdId: 3n };
  rejects(machine('first', { leader: other, unit: 'x.service' }), 'machine-exists');
  rejects(machine('second'), 'system');
  rejects(machine('second', { leader: other, unit: 'first.service' }), 'system');
  registry.add(machine('second', { leader: other, unit: 'first.service', subgroup: 'payload' }));
  registry.add(machine('third', { leader: { pid: 301, pidfdId: 4n }, unit: '' }));
  registry.add(machine('fourth', { leader: { pid: 302, pidfdId: 5n }, unit: '' }));
  registry.remove('second');
  assert.equal(registry.byUnit('first.service'), first, 'a machine below the unit never had it');
});

test('the state of a machine changes, and nothing else', () => {
  const registry = new Registry();
  registry.add(machine('one'));
  const changed = registry.setState('one', 'closing');
  assert.deepEqual(changed, machine('one', { state: 'closing' }));
  assert.equal(registry.find('one'), changed);
  assert.throws(() => registry.setState('two', 'running'), /no machine two/);
});

test('the search for the machine of a process ends, whatever the processes do', () => {
  const registry = new Registry();
  registry.add(machine('one', { leader: { pid: 10, pidfdId: undefined }, unit: 'one.service', subgroup: 'payload' }));
  const parents = new Map([[30, 20], [20, 10], [50, 51], [51, 50], [60, 0], [70, 71]]);
  const view = { parentOf: (pid: number) => parents.get(pid), placeOf: () => ({ unit: 'one.service', subgroup: 'supervisor' }) };
  assert.equal(registry.byProcess(30, view)?.name, 'one');
  for (const pid of [50, 60, 70, 0, -1]) assert.equal(registry.byProcess(pid, view), undefined);
});

test('processes are told apart by their pidfd, where both are known', () => {
  assert.ok(sameProcess({ pid: 1, pidfdId: 5n }, { pid: 1, pidfdId: 5n }));
  assert.ok(sameProcess({ pid: 1, pidfdId: undefined }, { pid: 1, pidfdId: 5n }));
  assert.ok(!sameProcess({ pid: 1, pidfdId: 5n }, { pid: 1, pidfdId: 6n }));
  assert.ok(!sameProcess({ pid: 1, pidfdId: 5n }, { pid: 2, pidfdId: 5n }));
});

test('signals by name', () => {
  const numbers = { TERM: 15, SIGTERM: 15, HUP: 1, SYS: 31, RTMIN: 34, 'RTMIN+3': 37, 'RTMIN+30': 64, RTMAX: 64, 'SIGRTMAX-30': 34 };
  for (const [name, number] of Object.entries(numbers)) assert.equal(signalByName(name), number, name);
  for (const bad of ['', 'SIG', 'term', 'NOPE', 'RTMIN+31', 'RTMAX-31', 'RTMIN-1', 'RTMAX+1', 'RTMIN+', '15', 'constructor']) {
    assert.equal(signalByName(bad), undefined, bad);
  }
});

test('signal numbers are the kernel\'s', async () => {
  const { constants } = await import('node:os');
  for (const [name, number] of Object.entries(constants.signals)) {
    if (name === 'SIGIOT' || name === 'SIGPOLL' || name === 'SIGUNUSED') continue; // second names
    assert.equal(signalByName(name), number, name);
  }
});

test('ids map in and out, and only where there is a mapping', () => {
  const mappings = [{ inside: 0, outside: 100_000, count: 10 }, { inside: 1000, outside: 5000, count: 1 }];
  for (const [inside, outside] of [[0, 100_000], [9, 100_009], [1000, 5000]] as const) {
    assert.equal(mapOut(mappings, inside), outside);
    assert.equal(mapIn(mappings, outside), inside);
  }
  for (const inside of [10, 999, 1001, -1]) assert.equal(mapOut(mappings, inside), undefined);
  for (const outside of [99_999, 100_010, 4999, 5001]) assert.equal(mapIn(mappings, outside), undefined);
});

test('a shift is one range that begins with root', () => {
  assert.equal(uidShift([{ inside: 0, outside: 70_000, count: 65536 }]), 70_000);
  assert.equal(uidShift([]), undefined);
  assert.equal(uidShift([{ inside: 1, outside: 70_000, count: 1 }]), undefined);
  assert.equal(uidShift([{ inside: 0, outside: 1, count: 1 }, { inside: 1, outside: 9, count: 1 }]), undefined);
});

test('which numbers are ids, and which are the host\'s', () => {
  for (const good of [0, 65534, 65536, 0xfffffffe]) assert.ok(isUserId(good), String(good));
  for (const bad of [-1, 65535, 0xffffffff, 1.5, NaN]) assert.ok(!isUserId(bad), String(bad));
  assert.deepEqual([0, 65535, 65536].map(isHostId), [true, true, false]);
});

test("names of containers' users", () => {
  assert.equal(machineUserName('vu', 'a-b', 1000), 'vu-a-b-1000');
  assert.equal(machineUserName('vg', 'x'.repeat(26), 0)?.length, 31);
  assert.equal(machineUserName('vg', 'x'.repeat(27), 0), undefined);
  assert.equal(machineUserName('vu', 'x.y', 0), undefined);
  assert.deepEqual(parseMachineUserName('vu', 'vu-a-b-1000'), { machine: 'a-b', id: 1000 });
  assert.deepEqual(parseMachineUserName('vg', 'vg--0'), undefined);
  const bad = ['root', 'vu-', 'vu-a', 'vu-a-', 'vg-a-1', 'vu-a-01', 'vu-a-x', 'vu-a-65535', 'vu-a-4294967295', 'vu-a-99999999999', ' vu-a-1'];
  for (const name of bad) assert.equal(parseMachineUserName('vu', name), undefined, name);
});

test('undoing goes backwards, over failures, once', () => {
  const order: number[] = [];
  const failing = () => {
    throw new Error('second');
  };
  assert.throws(() => {
    using undo = new UndoStack();
    undo.defer(() => order.push(1));
    undo.defer(failing);
    undo.use({ [Symbol.dispose]: () => void order.push(3) });
  }, AggregateError);
  assert.deepEqual(order, [3, 1]);
});

test('what is kept or moved is not undone', () => {
  const order: string[] = [];
  let moved: UndoStack;
  {
    using kept = new UndoStack();
    kept.defer(() => order.push('kept'));
    using undo = new UndoStack();
    undo.defer(() => order.push('moved'));
    moved = undo.move();
    kept.keep();
  }
  assert.deepEqual(order, []);
  moved[Symbol.dispose]();
  moved[Symbol.dispose]();
  assert.deepEqual(order, ['moved']);
});

test('failures say what they are', () => {
  const cause = new Error('cause');
  assert.ok(isFailure(systemFailure('ESRCH', 'gone', cause), 'system'));
  assert.equal(systemFailure('ESRCH', 'gone', cause).cause, cause);
  assert.ok(!('cause' in systemFailure('ESRCH', 'gone')));
  assert.ok(!isFailure(invalidArgument('name', 'bad'), 'system'));
  assert.ok(!isFailure(new Error('other')));
  assert.equal(new Failure('system', 'text', { busError: 'a.B' }).busError, 'a.B');
});
