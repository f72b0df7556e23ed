// What this project adds to the interfaces of the original: it is there, apart from them, and does not show in them.
import assert from 'node:assert/strict';
import { closeSync, openSync, readdirSync, readlinkSync } from 'node:fs';
import { after, before, suite, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { MachineEvents } from '../../src/service/machine-events.js';
import type { Caller } from '../../src/ports/authority.js';
import type { FakeCommand } from '../../src/ports/fakes/commands.js';
import { BusError } from '../../src/transport/dbus/bus-error.js';
import type { JsonObject } from '../../src/wire/varlink/json.js';
import { startBus, type TestBus } from '../support/bus.js';
import { DBusRegistry, manager } from '../support/registry-dbus.js';
import { VarlinkRegistry } from '../support/registry-varlink.js';
import { VarlinkFailure } from '../support/varlink-client.js';
import type { World } from '../support/world.js';

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

const programs = { quick: 'exit 3', wait: 'wait', stay: 'stay' } as const;

async function register(world: World, name: string, type: 'container' | 'vm', leader: number, caller: Caller): Promise<void> {
  const call = { authorization: { kind: 'anyone' } as const, interactive: false, caller: async () => caller };
  const registration = {
    name, class: type, id: undefined, service: '', rootDirectory: '', networkInterfaces: [], vsockCid: 0xffffffff,
    sshAddress: '', sshPrivateKeyPath: '', controlAddress: '',
  };
  await world.machines.register(call, { registration, leader: world.processes.open(leader), scope: undefined });
}

/** A container 'one' and a virtual machine 'vm', both of root's. */
async function registerMachines(world: World): Promise<void> {
  const caller = { uid: 0, pid: world.processes.spawn(), busName: undefined };
  for (const [name, type] of [['one', 'container'], ['vm', 'vm']] as const) {
    const leader = world.leader(`${name}.service`);
    await register(world, name, type, leader, caller);
    world.commands.guests.set(leader, { users: ['root', 'bob'], programs, directories: ['/tmp'] });
    world.terminals.guests.set(leader, { users: ['root'], programs: ['/bin/sh'] });
  }
}

const commandOf = ({ started }: World['commands']): FakeCommand => started.at(-1) ?? assert.fail('none was started');
const openFiles = () => readdirSync('/proc/self/fd').length;

suite('commands by Varlink', () => {
  async function setUp() {
    const registry = new VarlinkRegistry();
    const { world } = registry;
    await registerMachines(world);
    const client = await registry.connectOwn({ uid: 0, pid: world.processes.spawn() });
    const user = await registry.connectOwn({ uid: 1000, pid: world.processes.spawn({ owner: 1000 }) });
    return { registry, world, client, user, [Symbol.asyncDispose]: () => registry[Symbol.asyncDispose]() };
  }

  const exec = 'io.machined.Machine.Exec';
  const failsWith = (call: Promise<unknown>, error: string, parameters: object = {}) =>
    assert.rejects(call, (failure) => {
      assert.ok(failure instanceof VarlinkFailure, String(failure));
      assert.deepEqual([failure.error, { ...failure.parameters }], [error, parameters]);
      return true;
    });

  test('the only reply tells how it has ended', async () => {
    await using setup = await setUp();
    const { client, world } = setup;
    const reply = await client.call(exec, { name: 'one', command: ['quick', 'a', 'b'], user: 'bob', environment: ['A=b'], workingDirectory: '/tmp' });
    assert.deepEqual({ ...reply }, { id: 1, pid: 1001, result: 'exited', status: 3 });
    const { request, streams } = commandOf(world.commands);
    assert.deepEqual(request, { user: 'bob', words: ['quick', 'a', 'b'], environment: ['A=b'], workingDirectory: '/tmp' });
    assert.deepEqual(streams, { input: undefined, output: undefined, error: undefined });
  });

  test('the first of two replies comes when it runs, and signals reach it', async () => {
    await using setup = await setUp();
    const { client, registry, world } = setup;
    const listener = await registry.connectOwn({ uid: 0, pid: world.processes.spawn() });
    const replies: object[] = [];
    listener.listen(exec, (reply) => void replies.push({ ...reply }), { name: 'one', command: ['wait'] });
    await isTrue(() => replies.length === 1);
    assert.deepEqual(replies, [{ id: 1, pid: 1001 }]);
    await client.call('io.machined.Machine.SignalExec', { id: 1, signal: 'USR1' });
    await isTrue(() => replies.length === 2);
    assert.deepEqual(replies[1], { result: 'signaled', signal: 10 });
    await failsWith(client.call('io.machined.Machine.SignalExec', { id: 1, signal: 9 }), 'io.machined.Machine.NoSuchExecution');
  });

  test('descriptors reach it by their index, and are closed here afterwards', async () => {
    await using setup = await setUp();
    const { client, world } = setup;
    await client.call(exec, { name: 'one', command: ['quick'] });
    const before = openFiles();
    const fds = [openSync('/dev/zero', 'r'), openSync('/dev/full', 'r')];
    let seen: string[] = [];
    const run = world.commands.run.bind(world.commands);
    world.commands.run = async (leader, request, streams) => {
      seen = [streams.input, streams.output, streams.error].map((fd) => (fd === undefined ? '' : readlinkSync(`/proc/self/fd/${fd}`)));
      return run(leader, request, streams);
    };
    await client.call(exec, { name: 'one', command: ['quick'], inputFileDescriptor: 1, errorFileDescriptor: 0 }, fds);
    assert.deepEqual(seen, ['/dev/full', '', '/dev/zero']);
    await failsWith(client.call(exec, { name: 'one', command: ['quick'], outputFileDescriptor: 2 }, fds), 'org.varlink.service.InvalidParameter', {
      parameter: 'outputFileDescriptor',
    });
    for (const fd of fds) closeSync(fd);
    await isTrue(() => openFiles() === before);
  });

  test('who sends descriptors without end is disconnected', async () => {
    await using setup = await setUp();
    const { client } = setup;
    await client.call(exec, { name: 'one', command: ['quick'] });
    const before = openFiles();
    const fd = openSync('/dev/null', 'r');
    await assert.rejects(client.call(exec, { name: 'one', command: ['quick'] }, Array.from({ length: 9 }, () => fd)), /has (ended|closed) the connection/);
    closeSync(fd);
    await isTrue(() => openFiles() <= before);
  });

  test('a caller that hangs up ends its command', async () => {
    await using setup = await setUp();
    const { registry, world } = setup;
    for (const more of [true, false]) {
      const caller = await registry.connectOwn({ uid: 0, pid: world.processes.spawn() });
      const started = world.commands.started.length;
      const call = more ? caller.callMore(exec, { name: 'one', command: ['wait'] }) : caller.call(exec, { name: 'one', command: ['wait'] });
      call.catch(() => undefined);
      await isTrue(() => world.commands.started.length > started);
      caller[Symbol.dispose]();
      const command = commandOf(world.commands);
      await isTrue(() => command.signals.length > 0);
      assert.deepEqual(command.signals, [15]);
    }
  });

  test('one whose time is over is ended, and says so', async () => {
    await using setup = await setUp();
    const { client, world } = setup;
    const reply = await client.call(exec, { name: 'one', command: ['wait'], timeLimitUSec: 1000 });
    assert.deepEqual({ ...reply }, { id: 1, pid: 1001, result: 'timeout' });
    assert.deepEqual(commandOf(world.commands).signals, [15]);
    const stubborn = await client.call(exec, { name: 'one', command: ['stay'], timeLimitUSec: '1000' });
    assert.equal(stubborn['result'], 'timeout');
    assert.deepEqual(commandOf(world.commands).signals, [15, 9]);
  });

  test('errors name what is wrong', async () => {
    await using setup = await setUp();
    const { client, user, world } = setup;
    const own = 'io.machined.Machine.';
    const call = (parameters: object) => client.call(exec, { name: 'one', command: ['quick'], ...parameters });
    await failsWith(call({ name: 'nope' }), `${own}NoSuchMachine`);
    await failsWith(call({ name: 'vm' }), `${own}NotSupported`);
    await failsWith(call({ user: 'nobody' }), `${own}NoSuchUser`);
    const system = { origin: 'linux', errno: 2, errnoName: 'ENOENT' };
    await failsWith(call({ command: ['nope'] }), 'io.systemd.System', system);
    await failsWith(call({ workingDirectory: '/nope' }), 'io.systemd.System', system);
    const invalid: Readonly<Record<string, unknown>>[] = [
      { command: [] }, { command: [''] }, { command: ['./quick'] }, { environment: ['A'] }, { workingDirectory: 'tmp' },
      { timeLimitUSec: -1 }, { timeLimitUSec: 3_000_000_000_000_000 }, { inputFileDescriptor: 0 }, { outputFileDescriptor: -1 }, { user: 'a:b' },
    ];
    for (const parameters of invalid) {
      const parameter = Object.keys(parameters)[0];
      await failsWith(call(parameters), 'org.varlink.service.InvalidParameter', { parameter });
    }
    await failsWith(user.call(exec, { name: 'one', command: ['quick'] }), 'io.systemd.InteractiveAuthenticationRequired');
    assert.deepEqual(world.authority.asked.at(-1)?.request, {
      action: 'org.freedesktop.machine1.shell', details: { machine: 'one', user: 'root', program: 'quick', command_line: 'quick' }, interactive: false,
    });
  });

  test('a command is its starter\'s and root\'s alone to signal, and there is a limit for each user', async () => {
    await using setup = await setUp();
    const { client, registry, user, world } = setup;
    world.authority.decide('org.freedesktop.machine1.shell', 'allowed');
    const listener = await registry.connectOwn({ uid: 1000, pid: world.processes.spawn({ owner: 1000 }) });
    const replies: object[] = [];
    listener.listen(exec, (reply) => void replies.push({ ...reply }), { name: 'one', command: ['wait'] });
    await isTrue(() => replies.length === 1);
    const other = await registry.connectOwn({ uid: 1001, pid: world.processes.spawn({ owner: 1001 }) });
    await failsWith(other.call('io.machined.Machine.SignalExec', { id: 1, signal: 9 }), 'org.varlink.service.PermissionDenied');
    for (let count = 1; count < 64; count++) {
      const caller = await registry.connectOwn({ uid: 1000, pid: world.processes.spawn({ owner: 1000 }) });
      caller.listen(exec, () => undefined, { name: 'one', command: ['wait'] });
    }
    await isTrue(() => world.commands.started.length === 64);
    await failsWith(user.call(exec, { name: 'one', command: ['quick'] }), 'io.machined.Machine.TooManyOperations');
    assert.equal((await client.call(exec, { name: 'one', command: ['quick'] }))['result'], 'exited');
    await user.call('io.machined.Machine.SignalExec', { id: 1, signal: 9 });
    await isTrue(() => replies.length === 2);
    assert.equal((await user.call(exec, { name: 'one', command: ['quick'] }))['result'], 'exited');
  });

  test("the owner of a machine may, unless its users are the host's", async () => {
    await using setup = await setUp();
    const { user, world } = setup;
    const caller = { uid: 1000, pid: world.processes.spawn({ owner: 1000 }), busName: undefined };
    for (const [name, options] of [['own', { namespaces: { user: 99n } }], ['shared', {}]] as const) {
      const leader = world.leader(`${name}.service`, { owner: 1000, ...options });
      await register(world, name, 'container', leader, caller);
      world.commands.guests.set(leader, { users: ['root'], programs, directories: [] });
    }
    assert.equal((await user.call(exec, { name: 'own', command: ['quick'] }))['result'], 'exited');
    assert.deepEqual(world.authority.asked, []);
    await failsWith(user.call(exec, { name: 'shared', command: ['quick'] }), 'org.varlink.service.PermissionDenied');
  });

  test('a shell has a terminal', async () => {
    await using setup = await setUp();
    const { client, world } = setup;
    const reply = await client.call('io.machined.Machine.OpenShell', { name: 'one', path: '/bin/sh', args: ['sh', '-l'] });
    assert.deepEqual({ ...reply }, { ptyFileDescriptor: 0, ptyPath: '/dev/pts/1' });
    for (const fd of client.fds) closeSync(fd);
    assert.deepEqual(world.terminals.opened.at(-1)?.use, { user: 'root', command: { program: '/bin/sh', arguments: ['sh', '-l'] }, environment: [] });
    await failsWith(client.call('io.machined.Machine.OpenShell', { name: 'vm' }), 'io.machined.Machine.NotSupported');
  });
});

suite('commands on the bus', () => {
  async function setUp() {
    const registry = await DBusRegistry.start(bus);
    const { world } = registry;
    await registerMachines(world);
    const client = await registry.connectRaw({ uid: 0, pid: world.processes.spawn() });
    return { registry, world, client, [Symbol.asyncDispose]: () => registry[Symbol.asyncDispose]() };
  }

  type Client = Awaited<ReturnType<typeof setUp>>['client'];
  const own = { destination: manager.destination, path: '/io/machined', interface: 'io.machined.Manager' } as const;
  const start = async (client: Client, words: readonly string[], options: { user?: string; time?: bigint; fds?: Readonly<Record<string, number>> } = {}) =>
    client.call({
      ...own, member: 'StartExec', signature: 'ssasassta{sh}', replySignature: 'tu',
      body: ['one', options.user ?? '', words, [], '', options.time ?? 0n, new Map(Object.entries(options.fds ?? {}))],
    });
  const wait = (client: Client, id: bigint) => client.call({ ...own, member: 'WaitExec', signature: 't', body: [id], replySignature: 'si' });
  const failsWith = (call: Promise<unknown>, name: string) =>
    assert.rejects(call, (error) => {
      assert.ok(error instanceof BusError, String(error));
      assert.equal(error.busName, name, error.message);
      return true;
    });

  test('are started, waited for once, and told how they ended', async () => {
    await using setup = await setUp();
    const { client, world } = setup;
    const [id, pid] = await start(client, ['quick']);
    assert.equal(pid, 1001);
    assert.deepEqual(await wait(client, id), ['exited', 3]);
    await failsWith(wait(client, id), 'io.machined.NoSuchExecution');
    const [waiting] = await start(client, ['wait'], { time: 0n });
    const end = wait(client, waiting);
    await client.call({ ...own, member: 'SignalExec', signature: 'ti', body: [waiting, 12] });
    assert.deepEqual(await end, ['signaled', 12]);
    const [late] = await start(client, ['wait'], { time: 1000n });
    assert.deepEqual(await wait(client, late), ['timeout', 0]);
    assert.deepEqual(commandOf(world.commands).signals, [15]);
  });

  test('get their descriptors by name', async () => {
    await using setup = await setUp();
    const { client, world } = setup;
    const fd = openSync('/dev/full', 'r');
    await start(client, ['quick'], { fds: { output: fd } });
    assert.deepEqual(Object.entries(commandOf(world.commands).streams).map(([name, value]) => [name, value !== undefined]), [
      ['input', false], ['output', true], ['error', false],
    ]);
    await failsWith(start(client, ['quick'], { fds: { out: fd } }), 'org.freedesktop.DBus.Error.InvalidArgs');
    closeSync(fd);
  });

  test('end when their caller leaves the bus', async () => {
    await using setup = await setUp();
    const { registry, world } = setup;
    const leaving = await registry.connectRaw({ uid: 0, pid: world.processes.spawn() });
    const [id] = await start(leaving, ['wait']);
    const other = await registry.connectRaw({ uid: 0, pid: world.processes.spawn() });
    await failsWith(wait(other, id), 'io.machined.NoSuchExecution');
    leaving.close();
    const command = commandOf(world.commands);
    await isTrue(() => command.signals.length > 0);
    assert.deepEqual(command.signals, [15]);
  });

  test('fail with errors of their own', async () => {
    await using setup = await setUp();
    const { client } = setup;
    await failsWith(start(client, ['nope']), 'org.freedesktop.DBus.Error.FileNotFound');
    await failsWith(start(client, ['quick'], { user: 'nobody' }), 'org.freedesktop.machine1.NoSuchUser');
    await failsWith(start(client, []), 'org.freedesktop.DBus.Error.InvalidArgs');
    await failsWith(client.call({ ...own, member: 'SignalExec', signature: 'ti', body: [77n, 9] }), 'io.machined.NoSuchExecution');
  });
});
