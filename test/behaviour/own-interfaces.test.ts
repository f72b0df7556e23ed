// What this project adds to the interfaces of the original: it is there, apart from them, and does not show in them.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { MachineEvents } from '../../src/service/machine-events.js';
import type { JsonObject } from '../../src/wire/varlink/json.js';
import { startBus, type TestBus } from '../support/bus.js';
import { DBusRegistry, manager } from '../support/registry-dbus.js';
import { VarlinkRegistry } from '../support/registry-varlink.js';
import { VarlinkFailure } from '../support/varlink-client.js';

let bus: TestBus;
before(async () => {
  bus = await startBus();
});
after(() => bus[Symbol.asyncDispose]());

const isTrue = async (condition: () => boolean) => {
  while (!condition()) await turn();
};

test('the object on the bus shows itself, and nothing shows it', async () => {
  await using registry = await DBusRegistry.start(bus);
  const client = await registry.connectRaw({ uid: 0, pid: registry.world.processes.spawn() });
  const introspect = async (path: string) => {
    const [xml] = await client.call({
      destination: manager.destination, path, interface: 'org.freedesktop.DBus.Introspectable', member: 'Introspect', replySignature: 's',
    });
    return { nodes: [...xml.matchAll(/<node name="([^"]+)"/g)].map(([, name]) => name), has: (text: string) => xml.includes(text) };
  };
  assert.deepEqual((await introspect('/')).nodes, ['org']);
  assert.ok(!(await introspect(manager.path)).has('io.machined'));
  assert.ok((await introspect('/io/machined')).has('<interface name="io.machined.Manager"'));
  await assert.rejects(introspect('/io'), /Unknown object/);
});

test('a subscriber hears of the machines that there are, and then of what becomes of them', async () => {
  await using registry = new VarlinkRegistry();
  const { world } = registry;
  const client = await registry.connectRaw({ uid: 0, pid: world.processes.spawn() });
  const call = (method: string, parameters: object) => client.call(`io.systemd.Machine.${method}`, parameters);
  await call('Register', { name: 'one', class: 'container', leader: world.leader('one.service') });
  const subscriber = await registry.connectOwn({ uid: 1000, pid: world.processes.spawn({ owner: 1000 }) });
  const heard: unknown[] = [];
  subscriber.listen('io.machined.Machine.Subscribe', ({ event, machine }) => {
    heard.push([event, (machine as JsonObject | undefined)?.['name'], (machine as JsonObject | undefined)?.['state']]);
  });
  await isTrue(() => heard.length === 3);
  await call('Register', { name: 'two', class: 'vm', leader: world.leader('two.service'), allocateUnit: true });
  await call('Terminate', { name: 'two' });
  await isTrue(() => heard.length >= 6);
  await call('Unregister', { name: 'one' });
  await isTrue(() => heard.at(-1)?.toString() === 'removed,one,running');
  assert.deepEqual(heard.slice(0, 3), [['present', '.host', 'running'], ['present', 'one', 'running'], ['ready', undefined, undefined]]);
  const ofTwo = heard.slice(3).filter((event) => (event as unknown[])[1] === 'two');
  assert.deepEqual(ofTwo[0], ['added', 'two', 'opening']);
  assert.ok(ofTwo.some((event) => String(event) === 'changed,two,running'), String(heard));
});

test('one reply is not enough for a subscriber', async () => {
  await using registry = new VarlinkRegistry();
  const client = await registry.connectOwn({ uid: 0, pid: registry.world.processes.spawn() });
  await assert.rejects(client.call('io.machined.Machine.Subscribe'), (failure) => {
    return failure instanceof VarlinkFailure && failure.error === 'org.varlink.service.ExpectedMore';
  });
});

test('a subscriber that takes its time gets the right picture in the end, and no more than that', async () => {
  await using registry = new VarlinkRegistry();
  const { world } = registry;
  const client = await registry.connectRaw({ uid: 0, pid: world.processes.spawn() });
  const register = (name: string) =>
    client.call('io.systemd.Machine.Register', { name, class: 'container', leader: world.leader(`${name}.service`) });
  const unregister = (name: string) => client.call('io.systemd.Machine.Unregister', { name });
  await register('kept');
  await register('replaced');
  const events = new MachineEvents(world.machines);
  const take = async () => {
    const { value } = await events.next();
    return value === undefined || value.kind === 'ready' ? value?.kind : `${value.kind} ${value.machine.name}`;
  };
  assert.deepEqual([await take(), await take(), await take(), await take()], ['present .host', 'present kept', 'present replaced', 'ready']);
  for (let round = 0; round < 50; round++) {
    await register('fleeting');
    await unregister('fleeting');
  }
  await unregister('replaced');
  await client.call('io.systemd.Machine.Register', { name: 'replaced', class: 'container', leader: world.leader('other.service') });
  await register('last');
  assert.deepEqual([await take(), await take(), await take()], ['removed replaced', 'added replaced', 'added last']);
  const waiting = take();
  await events.return();
  assert.equal(await waiting, undefined);
});
