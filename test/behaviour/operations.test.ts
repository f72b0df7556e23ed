// What is under way, through both front ends: who learns of it, and who may put an end to it.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { BusError } from '../../src/transport/dbus/bus-error.js';
import type { Variant } from '../../src/wire/dbus/value.js';
import type { JsonObject } from '../../src/wire/varlink/json.js';
import { startBus, type TestBus } from '../support/bus.js';
import { DBusRegistry, manager } from '../support/registry-dbus.js';
import { VarlinkRegistry } from '../support/registry-varlink.js';
import { VarlinkFailure } from '../support/varlink-client.js';
import { World } from '../support/world.js';

const isTrue = async (condition: () => boolean) => {
  while (!condition()) await turn();
};

/** An image 'one', whose clones take until they are canceled. */
function newWorld(): World {
  const world = new World();
  world.images.add({ name: 'one' });
  world.images.clonesEnd = (_image, canceled) => new Promise((resolve) => canceled.addEventListener('abort', () => resolve()));
  return world;
}

suite('over Varlink', () => {
  const own = 'io.machined.Operations.';

  async function setUp() {
    const world = newWorld();
    const registry = new VarlinkRegistry(world);
    const root = { uid: 0, pid: world.processes.spawn() };
    const user = { uid: 1000, pid: world.processes.spawn({ owner: 1000 }) };
    const watcher = await registry.connectOwn(user);
    const heard: JsonObject[] = [];
    watcher.listen(`${own}List`, (event) => heard.push(event));
    await isTrue(() => heard.length === 1);
    const clone = async (identity = root) => (await registry.connectRaw(identity)).call('io.systemd.MachineImage.Clone', { name: 'one', newName: 'two' });
    return {
      world, registry, root, user, heard, clone, client: await registry.connectOwn(root), other: await registry.connectOwn(user),
      [Symbol.asyncDispose]: () => registry[Symbol.asyncDispose](),
    };
  }

  const failsWith = (name: string) => (error: unknown) => {
    assert.ok(error instanceof VarlinkFailure, String(error));
    assert.equal(error.error, name);
    return true;
  };

  test('whoever listens learns what begins, how far it comes and how it ends', async () => {
    await using setup = await setUp();
    const { heard, root, client } = setup;
    const canceled = assert.rejects(setup.clone(), failsWith('io.systemd.System'));
    await isTrue(() => heard.length >= 2);
    const late: JsonObject[] = [];
    (await setup.registry.connectOwn(root)).listen(`${own}List`, (event) => late.push(event));
    await isTrue(() => late.length === 2);
    await client.call(`${own}Cancel`, { id: 1 });
    await canceled;
    await isTrue(() => late.length >= 3 && heard.at(-1)?.['event'] === 'ended');
    const facts = { id: 1, kind: 'clone', image: 'one', source: 'one', destination: 'two', uid: 0, pid: root.pid };
    assert.deepEqual(heard[0], { event: 'ready' });
    const { operation, event } = heard[1] ?? {};
    assert.deepEqual([event, operation], ['added', { ...facts, ...((operation as JsonObject)['filesDone'] === 1 ? { filesDone: 1 } : {}) }]);
    assert.deepEqual(heard.at(-1)?.['operation'], { ...facts, filesDone: 1, result: 'canceled', error: 'Operation canceled' });
    assert.deepEqual(late, [
      { event: 'present', operation: { ...facts, filesDone: 1 } }, { event: 'ready' },
      { event: 'ended', operation: { ...facts, filesDone: 1, result: 'canceled', error: 'Operation canceled' } },
    ]);
    assert.equal(setup.world.images.find('two'), undefined);
  });

  test('its owner may cancel an operation, root, and whom polkit lets begin one', async () => {
    await using setup = await setUp();
    const { world, heard, client, other, user } = setup;
    const cancel = (id: number, who = other) => who.call(`${own}Cancel`, { id });
    const action = 'org.freedesktop.machine1.manage-images';
    const ended = (id: number) => isTrue(() => heard.some(({ event, operation }) => event === 'ended' && (operation as JsonObject)['id'] === id));
    const first = assert.rejects(setup.clone(), failsWith('io.systemd.System'));
    await isTrue(() => world.operations.all().length === 1);
    await assert.rejects(cancel(1), failsWith('io.systemd.InteractiveAuthenticationRequired'));
    assert.deepEqual(
      world.authority.asked.map(({ request }) => [request.action, Object.entries(request.details)]),
      [[action, [['image', 'one'], ['verb', 'cancel']]]],
    );
    world.authority.decide(action, 'allowed');
    await cancel(1);
    await Promise.all([first, ended(1)]);

    const second = assert.rejects(setup.clone(user), failsWith('io.systemd.System'));
    await isTrue(() => world.operations.all().length === 1);
    world.authority.decide(action, 'denied');
    await cancel(2);
    await Promise.all([second, ended(2)]);
    await assert.rejects(cancel(2, client), failsWith(`${own}NoSuchOperation`));
    await assert.rejects(cancel(-1, client), failsWith('org.varlink.service.InvalidParameter'));
  });

  test('a removal has no way back', async () => {
    await using setup = await setUp();
    const { world, client } = setup;
    let finish: () => void = () => undefined;
    const facts = { kind: 'remove', subject: { type: 'image', name: 'one' }, source: undefined, destination: undefined, owner: { uid: 0, pid: 1 } } as const;
    const removed = world.operations.carryOut(facts, () => new Promise((resolve) => (finish = resolve)));
    await assert.rejects(client.call(`${own}Cancel`, { id: 1 }), failsWith(`${own}NotCancelable`));
    finish();
    await removed;
  });
});

suite('over D-Bus', () => {
  let bus: TestBus;
  before(async () => {
    bus = await startBus();
  });
  after(() => bus[Symbol.asyncDispose]());

  test('operations are listed, announced and canceled', async () => {
    const world = newWorld();
    await using registry = await DBusRegistry.start(bus, world);
    const root = { uid: 0, pid: world.processes.spawn() };
    const client = await registry.connectRaw(root);
    const object = { destination: manager.destination, path: '/io/machined', interface: 'io.machined.Operations' };
    const heard: unknown[] = [];
    for (const [member, signature] of [['OperationNew', 'tsa{sv}'], ['OperationProgress', 'tsa{sv}'], ['OperationRemoved', 'tsss']] as const) {
      await client.subscribe({ rule: { path: object.path, interface: object.interface, member }, signature }, (body) => {
        heard.push([member, ...body.map((value: unknown) => (value instanceof Map ? described(value) : value))]);
      });
    }
    const described = (details: ReadonlyMap<string, Variant>) => Object.fromEntries([...details].map(([name, { value }]) => [name, value]));
    const list = async () => {
      const [operations] = await client.call({ ...object, member: 'ListOperations', replySignature: 'a(tsa{sv})' });
      return operations.map(([id, kind, details]) => [id, kind, described(details)]);
    };
    assert.deepEqual(await list(), []);
    const clone = client.call({ ...manager, member: 'CloneImage', signature: 'ssb', body: ['one', 'two', false] });
    const canceled = assert.rejects(clone, (error) => error instanceof BusError && error.busName === 'System.Error.ECANCELED');
    await isTrue(() => heard.length === 2);
    const facts = { image: 'one', source: 'one', destination: 'two', uid: 0, pid: root.pid };
    assert.deepEqual(await list(), [[1n, 'clone', { ...facts, filesDone: 1n }]]);
    const user = await registry.connectRaw({ uid: 1000, pid: world.processes.spawn({ owner: 1000 }) });
    const cancel = (who: typeof client, id: bigint) => who.call({ ...object, member: 'CancelOperation', signature: 't', body: [id] });
    await assert.rejects(cancel(user, 1n), (error) => error instanceof BusError && /Interactive/.test(error.busName));
    await cancel(client, 1n);
    await canceled;
    await isTrue(() => heard.length === 3);
    assert.deepEqual(heard, [
      ['OperationNew', 1n, 'clone', facts],
      ['OperationProgress', 1n, 'clone', { ...facts, filesDone: 1n }],
      ['OperationRemoved', 1n, 'clone', 'canceled', 'Operation canceled'],
    ]);
    await assert.rejects(cancel(client, 1n), (error) => error instanceof BusError && error.busName === 'io.machined.NoSuchOperation');
  });
});
