// The public library against the registry, over both protocols: what it tells of machines is the same.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { connect, MachinedError, type MachineClient, type MachinedErrorCode, type MachineEvent } from '../../src/client/index.js';
import { startBus, type TestBus } from '../support/bus.js';
import { DBusRegistry } from '../support/registry-dbus.js';
import { VarlinkRegistry } from '../support/registry-varlink.js';
import { World } from '../support/world.js';

let bus: TestBus;
before(async () => {
  bus = await startBus();
});
after(() => bus[Symbol.asyncDispose]());

/** A registry, and a client of it. */
interface Stage extends AsyncDisposable {
  readonly world: World;
  readonly client: MachineClient;
  /** Ends the registry. */
  readonly stop: () => Promise<void>;
}

type Transport = 'varlink' | 'dbus';
const transports: readonly Transport[] = ['varlink', 'dbus'];

/** The caller is this process, which is known in the world under its own PID. */
async function stage(transport: Transport, uid = 0): Promise<Stage> {
  const world = new World();
  world.processes.spawn({ pid: process.pid, owner: uid });
  world.units.enter('caller.service', process.pid);
  const directory = mkdtempSync(path.join(tmpdir(), 'machined-client-'));
  const identity = { uid, pid: process.pid };
  const registry = transport === 'varlink' ? new VarlinkRegistry(world) : await DBusRegistry.start(bus, world);
  const places =
    registry instanceof VarlinkRegistry
      ? placesOf(registry.open(identity))
      : { busAddress: registry.open(identity), ...placesOf({ theirs: `${directory}/none`, own: `${directory}/none` }) };
  let stopped: Promise<void> | undefined;
  const stop = (): Promise<void> => (stopped ??= registry[Symbol.asyncDispose]());
  const client = await connect({ transport, stateDirectory: path.join(directory, 'machines'), ...places });
  return {
    world,
    client,
    stop,
    [Symbol.asyncDispose]: async () => {
      client.close();
      await stop();
      rmSync(directory, { recursive: true });
    },
  };
}

function placesOf({ theirs, own }: { readonly theirs: string; readonly own: string }) {
  return { socket: theirs, imageSocket: theirs, ownSocket: own };
}

const fails = (code: MachinedErrorCode, details: Partial<MachinedError> = {}) => (error: unknown) => {
  assert.ok(error instanceof MachinedError, String(error));
  assert.equal(error.code, code, error.message);
  for (const [key, value] of Object.entries(details)) assert.equal(error[key as keyof MachinedError], value);
  return true;
};

const isTrue = async (condition: () => boolean) => {
  while (!condition()) await turn();
};

/** A machine that commands can be run in. */
async function registerGuest(client: MachineClient, world: World): Promise<void> {
  const leader = world.leader('guest.service');
  world.commands.guests.set(leader, { users: ['root', 'bob'], programs: { quick: 'exit 3', wait: 'wait' }, directories: ['/tmp'] });
  await client.register({ name: 'guest', class: 'container', leader });
}

async function text(stream: AsyncIterable<unknown>): Promise<string> {
  let all = '';
  for await (const bytes of stream) all += String(bytes);
  return all;
}

for (const transport of transports) {
  const behaviour = (what: string, body: (stage: Stage) => Promise<void>) =>
    test(`${transport}: ${what}`, { timeout: 60_000 }, async () => {
      await using ready = await stage(transport);
      await body(ready);
      assert.deepEqual(ready.world.log.errors, [], 'nothing failed unexpectedly');
    });

  behaviour('describes a machine with all that was registered', async ({ client, world }) => {
    const leader = world.leader('web.service');
    const held = await client.register({
      name: 'web-1', class: 'container', leader, service: 'tests', id: 'aabbccddeeff00112233445566778899', rootDirectory: '/srv/web',
      networkInterfaces: [3, 7],
    });
    assert.equal(held.name, 'web-1');
    const machine = await client.get('web-1');
    assert.equal(machine.leader?.pid, leader);
    assert.equal(typeof machine.leader?.pidfdId, 'bigint');
    const { timestamp, networkInterfaces = [3, 7], state = 'running', ...others } = machine;
    assert.deepEqual(timestamp, { realtime: 1_700_000_000_000_000, monotonic: 5_000_000 });
    assert.deepEqual([networkInterfaces, state, others.supervisor?.pid], [[3, 7], 'running', process.pid]);
    assert.deepEqual({ ...others, supervisor: undefined, leader: undefined }, {
      name: 'web-1', class: 'container', service: 'tests', id: 'aabbccddeeff00112233445566778899', rootDirectory: '/srv/web',
      unit: 'web.service', supervisor: undefined, leader: undefined, uid: 0,
    });
    assert.deepEqual((await client.list()).map(({ name }) => name), ['.host', 'web-1']);
    assert.equal((await client.getByPid(leader)).name, 'web-1');
  });

  behaviour('runs commands with streams of their own', async ({ client, world }) => {
    await registerGuest(client, world);
    const run = world.commands.run.bind(world.commands);
    world.commands.run = async (leader, request, streams) => {
      writeSync(streams.output ?? assert.fail(), 'said');
      writeSync(streams.error ?? assert.fail(), 'complained');
      return run(leader, request, streams);
    };
    await using command = await client.exec('guest', ['quick', 'a'], { user: 'bob', environment: { A: 'b' }, workingDirectory: '/tmp' });
    assert.deepEqual(world.commands.started.at(-1)?.request, { user: 'bob', words: ['quick', 'a'], environment: ['A=b'], workingDirectory: '/tmp' });
    assert.deepEqual(await Promise.all([text(command.stdout), text(command.stderr), command.ended]), ['said', 'complained', { result: 'exited', status: 3 }]);
    await assert.rejects(command.kill('SIGTERM'), fails('not-available'));
  });

  behaviour('signals and ends commands', async ({ client, world }) => {
    await registerGuest(client, world);
    await using signalled = await client.exec('guest', ['wait']);
    await signalled.kill('SIGUSR1');
    assert.deepEqual(await signalled.ended, { result: 'signaled', signal: 10 });

    const givenUp = await client.exec('guest', ['wait']);
    const [, command] = world.commands.started;
    await givenUp[Symbol.asyncDispose]();
    await assert.rejects(givenUp.ended, fails('disconnected'));
    await isTrue(() => command?.signals.length === 1);

    const stop = new AbortController();
    const aborted = await client.exec('guest', ['wait'], { signal: stop.signal });
    stop.abort(new Error('enough'));
    await assert.rejects(aborted.ended, /enough/);
    await isTrue(() => world.commands.started[2]?.signals.length === 1);
    await assert.rejects(client.exec('guest', ['wait'], { signal: stop.signal }), /enough/);
    assert.equal(world.commands.started.length, 3);
  });

  behaviour('says why a command cannot be run', async ({ client, world }) => {
    await registerGuest(client, world);
    await assert.rejects(client.exec('nope', ['quick']), fails('no-such-machine'));
    await assert.rejects(client.exec('guest', ['quick'], { user: 'nobody' }), fails('no-such-user'));
    await assert.rejects(client.exec('guest', ['missing']), fails('system', { errno: 'ENOENT' }));
    await assert.rejects(client.exec('guest', []), fails('invalid-argument'));
  });

  behaviour('tells when the daemon goes before a command has ended', async (ready) => {
    await registerGuest(ready.client, ready.world);
    const command = await ready.client.exec('guest', ['wait']);
    await ready.stop();
    await assert.rejects(command.ended, fails('disconnected'));
  });

  behaviour('registers virtual machines with what reaches them', async ({ client, world }) => {
    // over D-Bus the leader goes by a descriptor, which the world of fakes cannot read
    const leader = transport === 'dbus' ? process.pid : world.leader('vm.service');
    world.processes.openPidFd = () => world.processes.open(leader);
    await client.register({ name: 'vm', class: 'vm', leader, vsockCid: 42, sshAddress: 'vsock/42', sshPrivateKeyPath: '/run/key' });
    const { vsockCid, class: kind } = await client.get('vm');
    assert.deepEqual([vsockCid, kind], [42, 'vm']);
    assert.deepEqual(await client.sshInfo('vm'), { address: 'vsock/42', privateKeyPath: '/run/key' });
    await assert.rejects(client.sshInfo('.host'), fails('not-available'));
  });

  behaviour('holds a registration', async ({ client, world }) => {
    {
      await using held = await client.register({ name: 'brief', class: 'container', leader: world.leader('brief.service') });
      assert.equal((await client.get(held.name)).name, 'brief');
    }
    await assert.rejects(client.get('brief'), fails('no-such-machine'));

    // one that has gone, and one of the same name that others have registered since
    const gone = await client.register({ name: 'brief', class: 'container', leader: world.leader('gone.service') });
    await client.unregister('brief');
    await gone.unregister();
    const replaced = await client.register({ name: 'brief', class: 'container', leader: world.leader('replaced.service') });
    await client.unregister('brief');
    await client.register({ name: 'brief', class: 'container', leader: world.leader('successor.service') });
    await replaced.unregister();
    assert.equal((await client.get('brief')).unit, 'successor.service');

    const released = await client.register({ name: 'kept', class: 'container', leader: world.leader('kept.service') });
    released.release();
    await released[Symbol.asyncDispose]();
    assert.equal((await client.get('kept')).name, 'kept');
  });

  behaviour('registers this process itself, and makes scopes', async ({ client, world }) => {
    await client.register({ name: 'self', class: 'container' });
    assert.equal((await client.get('self')).leader?.pid, process.pid);
    await client.register({ name: 'scoped', class: 'container', leader: world.leader('one.service'), allocateUnit: true });
    assert.equal((await client.get('scoped')).unit, 'machine-scoped.scope');
  });

  behaviour('sends signals, and ends machines', async ({ client, world }) => {
    const leader = world.leader('web.service');
    await client.register({ name: 'web', class: 'container', leader, allocateUnit: true });
    await client.kill('web', 'SIGUSR1', { whom: 'leader' });
    await client.kill('web', 12, { whom: 'leader' });
    assert.deepEqual(world.processes.signals, [{ pid: leader, signal: 10 }, { pid: leader, signal: 12 }]);
    await assert.rejects(client.kill('web', 'SIGNOTHING'), fails('invalid-argument', { parameter: 'signal' }));
    await client.terminate('web');
    await isTrue(() => world.machines.find('web') === undefined);
    await assert.rejects(client.terminate('web'), fails('no-such-machine'));
  });

  behaviour('looks into machines', async ({ client, world }) => {
    const leader = world.leader('web.service', { namespaces: { user: 9n, net: 8n }, userMappings: [{ inside: 0, outside: 70_000, count: 1000 }], groupMappings: [{ inside: 0, outside: 70_000, count: 1000 }] });
    world.guests.guests.set(leader, {
      addresses: [
        { family: 2, bytes: Uint8Array.of(192, 168, 1, 2), interfaceIndex: 3 },
        { family: 10, bytes: Uint8Array.of(0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1), interfaceIndex: 3 },
      ],
      osRelease: new Map([['ID', 'test'], ['NAME', 'A=B']]),
    });
    await client.register({ name: 'web', class: 'container', leader });
    assert.deepEqual((await client.addresses('web')).map(({ family, address }) => [family, address]), [['ipv4', '192.168.1.2'], ['ipv6', 'fe80::1']]);
    assert.deepEqual(await client.osRelease('web'), { ID: 'test', NAME: 'A=B' });
    assert.equal(await client.uidShift('web'), 70_000);
    assert.deepEqual([await client.mapUserFrom('web', 5), await client.mapGroupFrom('web', 6)], [70_005, 70_006]);
    assert.deepEqual(await client.mapUserTo(70_007), { machine: 'web', id: 7 });
    assert.deepEqual(await client.mapGroupTo(70_008), { machine: 'web', id: 8 });
    await assert.rejects(client.mapUserTo(80_000), fails('no-such-user'));
    const [, whole] = await client.list({ metadata: true });
    assert.deepEqual([whole?.addresses?.length, whole?.osRelease?.['ID'], whole?.uidShift], [2, 'test', 70_000]);

    const shared = world.leader('shared.service');
    world.guests.guests.set(shared, {});
    await client.register({ name: 'shared', class: 'container', leader: shared });
    await assert.rejects(client.addresses('shared'), fails('no-private-networking'));
    const { addresses, osRelease } = await client.get('shared', { metadata: true });
    assert.deepEqual([addresses, osRelease], [undefined, undefined]);
  });

  behaviour('opens terminals and root directories, and closes them', async ({ client, world }) => {
    const leader = world.leader('web.service', { namespaces: { mnt: 55n } });
    world.terminals.guests.set(leader, { users: ['root', 'bob'], programs: ['/bin/echo'] });
    await client.register({ name: 'web', class: 'container', leader });
    using root = await client.openRoot('web');
    assert.match(root.path, /^\/proc\/self\/fd\/[0-9]+$/);
    await assert.rejects(client.openTerminal('web', { mode: 'shell', user: 'nobody' }), fails('no-such-user'));
    assert.deepEqual(world.terminals.opened, []);
  });

  behaviour('binds and copies', async ({ client, world }) => {
    const leader = world.leader('web.service', { namespaces: { mnt: 55n } });
    await client.register({ name: 'web', class: 'container', leader });
    await client.bind('web', '/srv', '/mnt', { readOnly: true });
    assert.deepEqual(world.files.binds.map(({ source, destination, readOnly }) => [source, destination, readOnly]), [['/srv', '/mnt', true]]);
    await client.unbind('web', '/mnt');
    assert.deepEqual(world.files.binds, []);
    await client.copyTo('web', '/etc/motd');
    await client.copyFrom('web', '/etc/motd', '/tmp/motd', { replace: true });
    assert.deepEqual(world.files.copies.map(({ direction, source, destination, replace }) => [direction, source, destination, replace]), [
      ['to', '/etc/motd', '/etc/motd', false], ['from', '/etc/motd', '/tmp/motd', true],
    ]);
  });

  behaviour('keeps images', async ({ client, world }) => {
    world.images.add({ name: 'base', type: 'subvolume', usage: 4096n, limit: 8192n, creationTime: 5n });
    world.images.contents.set('base', { hostname: 'base-host', osRelease: new Map([['ID', 'test']]) });
    const { images } = client;
    assert.deepEqual((await images.list()).map(({ name }) => name), ['.host', 'base']);
    assert.deepEqual(await images.get('base'), {
      name: 'base', type: 'subvolume', readOnly: false, path: '/var/lib/machines/base', created: 5, usage: 4096, limit: 8192,
    });
    const { hostname, osRelease } = await images.get('base', { metadata: true });
    assert.deepEqual([hostname, osRelease], ['base-host', { ID: 'test' }]);
    await images.clone('base', 'copy', { readOnly: true });
    assert.equal((await images.get('copy')).readOnly, true);
    await images.setReadOnly('copy', false);
    await images.rename('copy', 'other');
    await images.setLimit('other', 1 << 20);
    assert.equal((await images.get('other')).limit, 1 << 20);
    await images.remove('other');
    await assert.rejects(images.get('other'), fails('no-such-image'));
    await images.setPoolLimit(1 << 30);
    assert.equal(world.images.poolLimit, 1n << 30n);
    if (transport === 'dbus') assert.equal((await images.pool()).path, '/var/lib/machines');
    else await assert.rejects(images.pool(), fails('not-offered'));
    world.images.add({ name: '.hidden', type: 'subvolume', readOnly: false, usageExclusive: 77n });
    assert.deepEqual(await images.clean('hidden'), [{ name: '.hidden', freed: 77 }]);
  });

  behaviour('says what is wrong', async ({ client, world }) => {
    await assert.rejects(client.get('nope'), fails('no-such-machine', {
      errorName: transport === 'varlink' ? 'io.systemd.Machine.NoSuchMachine' : 'org.freedesktop.machine1.NoSuchMachine',
    }));
    await assert.rejects(client.getByPid(world.processes.spawn()), fails('no-such-machine'));
    await client.register({ name: 'web', class: 'container', leader: world.leader('web.service') });
    await assert.rejects(client.register({ name: 'web', class: 'container', leader: world.leader('w2.service') }), fails('machine-exists'));
    await assert.rejects(client.register({ name: 'a/b', class: 'container' }), fails('invalid-argument'));
    if (transport === 'dbus') {
      await assert.rejects(client.register({ name: 'x', class: 'container', leader: 999_999 }), fails('system', { errno: 'ESRCH' }));
    }
    const reason = new Error('enough');
    await assert.rejects(client.list({ signal: AbortSignal.abort(reason) }), reason);
  });

  behaviour('watches machines come and go', async ({ client, world }) => {
    await client.register({ name: 'first', class: 'container', leader: world.leader('first.service') });
    const heard: string[] = [];
    const stop = new AbortController();
    const watching = (async () => {
      for await (const event of client.watch({ signal: stop.signal })) heard.push(describe(event));
    })();
    await isTrue(() => heard.includes('ready'));
    assert.deepEqual(heard, ['present .host', 'present first', 'ready']);
    await client.register({ name: 'second', class: 'vm', leader: world.leader('second.service') });
    await isTrue(() => heard.includes('added second'));
    await client.unregister('first');
    await isTrue(() => heard.includes('removed first'));
    stop.abort(new Error('seen enough'));
    await assert.rejects(watching, /seen enough/);
  });

  test(`${transport}: whoever may not do something is told so`, async () => {
    await using ready = await stage(transport, 1000);
    const { client, world } = ready;
    const call = { authorization: { kind: 'anyone' } as const, interactive: false, caller: async () => ({ uid: 0, pid: 1, busName: undefined }) };
    const registration = {
      name: 'roots', class: 'container' as const, id: undefined, service: '', rootDirectory: '', networkInterfaces: [], vsockCid: 0xffffffff,
      sshAddress: '', sshPrivateKeyPath: '', controlAddress: '',
    };
    await world.machines.register(call, { registration, leader: world.processes.open(world.leader('roots.service')), scope: undefined });
    await assert.rejects(client.terminate('roots'), fails('authentication-required'));
    world.authority.decide('org.freedesktop.machine1.manage-machines', 'denied');
    await assert.rejects(client.terminate('roots'), fails('access-denied'));
  });
}

function describe(event: MachineEvent): string {
  return event.type === 'ready' ? 'ready' : `${event.type} ${event.machine.name}`;
}

test('a watcher is told when the daemon or the bus has gone, and so is who asks', { timeout: 60_000 }, async () => {
  const lostBus = await startBus();
  const onBus = await DBusRegistry.start(lostBus);
  onBus.world.processes.spawn({ pid: process.pid });
  const busAddress = onBus.open({ uid: 0, pid: process.pid });
  await using byBus = await connect({ transport: 'dbus', busAddress });
  const onSocket = new VarlinkRegistry();
  onSocket.world.processes.spawn({ pid: process.pid });
  await using bySocket = await connect({ transport: 'varlink', ...placesOf(onSocket.open({ uid: 0, pid: process.pid })) });
  const watch = async (client: MachineClient, ready: () => void): Promise<void> => {
    for await (const event of client.watch()) if (event.type === 'ready') ready();
  };
  const lost: Promise<void>[] = [];
  for (const client of [byBus, bySocket]) {
    await new Promise<void>((ready) => lost.push(assert.rejects(watch(client, ready), fails('disconnected'))));
  }
  await lostBus[Symbol.asyncDispose]();
  await onSocket[Symbol.asyncDispose]();
  await Promise.all(lost);
  await assert.rejects(byBus.list(), fails('unreachable'));
  await assert.rejects(bySocket.list(), fails('unreachable'));
  await onBus[Symbol.asyncDispose]();
});

test('copies tell how far they have come, and are taken back when they are given up', { timeout: 60_000 }, async () => {
  await using ready = await stage('varlink');
  const { client, world } = ready;
  await client.register({ name: 'web', class: 'container', leader: world.leader('web.service', { namespaces: { mnt: 55n } }) });
  const told: unknown[] = [];
  world.files.copiesEnd = () => false;
  const copying = client.copyTo('web', '/srv/a', '/srv/b', { onProgress: (progress) => told.push(progress.bytesDone) });
  await isTrue(() => world.files.copies.length === 1);
  world.files.copies[0]?.report({ bytesDone: 10, bytesTotal: 20 });
  await isTrue(() => told.includes(10));
  world.files.copies[0]?.finish();
  await copying;

  const stop = new AbortController();
  const given = client.copyTo('web', '/srv/a', '/srv/b', { signal: stop.signal });
  await isTrue(() => world.files.copies.length === 2);
  stop.abort(new Error('given up'));
  await assert.rejects(given, /given up/);
  await isTrue(() => world.operations.all().length === 0);
});

test('without a subscription, watching goes by the state files', { timeout: 60_000 }, async () => {
  const world = new World();
  world.processes.spawn({ pid: process.pid });
  const directory = mkdtempSync(path.join(tmpdir(), 'machined-client-'));
  await using registry = new VarlinkRegistry(world);
  const { theirs } = registry.open({ uid: 0, pid: process.pid });
  const machines = path.join(directory, 'systemd', 'machines');
  await using client = await connect({ transport: 'varlink', ...placesOf({ theirs, own: `${directory}/none` }), stateDirectory: machines });
  const heard: string[] = [];
  const stop = new AbortController();
  const watching = (async () => {
    for await (const event of client.watch({ signal: stop.signal })) heard.push(describe(event));
  })();
  await isTrue(() => heard.includes('ready'));
  await client.register({ name: 'one', class: 'container', leader: world.leader('one.service') });
  mkdirSync(machines, { recursive: true });
  writeFileSync(path.join(machines, 'one'), 'NAME=one\n');
  await isTrue(() => heard.includes('added one'));
  await client.unregister('one');
  rmSync(machines, { recursive: true });
  await isTrue(() => heard.includes('removed one'));
  stop.abort(new Error('seen enough'));
  await assert.rejects(watching, /seen enough/);
  rmSync(directory, { recursive: true });
});

test('what a daemon does not have over Varlink is done over D-Bus', async () => {
  const world = new World();
  world.processes.spawn({ pid: process.pid });
  await using onBus = await DBusRegistry.start(bus, world);
  const busAddress = onBus.open({ uid: 0, pid: process.pid });
  const nowhere = { ...placesOf({ theirs: '/nonexistent/machine', own: '/nonexistent/own' }), stateDirectory: '/nonexistent' };
  await using byBus = await connect({ ...nowhere, busAddress });
  assert.deepEqual((await byBus.list()).map(({ name }) => name), ['.host']);

  await using onSocket = new VarlinkRegistry();
  onSocket.world.processes.spawn({ pid: process.pid });
  const { theirs, own } = onSocket.open({ uid: 0, pid: process.pid });
  await using both = await connect({ ...placesOf({ theirs, own }), busAddress });
  assert.equal((await both.images.pool()).path, '/var/lib/machines');
  await assert.rejects(connect({ ...nowhere, busAddress: 'unix:path=/nonexistent/bus' }), fails('unreachable'));
});
