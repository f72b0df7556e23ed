// What cannot be made to happen with a real systemd: signals of others, answers that come too late, a systemd that goes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { isFailure } from '../../src/domain/failure.js';
import { SystemdUnits } from '../../src/host/units/systemd.js';
import type { BusConnection } from '../../src/transport/dbus/connection.js';
import { escapeLabel } from '../../src/wire/dbus/object-path.js';
import type { ReceivedCall } from '../../src/wire/dbus/received.js';
import { variant } from '../../src/wire/dbus/value.js';
import { startBus } from '../support/bus.js';

const managerPath = '/org/freedesktop/systemd1';
const manager = { path: managerPath, interface: 'org.freedesktop.systemd1.Manager' } as const;
const job = `${managerPath}/job/1`;
const unit = 'machine-a.scope';
const request = { unit, description: '', leader: { pid: 1, pidfd: undefined }, properties: [] };

/** As much of systemd as there is in a signal. */
const signals = {
  jobRemoved: (from: BusConnection, result: string, destination?: string) =>
    from.emit({
      ...manager, member: 'JobRemoved', signature: 'uoss', body: [1, job, unit, result], ...(destination && { destination }),
    }),
  unitRemoved: (from: BusConnection) =>
    from.emit({ ...manager, member: 'UnitRemoved', signature: 'so', body: [unit, `${managerPath}/unit/x`] }),
  activeState: (from: BusConnection, state: string, destination?: string) =>
    from.emit({
      path: `${managerPath}/unit/${escapeLabel(unit)}`, interface: 'org.freedesktop.DBus.Properties',
      member: 'PropertiesChanged', signature: 'sa{sv}as',
      body: ['org.freedesktop.systemd1.Unit', new Map([['ActiveState', variant('s', state)]]), []],
      ...(destination && { destination }),
    }),
};

async function makeWorld(ownCgroup = '') {
  const bus = await startBus();
  const [systemd, ours, stranger] = await Promise.all([bus.connect(), bus.connect(), bus.connect()]);
  const states = new Map<string, string>();
  const handlers = new Map<string, (call: ReceivedCall) => void>([
    ['Subscribe', (call) => systemd.reply(call)],
    ['Get', (call) => systemd.reply(call, 'v', [variant('s', ownCgroup)])], // ControlGroup
    ['StartTransientUnit', (call) => systemd.reply(call, 'o', [job])],
    ['ListUnitsByNames', (call) => answerStates(call)],
  ]);
  const answerStates = (call: ReceivedCall): void => {
    const [units] = call.body() as [string[]];
    const rows = units.map((name) => [name, '', 'loaded', states.get(name) ?? 'inactive', '', '', '/x', 0, '', '/']);
    systemd.reply(call, 'a(ssssssouso)', [rows]);
  };
  systemd.onMethodCall = (call) => handlers.get(call.member)?.(call);
  await systemd.requestName('org.freedesktop.systemd1');
  const units = new SystemdUnits();
  await units.attach(ours);
  const ended: string[] = [];
  return {
    bus, systemd, ours, stranger, states, handlers, answerStates, units, ended,
    watch: () => units.watch(unit, { gone: (name) => void ended.push(name) }),
    [Symbol.asyncDispose]: async () => {
      units[Symbol.dispose]();
      for (const connection of [systemd, ours, stranger]) connection.close();
      await bus[Symbol.asyncDispose]();
    },
  };
}

async function until(condition: () => boolean, what: string): Promise<void> {
  for (const deadline = Date.now() + 10_000; !condition(); await delay(2)) {
    if (Date.now() > deadline) assert.fail(`timed out: ${what}`);
  }
}

/** What is sent has all gone through the bus before this process, which is its receiver too, reads any of it. */
function arrivingTogether(send: () => void): void {
  send();
  queueMicrotask(() => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100));
}

test("a user's manager has the units below its own cgroup", async () => {
  const own = '/user.slice/user-1000.slice/user@1000.service';
  await using world = await makeWorld(own);
  const { units } = world;
  assert.deepEqual(units.placeOf(`${own}/app.slice/one.service/payload`), { unit: 'one.service', subgroup: 'payload' });
  assert.equal(units.placeOf(own), undefined);
  assert.equal(units.placeOf('/system.slice/other.service'), undefined);
  await using host = await makeWorld();
  assert.deepEqual(host.units.placeOf(`${own}/app.slice/one.service`), { unit: 'user@1000.service', subgroup: 'app.slice/one.service' });
});

test('signals of a stranger end no unit and finish no job', async () => {
  await using world = await makeWorld();
  const { systemd, stranger, ours, units, ended } = world;
  const { done } = await units.startScope(request);
  let finished = false;
  void done.then(() => (finished = true));
  world.states.set(unit, 'active');
  signals.jobRemoved(stranger, 'done', ours.uniqueName);
  await delay(50);
  assert.equal(finished, false);
  signals.jobRemoved(systemd, 'done');
  await done;
  world.watch();
  signals.activeState(stranger, 'inactive', ours.uniqueName);
  await delay(50);
  assert.deepEqual(ended, []);
  signals.activeState(systemd, 'inactive');
  await until(() => ended.length > 0, 'systemd is believed');
});

test('an answer that is older than the scope does not end it', async () => {
  await using world = await makeWorld();
  const { systemd, handlers, units, ended } = world;
  let question: ReceivedCall | undefined;
  handlers.set('ListUnitsByNames', (call) => (question = call));
  const { done } = await units.startScope(request);
  world.watch();
  signals.unitRemoved(systemd); // another one, of the same name
  await until(() => question !== undefined, 'the question');
  arrivingTogether(() => {
    world.answerStates(question as ReceivedCall); // 'inactive': the job is still to come
    signals.jobRemoved(systemd, 'done');
    world.states.set(unit, 'active');
    handlers.set('ListUnitsByNames', world.answerStates);
  });
  await done;
  await delay(50);
  assert.deepEqual(ended, []);
});

test('a job that ends before systemd has answered is not missed, nor is an end right after it', async () => {
  await using world = await makeWorld();
  const { systemd, handlers, units, ended } = world;
  handlers.set('StartTransientUnit', (call) => {
    signals.activeState(systemd, 'active');
    signals.jobRemoved(systemd, 'done');
    signals.activeState(systemd, 'inactive');
    systemd.reply(call, 'o', [job]);
  });
  const { done } = await units.startScope(request);
  world.watch();
  await done;
  await until(() => ended.length > 0, 'the end');
});

test('when systemd goes and returns, what it has forgotten is over', async () => {
  await using world = await makeWorld();
  const { systemd, units, ended } = world;
  const first = await units.startScope(request);
  world.states.set(unit, 'active');
  world.watch();
  signals.jobRemoved(systemd, 'done');
  await first.done;
  const second = await units.startScope({ ...request, unit: 'machine-b.scope' });
  const rejected = assert.rejects(second.done, (error) => isFailure(error, 'system') && error.message.includes('failed'));
  await delay(50);
  assert.deepEqual(ended, []);
  world.states.clear();
  await systemd.releaseName('org.freedesktop.systemd1');
  await systemd.requestName('org.freedesktop.systemd1');
  await rejected;
  await until(() => ended.length > 0, 'the end of the watched unit');
});

test('a lost bus ends the wait for a job', async () => {
  await using world = await makeWorld();
  const { done } = await world.units.startScope(request);
  const rejected = assert.rejects(done, (error) => isFailure(error, 'not-available'));
  await world.bus.kill();
  await rejected;
  await assert.rejects(world.units.isActive('x.scope'), (error) => isFailure(error, 'not-available'));
});
