// Images through both front ends: how they are listed and described, and what is refused, in which order.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { imageInterface } from '../../src/contract/dbus/image.js';
import { systemFailure } from '../../src/domain/failure.js';
import type { Image } from '../../src/domain/image.js';
import { BusError } from '../../src/transport/dbus/bus-error.js';
import { startBus, type TestBus } from '../support/bus.js';
import { DBusRegistry, manager } from '../support/registry-dbus.js';
import { VarlinkRegistry } from '../support/registry-varlink.js';
import { VarlinkFailure, type VarlinkClient } from '../support/varlink-client.js';
import { World } from '../support/world.js';

const disk: Partial<Image> & { name: string } = {
  name: 'a-b', type: 'raw', path: '/srv/a-b.raw', creationTime: 1_000_000n, modificationTime: 2_000_000n,
  usage: 512n, usageExclusive: 256n, limit: 1024n, limitExclusive: 768n,
};

function newWorld(): World {
  const world = new World();
  world.images.add(disk);
  world.images.add({ name: '.h' });
  world.images.add({ name: 'ümlaut', type: 'subvolume', creationTime: 3n });
  return world;
}

const none = 0xffff_ffff_ffff_ffffn;
const standard = 'org.freedesktop.DBus.Error.';

suite('on D-Bus', () => {
  let bus: TestBus;
  before(async () => {
    bus = await startBus();
  });
  after(() => bus[Symbol.asyncDispose]());

  async function setUp() {
    const world = newWorld();
    const registry = await DBusRegistry.start(bus, world);
    const root = await registry.connectRaw({ uid: 0, pid: world.processes.spawn() });
    const user = await registry.connectRaw({ uid: 1000, pid: world.processes.spawn({ owner: 1000 }) });
    const call = (member: string, signature = '', body: readonly unknown[] = [], target: object = {}, client = root) =>
      client.call({ ...manager, ...target, member, signature, body });
    return { world, call, user, [Symbol.asyncDispose]: () => registry[Symbol.asyncDispose]() };
  }

  const path = (label: string) => `/org/freedesktop/machine1/image/${label}`;
  const properties = (label: string) => ({ path: path(label), interface: 'org.freedesktop.DBus.Properties' });
  const ofImage = (label: string) => ({ path: path(label), interface: imageInterface.name });

  async function failsWith(call: Promise<unknown>, name: string, message: string): Promise<void> {
    await assert.rejects(call, (error) => {
      assert.ok(error instanceof BusError, String(error));
      assert.deepEqual([error.busName, error.message], [name, message]);
      return true;
    });
  }

  test('all are listed, with what is not known as the largest number', async () => {
    await using setup = await setUp();
    assert.deepEqual(await setup.call('ListImages'), [
      [
        ['.h', 'directory', true, 0n, 0n, none, path('_2eh')],
        ['.host', 'directory', true, 0n, 0n, none, path('_2ehost')],
        ['a-b', 'raw', false, 1_000_000n, 2_000_000n, 512n, path('a_2db')],
        ['ümlaut', 'subvolume', false, 3n, 0n, none, path('_c3_bcmlaut')],
      ],
    ]);
  });

  test('one is found by its name, whatever that is', async () => {
    await using setup = await setUp();
    assert.deepEqual(await setup.call('GetImage', 's', ['a-b']), [path('a_2db')]);
    assert.deepEqual(await setup.call('GetImage', 's', ['.host']), [path('_2ehost')]);
    for (const name of ['nope', '', '..', 'a/b']) {
      await failsWith(setup.call('GetImage', 's', [name]), 'org.freedesktop.machine1.NoSuchImage', `No image '${name}' known`);
    }
  });

  test('an object has its properties', async () => {
    await using setup = await setUp();
    const read = async (label: string) => {
      const [all] = (await setup.call('GetAll', 's', [imageInterface.name], properties(label))) as [Map<string, { value: unknown }>];
      return [...all].map(([, { value }]) => value);
    };
    assert.deepEqual(await read('a_2db'), ['a-b', '/srv/a-b.raw', 'raw', false, 1_000_000n, 2_000_000n, 512n, 1024n, 256n, 768n]);
    assert.deepEqual(await read('_2ehost'), ['.host', '/', 'directory', true, 0n, 0n, none, none, none, none]);
    const unknown = path('nope');
    await failsWith(read('nope'), `${standard}UnknownObject`, `Unknown object '${unknown}'.`);
  });

  test('objects are enumerated', async () => {
    await using setup = await setUp();
    const introspect = async (where: string) => {
      const [xml] = await setup.call('Introspect', '', [], { path: where, interface: 'org.freedesktop.DBus.Introspectable' });
      return [...String(xml).matchAll(/<(?:node|interface) name="([^"]+)"/g)].map((match) => match[1]);
    };
    const ownOnly = (names: (string | undefined)[]) => names.filter((name) => name?.startsWith('org.freedesktop.DBus') === false);
    assert.deepEqual(ownOnly(await introspect(path('').slice(0, -1))), ['_2eh', '_2ehost', 'a_2db', '_c3_bcmlaut']);
    assert.deepEqual(ownOnly(await introspect(path('a_2db'))), [imageInterface.name]);
    await assert.rejects(introspect(path('nope')), BusError);
  });

  test('a change is refused for its arguments first, and then for who asks', async () => {
    await using setup = await setUp();
    const { call, user, world } = setup;
    const invalid = (name: string) => [`${standard}InvalidArgs`, `Image name '${name}' is invalid.`] as const;
    const changes: readonly (readonly [string, string, (name: string) => unknown[]])[] = [
      ['RemoveImage', 's', (name) => [name]],
      ['RenameImage', 'ss', (name) => [name, 'new']],
      ['CloneImage', 'ssb', (name) => [name, 'new', false]],
      ['MarkImageReadOnly', 'sb', (name) => [name, true]],
      ['SetImageLimit', 'st', (name) => [name, 1n]],
    ];
    for (const [member, signature, body] of changes) {
      await failsWith(call(member, signature, body('a/b'), {}, user), ...invalid('a/b'));
      await failsWith(call(member, signature, body('no'), {}, user), 'org.freedesktop.machine1.NoSuchImage', "No image 'no' known");
      assert.equal(world.authority.asked.length, 0, member);
      await assert.rejects(call(member, signature, body('a-b'), {}, user), /requires interactive authentication/);
      const [asked] = world.authority.asked.splice(0);
      assert.equal(asked?.request.action, 'org.freedesktop.machine1.manage-images');
      assert.equal(asked.request.details[member === 'SetImageLimit' ? 'machine' : 'image'], 'a-b');
    }
    await failsWith(call('RenameImage', 'ss', ['a-b', '..'], {}, user), ...invalid('..'));
    await failsWith(call('RenameImage', 'ss', ['no', '..'], {}, user), 'org.freedesktop.machine1.NoSuchImage', "No image 'no' known");
    await failsWith(call('Clone', 'sb', ['.#x', false], ofImage('a_2db'), user), ...invalid('.#x'));
    await assert.rejects(call('Rename', 's', ['new'], ofImage('a_2db'), user), /requires interactive authentication/);
    assert.equal(world.authority.asked[0]?.request.details['verb'], 'rename');
    await failsWith(call('Remove', '', [], ofImage('nope'), user), `${standard}UnknownObject`, `Unknown object '${path('nope')}'.`);
  });

  test('polkit learns what is to be changed into what', async () => {
    await using setup = await setUp();
    const { call, user, world } = setup;
    const cases = [
      ['RemoveImage', 's', ['a-b'], { image: 'a-b', verb: 'remove' }],
      ['RenameImage', 'ss', ['a-b', 'new'], { image: 'a-b', verb: 'rename', new_name: 'new' }],
      ['CloneImage', 'ssb', ['a-b', 'new', true], { image: 'a-b', verb: 'clone', new_name: 'new' }],
      ['MarkImageReadOnly', 'sb', ['a-b', false], { image: 'a-b', verb: 'mark_read_only', read_only: '0' }],
      ['SetImageLimit', 'st', ['a-b', 2n ** 63n], { machine: 'a-b', verb: 'set_limit' }],
      ['SetPoolLimit', 't', [2n ** 63n], { verb: 'set_pool_limit' }],
      ['CleanPool', 's', ['all'], { verb: 'clean_pool', mode: 'all' }],
    ] as const;
    for (const [member, signature, body, details] of cases) {
      await assert.rejects(call(member, signature, body, {}, user), /requires interactive authentication/);
      assert.deepEqual(world.authority.asked.splice(0)[0]?.request.details, details);
    }
  });

  test('an image is cloned, renamed, protected, limited and removed', async () => {
    await using setup = await setUp();
    const { call, world } = setup;
    await call('CloneImage', 'ssb', ['ümlaut', 'copy', true]);
    assert.equal(world.images.find('copy')?.readOnly, true);
    await call('MarkReadOnly', 'b', [false], ofImage('copy'));
    assert.equal(world.images.find('copy')?.readOnly, false);
    await call('SetLimit', 't', [1234n], ofImage('copy'));
    assert.equal(world.images.find('copy')?.limit, 1234n);
    await call('SetImageLimit', 'st', ['copy', none]);
    assert.equal(world.images.find('copy')?.limit, undefined);
    await call('Rename', 's', ['other'], ofImage('copy'));
    assert.equal(world.images.find('copy'), undefined);
    await call('RemoveImage', 's', ['other']);
    assert.equal(world.images.find('other'), undefined);
    await call('SetPoolLimit', 't', [5000n]);
    assert.equal(world.images.poolLimit, 5000n);
  });

  test('what cannot be changed is refused as the original does', async () => {
    await using setup = await setUp();
    const { call, world } = setup;
    world.images.inUse.add('ümlaut');
    const busy = 'Device or resource busy';
    await failsWith(call('RemoveImage', 's', ['.host']), 'System.Error.EROFS', 'Read-only file system');
    await failsWith(call('RenameImage', 'ss', ['.host', 'x']), 'System.Error.EROFS', 'Failed to rename image: Read-only file system');
    await failsWith(call('RemoveImage', 's', ['ümlaut']), 'System.Error.EBUSY', busy);
    await failsWith(call('RenameImage', 'ss', ['ümlaut', 'x']), 'System.Error.EBUSY', `Failed to rename image: ${busy}`);
    await failsWith(call('RenameImage', 'ss', ['a-b', '.host']), 'System.Error.EBUSY', `Failed to rename image: ${busy}`);
    await failsWith(call('RenameImage', 'ss', ['a-b', '.h']), `${standard}FileExists`, 'Failed to rename image: File exists');
    await failsWith(call('CloneImage', 'ssb', ['a-b', 'a-b', false]), `${standard}FileExists`, 'File exists');
    await failsWith(call('MarkImageReadOnly', 'sb', ['.h', false]), 'System.Error.EROFS', 'Read-only file system');
    await failsWith(call('SetImageLimit', 'st', ['a-b', 1n]), `${standard}NotSupported`, 'Operation not supported');
    await failsWith(call('SetImageLimit', 'st', ['a-b', 2n ** 63n]), `${standard}InvalidArgs`, 'New limit out of range');
    await failsWith(call('SetPoolLimit', 't', [2n ** 63n]), `${standard}InvalidArgs`, 'New limit out of range');
    world.images.failure = 'EOPNOTSUPP';
    await failsWith(call('SetPoolLimit', 't', [1n]), `${standard}NotSupported`, 'EOPNOTSUPP');
    world.images.failure = 'EDQUOT';
    await failsWith(call('SetPoolLimit', 't', [1n]), 'System.Error.EDQUOT', 'Failed to adjust quota limit: EDQUOT');
  });

  test('the pool is cleaned of what is hidden, or of all but what is needed', async () => {
    await using setup = await setUp();
    const { call, world } = setup;
    await failsWith(call('CleanPool', 's', ['some']), `${standard}InvalidArgs`, "Unknown mode 'some'.");
    assert.deepEqual(await call('CleanPool', 's', ['hidden']), [[['.h', none]]]);
    assert.deepEqual(await call('CleanPool', 's', ['hidden']), [[]]);
    world.images.inUse.add('ümlaut');
    assert.deepEqual(await call('CleanPool', 's', ['all']), [[['a-b', 256n]]]);
    assert.deepEqual((await world.images.list()).map(({ name }) => name), ['.host', 'ümlaut']);
    world.images.inUse.clear();
    world.images.add({ name: 'vendor', path: '/usr/lib/machines/vendor' });
    world.images.failure = 'EROFS';
    await failsWith(call('CleanPool', 's', ['all']), 'System.Error.EROFS', "Failed to remove image 'ümlaut': EROFS");
    world.images.forget('ümlaut');
    assert.deepEqual(await call('CleanPool', 's', ['all']), [[]], 'the vendor’s stay');
    world.images.add({ name: 'ümlaut' });
    world.images.failure = 'EIO';
    await failsWith(call('CleanPool', 's', ['all']), `${standard}IOError`, "Failed to remove image 'ümlaut': EIO");
  });

  test('what is inside of one is asked for freely', async () => {
    await using setup = await setUp();
    const { call, user, world } = setup;
    const ask = async (what: string, name = 'a-b') => {
      const ofManager = await call(`GetImage${what}`, 's', [name], {}, user);
      if (name === 'a-b') assert.deepEqual(await call(`Get${what}`, '', [], ofImage('a_2db'), user), ofManager);
      return ofManager;
    };
    world.images.contents.set('a-b', {
      hostname: 'inside', machineId: 'e0000000000000000000000000000e01',
      machineInfo: new Map([['CHASSIS', 'vm']]), osRelease: new Map([['ID', 'x'], ['NAME', 'X Y']]),
    });
    assert.deepEqual(await ask('Hostname'), ['inside']);
    assert.deepEqual(Buffer.from((await ask('MachineID'))[0] as Uint8Array).toString('hex'), 'e0000000000000000000000000000e01');
    assert.deepEqual(await ask('MachineInfo'), [new Map([['CHASSIS', 'vm']])]);
    assert.deepEqual(await ask('OSRelease'), [new Map([['ID', 'x'], ['NAME', 'X Y']])]);
    assert.deepEqual(await ask('Hostname', '.h'), ['']);
    assert.equal(((await ask('MachineID', '.h'))[0] as Uint8Array).length, 0);
    assert.deepEqual(await ask('OSRelease', '.h'), [new Map()]);
    for (const what of ['Hostname', 'MachineID', 'MachineInfo', 'OSRelease']) {
      await failsWith(ask(what, '.'), `${standard}InvalidArgs`, "Image name '.' is invalid.");
      await failsWith(ask(what, 'no'), 'org.freedesktop.machine1.NoSuchImage', "No image 'no' known");
    }
    assert.deepEqual(world.authority.asked, []);
  });
});

suite('over Varlink', () => {
  async function setUp() {
    const world = newWorld();
    const registry = new VarlinkRegistry(world);
    const root = await registry.connectRaw({ uid: 0, pid: world.processes.spawn() });
    const user = await registry.connectRaw({ uid: 1000, pid: world.processes.spawn({ owner: 1000 }) });
    return { world, registry, root, user, [Symbol.asyncDispose]: () => registry[Symbol.asyncDispose]() };
  }

  const call = (client: VarlinkClient, method: string, parameters: object = {}) =>
    client.call(`io.systemd.MachineImage.${method}`, parameters);

  async function failsWith(reply: Promise<unknown>, error: string, parameters: object = {}): Promise<void> {
    await assert.rejects(reply, (failure) => {
      assert.ok(failure instanceof VarlinkFailure, String(failure));
      assert.deepEqual([failure.error, { ...failure.parameters }], [error, parameters]);
      return true;
    });
  }

  const notSupported = 'io.systemd.MachineImage.NotSupported';
  const noSuchImage = 'io.systemd.MachineImage.NoSuchImage';
  const authenticate = 'io.systemd.InteractiveAuthenticationRequired';

  test('one is described, without what is not known', async () => {
    await using setup = await setUp();
    assert.deepEqual({ ...(await call(setup.user, 'List', { name: 'a-b' })) }, {
      name: 'a-b', path: '/srv/a-b.raw', type: 'raw', class: 'machine', readOnly: false, creationTimestamp: 1_000_000,
      modificationTimestamp: 2_000_000, usage: 512, usageExclusive: 256, limit: 1024, limitExclusive: 768,
    });
    assert.deepEqual({ ...(await call(setup.user, 'List', { name: '.host', acquireMetadata: 'no' })) }, {
      name: '.host', path: '/', type: 'directory', class: 'machine', readOnly: true,
    });
  });

  test('all are listed, for whoever takes several replies', async () => {
    await using setup = await setUp();
    const replies = await setup.user.callMore('io.systemd.MachineImage.List', {});
    assert.deepEqual(replies.map(({ name }) => name), ['.h', '.host', 'a-b', 'ümlaut']);
    await failsWith(call(setup.user, 'List'), 'org.varlink.service.ExpectedMore');
  });

  test('a name is checked, and then looked for', async () => {
    await using setup = await setUp();
    for (const method of ['List', 'Update', 'Clone', 'Remove']) {
      const more = method === 'Clone' ? { newName: 'new' } : {};
      for (const name of ['', 'a/b', '..', '.#x', 'x'.repeat(256), 7]) {
        await failsWith(call(setup.user, method, { name, ...more }), 'org.varlink.service.InvalidParameter', { parameter: 'name' });
      }
      await failsWith(call(setup.user, method, { name: 'nope', ...more }), noSuchImage);
    }
    for (const method of ['Update', 'Clone']) {
      const bad = call(setup.user, method, { name: 'nope', newName: '.' });
      await failsWith(bad, 'org.varlink.service.InvalidParameter', { parameter: 'newName' });
    }
    assert.deepEqual(setup.world.authority.asked, []);
  });

  test('whoever wants to know what is inside is asked for authorization first', async () => {
    await using setup = await setUp();
    const { root, user, world } = setup;
    for (const [parameters, name] of [[{ name: 'nope' }, 'nope'], [{}, 'n/a']] as const) {
      for (const acquireMetadata of ['yes', 'graceful']) {
        await failsWith(call(user, 'List', { ...parameters, acquireMetadata }), authenticate);
        const [asked] = world.authority.asked.splice(0);
        assert.equal(asked?.request.action, 'org.freedesktop.machine1.inspect-images');
        assert.deepEqual(asked.request.details, { name });
      }
    }
    await failsWith(call(root, 'List', { name: 'nope', acquireMetadata: 'yes' }), noSuchImage);
    await failsWith(call(root, 'List', { acquireMetadata: 'graceful' }), 'org.varlink.service.ExpectedMore');
  });

  test('what is inside is told beside what is seen from outside', async () => {
    await using setup = await setUp();
    const { root, world } = setup;
    world.images.contents.set('a-b', { hostname: 'inside', osRelease: new Map([['ID', 'x'], ['NAME', 'X Y']]) });
    const inside = ({ name, type, hostname, machineId, machineInfo, OSRelease }: Record<string, unknown>) =>
      ({ name, type, hostname, machineId, machineInfo, OSRelease });
    const expected = {
      name: 'a-b', type: 'raw', hostname: 'inside', machineId: undefined, machineInfo: undefined, OSRelease: ['ID=x', 'NAME=X Y'],
    };
    assert.deepEqual(inside(await call(root, 'List', { name: 'a-b', acquireMetadata: 'yes' })), expected);
    const all = await root.callMore('io.systemd.MachineImage.List', { acquireMetadata: 'yes' });
    assert.deepEqual(all.map(({ name, hostname }) => [name, hostname]), [
      ['.h', undefined], ['.host', undefined], ['a-b', 'inside'], ['ümlaut', undefined],
    ]);
    world.images.failure = 'ETIMEDOUT';
    const unreadable = call(root, 'List', { name: 'a-b', acquireMetadata: 'yes' });
    await failsWith(unreadable, 'io.systemd.System', { origin: 'linux', errno: 110, errnoName: 'ETIMEDOUT' });
    assert.equal((await call(root, 'List', { name: 'a-b', acquireMetadata: 'graceful' }))['hostname'], undefined);
  });

  test('a change is refused for who asks', async () => {
    await using setup = await setUp();
    const { user, world } = setup;
    const cases = [
      ['Update', { name: 'a-b', newName: 'x', readOnly: true }, { image: 'a-b', verb: 'update' }],
      ['Clone', { name: 'a-b', newName: 'new' }, { image: 'a-b', verb: 'clone', new_name: 'new' }],
      ['Remove', { name: 'a-b' }, { image: 'a-b', verb: 'remove' }],
      ['SetPoolLimit', { limit: 1 }, { verb: 'set_pool_limit' }],
    ] as const;
    for (const [method, parameters, details] of cases) {
      await failsWith(call(user, method, parameters), authenticate);
      const [asked] = world.authority.asked.splice(0);
      assert.deepEqual([asked?.request.action, asked?.request.details], ['org.freedesktop.machine1.manage-images', details]);
    }
    await assert.rejects(user.callMore('io.systemd.MachineImage.CleanPool', { mode: 'all' }), VarlinkFailure);
    assert.deepEqual(world.authority.asked[0]?.request.details, { mode: 'all', verb: 'clean_pool' });
  });

  test('an image is cloned, updated in several ways at once, and removed', async () => {
    await using setup = await setUp();
    const { root, world } = setup;
    await call(root, 'Clone', { name: 'ümlaut', newName: 'copy' });
    await call(root, 'Update', { name: 'copy' });
    await call(root, 'Update', { name: 'copy', newName: 'other', readOnly: true, limit: 1234 });
    const { readOnly, limit } = world.images.find('other') ?? {};
    assert.deepEqual([readOnly, limit], [true, 1234n]);
    await call(root, 'Remove', { name: 'other' });
    assert.equal(world.images.find('other'), undefined);
    await call(root, 'SetPoolLimit', { limit: 99 });
    assert.equal(world.images.poolLimit, 99n);
  });

  test('what cannot be changed is refused as the original does', async () => {
    await using setup = await setUp();
    const { root, world } = setup;
    const system = (errno: number, errnoName: string) => ['io.systemd.System', { origin: 'linux', errno, errnoName }] as const;
    await failsWith(call(root, 'Update', { name: '.host', readOnly: true }), ...system(30, 'EROFS'));
    await call(root, 'Update', { name: '.host' }); // nothing
    await call(root, 'Update', { name: '.host', limit: 2n ** 64n - 1n }); // it has none
    await failsWith(call(root, 'Update', { name: 'a-b', newName: '.h' }), ...system(17, 'EEXIST'));
    await failsWith(call(root, 'Update', { name: 'a-b', limit: 2n ** 63n }), ...system(95, 'EOPNOTSUPP'));
    world.images.failure = 'EOPNOTSUPP';
    await failsWith(call(root, 'SetPoolLimit', { limit: 1 }), notSupported);
    assert.deepEqual(world.log.lines.map(({ message }) => message), [
      "Image '.host' cannot be changed: Read-only file system",
      "Image 'a-b' cannot be changed: File exists",
      "Image 'a-b' cannot be changed: Operation not supported",
      'The images cannot be limited: EOPNOTSUPP',
    ], 'the log says why, as errors have no place for it');
  });

  test('cleaning says which images have gone, and that there was none', async () => {
    await using setup = await setUp();
    const { root } = setup;
    const clean = async () => (await root.callMore('io.systemd.MachineImage.CleanPool', { mode: 'all' })).map((reply) => ({ ...reply }));
    await failsWith(call(root, 'CleanPool', { mode: 'all' }), 'org.varlink.service.ExpectedMore');
    assert.deepEqual(await clean(), [{ name: '.h' }, { name: 'a-b', usageExclusive: 256 }, { name: 'ümlaut' }]);
    await failsWith(root.callMore('io.systemd.MachineImage.CleanPool', { mode: 'all' }), noSuchImage);
  });

  test('cleaning goes on when its caller has left', async () => {
    await using setup = await setUp();
    const { world, registry, root } = setup;
    let goOn: (() => void) | undefined;
    world.images.removalsEnd = ({ name }) =>
      new Promise((resolve) => {
        if (name === 'a-b') goOn = resolve;
        else resolve();
      });
    root.listen('io.systemd.MachineImage.CleanPool', () => undefined, { mode: 'all' });
    while (goOn === undefined) await turn();
    const others = registry.connections - 1;
    root[Symbol.dispose]();
    while (registry.connections > others) await turn();
    goOn();
    while (world.operations.all().length > 0) await turn();
    assert.deepEqual((await world.images.list()).map(({ name }) => name), ['.host']);
  });

  test('cleaning says of an image that it has gone when the next one has, and how that fails', async () => {
    await using setup = await setUp();
    const { world, root } = setup;
    let fail: (() => void) | undefined;
    world.images.removalsEnd = ({ name }) =>
      new Promise((resolve, reject) => {
        if (name !== 'ümlaut') resolve();
        else fail = () => reject(systemFailure('EIO', 'EIO'));
      });
    const gone: unknown[] = [];
    root.listen('io.systemd.MachineImage.CleanPool', ({ name }) => gone.push(name), { mode: 'all' });
    while (gone.length < 1 || fail === undefined) await turn();
    assert.deepEqual([gone, world.operations.all().length], [['.h'], 1]);
    fail();
    while (gone.length < 2) await turn();
    assert.deepEqual([gone, world.operations.all()], [['.h', 'a-b'], []]);
    world.images.removalsEnd = () => Promise.reject(systemFailure('EIO', 'EIO'));
    const another = await setup.registry.connectRaw({ uid: 0, pid: world.processes.spawn() });
    await assert.rejects(another.callMore('io.systemd.MachineImage.CleanPool', { mode: 'all' }), /io.systemd.System .*EIO/);
  });
});
