// Machines' files through both front ends: who may do what, in which order arguments are refused, and what is handed on.
import assert from 'node:assert/strict';
import { closeSync, readdirSync, readlinkSync } from 'node:fs';
import { after, before, suite, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { BusError } from '../../src/transport/dbus/bus-error.js';
import type { BusConnection } from '../../src/transport/dbus/connection.js';
import { startBus, type TestBus } from '../support/bus.js';
import { DBusRegistry, machinePath, manager } from '../support/registry-dbus.js';
import { VarlinkRegistry } from '../support/registry-varlink.js';
import { VarlinkFailure, type VarlinkClient } from '../support/varlink-client.js';
import { World } from '../support/world.js';

const root = { uid: 0, pid: 1 };
const standard = 'org.freedesktop.DBus.Error.';

/** Machines 'one', which is user 1000's, and 'vm'. */
async function setUpWorld(): Promise<World> {
  const world = new World();
  const call = {
    authorization: { kind: 'anyone' } as const,
    interactive: false,
    caller: async () => ({ uid: 0, pid: 1, busName: undefined }),
  };
  for (const [name, type] of [['one', 'container'], ['vm', 'vm']] as const) {
    await world.machines.register(call, {
      registration: {
        name, class: type, id: undefined, service: '', rootDirectory: '', networkInterfaces: [], vsockCid: 0xffffffff,
        sshAddress: '', sshPrivateKeyPath: '', controlAddress: '',
      },
      leader: world.processes.open(world.leader(`${name}.service`)),
      scope: undefined,
    });
  }
  return world;
}

const pidOf = (world: World, name: string): number => world.machines.byName(name).leader.pid;

suite('over D-Bus', () => {
  let bus: TestBus;
  before(async () => {
    bus = await startBus();
  });
  after(() => bus[Symbol.asyncDispose]());

  async function setUp() {
    const world = await setUpWorld();
    const registry = await DBusRegistry.start(bus, world);
    const client = await registry.connectRaw(root);
    const user = await registry.connectRaw({ uid: 1000, pid: world.processes.spawn({ owner: 1000 }) });
    return { world, registry, client, user, [Symbol.asyncDispose]: () => registry[Symbol.asyncDispose]() };
  }

  const ask = (client: BusConnection, member: string, signature: string, body: readonly unknown[], target: object = manager) =>
    client.call({ ...manager, ...target, member, signature, body });

  async function failsWith(call: Promise<unknown>, name: string, message: string): Promise<void> {
    await assert.rejects(call, (error) => {
      assert.ok(error instanceof BusError, String(error));
      assert.deepEqual([error.busName, error.message], [name, message]);
      return true;
    });
  }

  test('copies and mounts are handed on as they were asked for', async () => {
    await using setup = await setUp();
    const { world, client } = setup;
    const object = { path: machinePath('one'), interface: 'org.freedesktop.machine1.Machine' };
    await ask(client, 'CopyToMachine', 'sss', ['one', '/a', '/b']);
    await ask(client, 'CopyFromMachine', 'sss', ['one', '/a', '']);
    await ask(client, 'CopyToMachineWithFlags', 'ssst', ['one', '/a', '/b/', 1n]);
    await ask(client, 'CopyFromMachineWithFlags', 'ssst', ['one', '/a', '/b', 0n]);
    await ask(client, 'CopyTo', 'ss', ['/c', '/d'], object);
    await ask(client, 'CopyFromWithFlags', 'sst', ['/c', '/d', 1n], object);
    assert.deepEqual(
      world.files.copies.map(({ pid, direction, source, destination, replace }) => [pid, direction, source, destination, replace]),
      [
        ['to', '/a', '/b', false], ['from', '/a', '/a', false], ['to', '/a', '/b/', true],
        ['from', '/a', '/b', false], ['to', '/c', '/d', false], ['from', '/c', '/d', true],
      ].map((copy) => [pidOf(world, 'one'), ...copy]),
    );
    await ask(client, 'BindMountMachine', 'sssbb', ['one', '/a', '', true, false]);
    await ask(client, 'BindMount', 'ssbb', ['/a', '/b', false, true], object);
    assert.deepEqual(world.files.binds, [
      { pid: pidOf(world, 'one'), source: '/a', destination: '/a', readOnly: true, makeDestination: false },
      { pid: pidOf(world, 'one'), source: '/a', destination: '/b', readOnly: false, makeDestination: true },
    ]);
  });

  test('what was mounted is taken away over the interface of our own', async () => {
    await using setup = await setUp();
    const { world, client, user } = setup;
    const own = { path: '/io/machined', interface: 'io.machined.Manager' };
    const unbind = (name: string, destination: string, caller = client) => ask(caller, 'UnbindMachine', 'ss', [name, destination], own);
    await ask(client, 'BindMountMachine', 'sssbb', ['one', '/a', '/b', true, false]);
    await failsWith(unbind('none', '/b'), 'org.freedesktop.machine1.NoSuchMachine', "No machine 'none' known");
    await failsWith(unbind('vm', '/b'), `${standard}NotSupported`, 'Bind mounting is only supported on container machines.');
    await failsWith(unbind('one', '/b/..'), `${standard}InvalidArgs`, 'Destination path must be absolute and normalized.');
    await failsWith(unbind('one', '/x'), `${standard}InvalidArgs`, 'Nothing that was bound into the machine is mounted on /x');
    await assert.rejects(unbind('one', '/b', user), (error) => error instanceof BusError && /Interactive/.test(error.busName));
    assert.deepEqual(Object.entries(world.authority.asked[0]?.request.details ?? {}), [['machine', 'one'], ['verb', 'unbind'], ['dest', '/b']]);
    assert.equal(world.files.binds.length, 1);
    await unbind('one', '/b');
    assert.equal(world.files.binds.length, 0);
    const leader = pidOf(world, 'one');
    await ask(client, 'UnregisterMachine', 's', ['one']);
    assert.deepEqual(world.files.forgotten, [leader]);
  });

  test('arguments are refused in the order of the original, before anybody is authorized', async () => {
    await using setup = await setUp();
    const { world, user } = setup;
    const copy = (...body: readonly unknown[]) => ask(user, 'CopyToMachineWithFlags', 'ssst', body);
    const bind = (...body: readonly unknown[]) => ask(user, 'BindMountMachine', 'sssbb', [...body, false, false]);
    await failsWith(copy('none', 'a', 'b', 2n), 'org.freedesktop.machine1.NoSuchMachine', "No machine 'none' known");
    for (const machine of ['vm', '.host']) {
      await failsWith(copy(machine, 'a', 'b', 2n), `${standard}NotSupported`, 'Copying files is only supported on container machines.');
      await failsWith(bind(machine, 'a', 'b'), `${standard}NotSupported`, 'Bind mounting is only supported on container machines.');
    }
    await failsWith(copy('one', 'a', 'b', 2n), `${standard}InvalidArgs`, 'Invalid argument');
    const [wrongSource, wrongDestination] = ['Source', 'Destination'].map((which) => `${which} path must be absolute and normalized.`);
    for (const path of ['', 'a', '/a/..', '/./a', '//a', `/${'a'.repeat(4096)}`]) {
      await failsWith(copy('one', path, 'b', 0n), `${standard}InvalidArgs`, wrongSource as string);
      await failsWith(bind('one', path, 'b'), `${standard}InvalidArgs`, wrongSource as string);
      if (path !== '') await failsWith(copy('one', '/a', path, 0n), `${standard}InvalidArgs`, wrongDestination as string);
      if (path !== '') await failsWith(bind('one', '/a', path), `${standard}InvalidArgs`, wrongDestination as string);
    }
    assert.deepEqual(world.authority.asked, []);
    assert.deepEqual([world.files.copies, world.files.binds], [[], []]);
  });

  test('whoever may not do it is refused, and polkit sees what it is about', async () => {
    await using setup = await setUp();
    const { world, user } = setup;
    const denied = /Interactive/;
    const isDenied = (call: Promise<unknown>) => assert.rejects(call, (error) => error instanceof BusError && denied.test(error.busName));
    await isDenied(ask(user, 'CopyToMachine', 'sss', ['one', '/', '']));
    await isDenied(ask(user, 'BindMountMachine', 'sssbb', ['one', '/a', '/b', false, false]));
    await isDenied(ask(user, 'OpenMachineRootDirectory', 's', ['vm']));
    assert.deepEqual(
      world.authority.asked.map(({ request }) => [request.action, Object.entries(request.details)]),
      [
        [['machine', 'one'], ['verb', 'copy'], ['src', '/'], ['dest', '/']],
        [['machine', 'one'], ['verb', 'bind'], ['src', '/a'], ['dest', '/b']],
        [['machine', 'vm'], ['verb', 'open_root_directory']],
      ].map((details) => ['org.freedesktop.machine1.manage-machines', details]),
    );
    assert.deepEqual([world.files.copies, world.files.binds], [[], []]);
  });

  test('the root has no name to be copied by', async () => {
    await using setup = await setUp();
    for (const [source, destination] of [['/', '/a'], ['/a', '/']]) {
      await failsWith(
        ask(setup.client, 'CopyFromMachine', 'sss', ['one', source, destination]),
        `${standard}BadAddress`, "Failed to copy from/to machine 'one': Cannot assign requested address",
      );
    }
  });

  test('64 copies may be under way, whoever has left meanwhile', async () => {
    await using setup = await setUp();
    const { world, registry, client } = setup;
    world.files.copiesEnd = () => false;
    const leaving = await registry.connectRaw(root);
    for (let count = 0; count < 64; count++) {
      ask(count < 32 ? leaving : client, 'CopyToMachine', 'sss', ['one', '/a', '/b']).catch(() => undefined);
    }
    const another = () => ask(client, 'CopyToMachine', 'sss', ['one', '/a', '/b']);
    await failsWith(another(), `${standard}LimitsExceeded`, 'Too many ongoing copies.');
    leaving.close();
    await failsWith(another(), `${standard}LimitsExceeded`, 'Too many ongoing copies.');
    world.files.copies[0]?.finish();
    await turn();
    world.files.copiesEnd = () => true;
    await another();
  });

  test('a copy ends with its machine, and no other does', async () => {
    await using setup = await setUp();
    const { world, client } = setup;
    world.files.copiesEnd = () => false;
    const copy = ask(client, 'CopyToMachine', 'sss', ['one', '/a', '/b']);
    await ask(client, 'UnregisterMachine', 's', ['vm']);
    assert.equal(await Promise.race([copy.catch(() => 'failed'), ask(client, 'GetMachine', 's', ['one']).then(() => 'waiting')]), 'waiting');
    const failed = assert.rejects(copy, (error) => error instanceof BusError && error.busName === 'System.Error.ECANCELED');
    await ask(client, 'UnregisterMachine', 's', ['one']);
    await failed;
  });

  test('a root directory comes as a descriptor, of which the registry keeps none', async () => {
    await using setup = await setUp();
    const { client } = setup;
    const before = readdirSync('/proc/self/fd').length;
    for (const name of ['one', '.host']) {
      const { body, fds } = await client.callForDescriptors({
        ...manager, member: 'OpenMachineRootDirectory', signature: 's', body: [name], replySignature: 'h',
      });
      assert.deepEqual(body, fds);
      assert.equal(readlinkSync(`/proc/self/fd/${fds[0]}`), '/');
      for (const fd of fds) closeSync(fd);
    }
    await turn();
    assert.equal(readdirSync('/proc/self/fd').length, before);
    await failsWith(
      ask(client, 'OpenMachineRootDirectory', 's', ['vm']),
      `${standard}NotSupported`, 'Opening the root directory is only supported on container machines.',
    );
  });

  test('what the guest answers is passed on', async () => {
    await using setup = await setUp();
    const { world, client } = setup;
    world.files.errno = 'EEXIST';
    await failsWith(ask(client, 'CopyToMachine', 'sss', ['one', '/a', '/b']), `${standard}FileExists`, 'EEXIST');
    world.files.errno = 'EOPNOTSUPP';
    await failsWith(ask(client, 'BindMountMachine', 'sssbb', ['one', '/a', '/b', false, false]), `${standard}NotSupported`, 'EOPNOTSUPP');
  });
});

suite('over Varlink', () => {
  async function setUp() {
    const world = await setUpWorld();
    const registry = new VarlinkRegistry(world);
    const ordinary = { uid: 1000, pid: world.processes.spawn({ owner: 1000 }) };
    const [client, user] = [await registry.connectRaw(root), await registry.connectRaw(ordinary)];
    const [ownClient, ownUser] = [await registry.connectOwn(root), await registry.connectOwn(ordinary)];
    return { world, registry, client, user, ownClient, ownUser, [Symbol.asyncDispose]: () => registry[Symbol.asyncDispose]() };
  }

  async function failsWith(call: Promise<unknown>, name: string): Promise<void> {
    await assert.rejects(call, (error) => {
      assert.ok(error instanceof VarlinkFailure, String(error));
      const detail = (error.parameters['parameter'] ?? error.parameters['errnoName']) as string | undefined;
      assert.equal(detail === undefined ? error.error : `${error.error} ${detail}`, name);
      return true;
    });
  }

  const own = 'io.systemd.Machine.';
  const invalid = 'org.varlink.service.InvalidParameter';

  test('copies and mounts are handed on as they were asked for', async () => {
    await using setup = await setUp();
    const { world, client } = setup;
    assert.deepEqual(await client.call(`${own}CopyTo`, { name: 'one', source: '/a', destination: '/b', replace: true }), {});
    assert.deepEqual(await client.call(`${own}CopyFrom`, { name: 'one', source: '/a' }), {});
    assert.deepEqual(await client.call(`${own}BindMount`, { name: 'one', source: '/a', readOnly: true }), {});
    assert.deepEqual(await client.call(`${own}BindMount`, { name: 'one', source: '/a', destination: '/b', mkdir: true }), {});
    assert.deepEqual(
      world.files.copies.map(({ direction, source, destination, replace }) => [direction, source, destination, replace]),
      [['to', '/a', '/b', true], ['from', '/a', '/a', false]],
    );
    assert.deepEqual(
      world.files.binds.map(({ source, destination, readOnly, makeDestination }) => [source, destination, readOnly, makeDestination]),
      [['/a', '/a', true, false], ['/a', '/b', false, true]],
    );
  });

  test('what cannot be is refused', async () => {
    await using setup = await setUp();
    const { world, client, user } = setup;
    const copy = (parameters: object, caller = client) => caller.call(`${own}CopyTo`, { name: 'one', source: '/a', ...parameters });
    await failsWith(copy({ name: 'none' }), `${own}NoSuchMachine`);
    await failsWith(copy({ name: 'vm' }), `${own}NotSupported`);
    await failsWith(copy({ source: 'a' }), `${invalid} source`);
    await failsWith(copy({ source: '/..' }), `${invalid} source`);
    await failsWith(copy({ destination: '/a/../b' }), `${invalid} destination`);
    await failsWith(copy({ destination: '/' }), 'io.systemd.System EADDRNOTAVAIL');
    await failsWith(client.call(`${own}BindMount`, { name: 'vm', source: '/a' }), `${own}NotSupported`);
    await failsWith(client.call(`${own}OpenRootDirectory`, { name: 'vm' }), `${own}NotSupported`);
    await failsWith(copy({ destination: '/b' }, user), 'io.systemd.InteractiveAuthenticationRequired');
    assert.deepEqual(Object.entries(world.authority.asked[0]?.request.details ?? {}), [
      ['name', 'one'], ['verb', 'copy'], ['src', '/a'], ['dest', '/b'],
    ]);
    world.files.errno = 'ENOENT';
    await failsWith(copy({}), 'io.systemd.System ENOENT');
    assert.deepEqual([world.files.copies.length, world.files.binds.length], [1, 0]);
  });

  test('64 copies may be under way', async () => {
    await using setup = await setUp();
    const { world, registry, client } = setup;
    world.files.copiesEnd = () => false;
    const copy = (caller: VarlinkClient) => caller.call(`${own}CopyTo`, { name: 'one', source: '/a', destination: '/b' });
    const waiting: Promise<unknown>[] = [];
    for (let count = 0; count < 64; count++) waiting.push(copy(await registry.connectRaw(root)));
    while (world.files.copies.length < 64) await turn();
    await failsWith(copy(client), `${own}TooManyOperations`);
    for (const started of world.files.copies) started.finish();
    await Promise.all(waiting);
  });

  test('what was mounted is taken away over the socket of our own', async () => {
    await using setup = await setUp();
    const { world, client, ownClient, ownUser } = setup;
    const unbind = (parameters: object, caller = ownClient) => caller.call('io.machined.Machine.Unbind', { name: 'one', ...parameters });
    await client.call(`${own}BindMount`, { name: 'one', source: '/a', destination: '/b' });
    await failsWith(unbind({ name: 'none', destination: '/b' }), 'io.machined.Machine.NoSuchMachine');
    await failsWith(unbind({ name: 'vm', destination: '/b' }), 'io.machined.Machine.NotSupported');
    await failsWith(unbind({ destination: '/b/..' }), `${invalid} destination`);
    await failsWith(unbind({}), `${invalid} destination`);
    await failsWith(unbind({ destination: '/x' }), 'io.systemd.System EINVAL');
    await failsWith(unbind({ destination: '/b' }, ownUser), 'io.systemd.InteractiveAuthenticationRequired');
    assert.equal(world.files.binds.length, 1);
    assert.deepEqual(await unbind({ destination: '/b' }), {});
    assert.equal(world.files.binds.length, 0);
  });

  test('a root directory comes as a descriptor, of which the registry keeps none', async () => {
    await using setup = await setUp();
    const { client } = setup;
    const before = readdirSync('/proc/self/fd').length;
    assert.deepEqual(await client.call(`${own}OpenRootDirectory`, { name: 'one' }), { fileDescriptor: 0 });
    assert.deepEqual(client.fds.map((fd) => readlinkSync(`/proc/self/fd/${fd}`)), ['/']);
    for (const fd of client.fds.splice(0)) closeSync(fd);
    assert.equal(readdirSync('/proc/self/fd').length, before);
  });
});
