// Terminals through both front ends: in which order what is refused, whom polkit is asked about, and whose descriptors are whose.
import assert from 'node:assert/strict';
import { closeSync, readdirSync, readlinkSync } from 'node:fs';
import { after, before, suite, test } from 'node:test';
import { BusError } from '../../src/transport/dbus/bus-error.js';
import type { BusConnection } from '../../src/transport/dbus/connection.js';
import type { JsonObject } from '../../src/wire/varlink/json.js';
import { startBus, type TestBus } from '../support/bus.js';
import { DBusRegistry, machinePath, manager } from '../support/registry-dbus.js';
import { VarlinkRegistry } from '../support/registry-varlink.js';
import { VarlinkFailure, type VarlinkClient } from '../support/varlink-client.js';
import { World } from '../support/world.js';

const standard = 'org.freedesktop.DBus.Error.';
const machine1 = 'org.freedesktop.machine1';
const otherUsers = { namespaces: { user: 99n } };

/** Machines: 'one' of root's, 'own' of user 1000's with users of its own, 'shared' of theirs without, and a 'vm'. */
async function setUpWorld(): Promise<World> {
  const world = new World();
  for (const [name, type, owner, options] of [
    ['one', 'container', 0, {}], ['own', 'container', 1000, otherUsers], ['shared', 'container', 1000, {}], ['vm', 'vm', 0, {}],
  ] as const) {
    const pid = world.leader(`${name}.service`, { owner, ...options });
    const caller = { uid: owner, pid, busName: undefined };
    const call = { authorization: { kind: 'anyone' } as const, interactive: false, caller: async () => caller };
    const registration = {
      name, class: type, id: undefined, service: '', rootDirectory: '', networkInterfaces: [], vsockCid: 0xffffffff,
      sshAddress: '', sshPrivateKeyPath: '', controlAddress: '',
    };
    await world.machines.register(call, { registration, leader: world.processes.open(pid), scope: undefined });
    world.terminals.guests.set(pid, { users: ['root', 'bob'], programs: ['/bin/echo'] });
  }
  world.terminals.guests.set(1, { users: ['root'], programs: [] });
  return world;
}

const pidOf = (world: World, name: string): number => world.machines.byName(name).leader.pid;

/** Descriptors of this process that are open on what the fake opens. */
const openTerminals = (): number =>
  readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === '/dev/null';
    } catch {
      return false; // that of the directory itself
    }
  }).length;

suite('over D-Bus', () => {
  let bus: TestBus;
  before(async () => {
    bus = await startBus();
  });
  after(() => bus[Symbol.asyncDispose]());

  async function setUp() {
    const world = await setUpWorld();
    const registry = await DBusRegistry.start(bus, world);
    const client = await registry.connectRaw({ uid: 0, pid: 1 });
    const user = await registry.connectRaw({ uid: 1000, pid: world.processes.spawn({ owner: 1000 }) });
    return { world, client, user, [Symbol.asyncDispose]: () => registry[Symbol.asyncDispose]() };
  }

  const ask = (client: BusConnection, member: string, signature: string, body: readonly unknown[], target: object = manager) =>
    client.callForDescriptors({ ...manager, ...target, member, signature, body });
  const shell = (client: BusConnection, name: string, user = '', path = '', args: string[] = [], environment: string[] = []) =>
    ask(client, 'OpenMachineShell', 'sssasas', [name, user, path, args, environment]);

  async function failsWith(call: Promise<unknown>, name: string, message?: string): Promise<void> {
    await assert.rejects(call, (error) => {
      assert.ok(error instanceof BusError, String(error));
      assert.equal(error.busName, name, error.message);
      if (message !== undefined) assert.equal(error.message, message);
      return true;
    });
  }

  test('the descriptor goes to the caller, and none stays behind', async () => {
    await using setup = await setUp();
    const { client, world } = setup;
    const target = { path: machinePath('one'), interface: `${machine1}.Machine` };
    const before = openTerminals();
    for (const [member, body, objectMember] of [
      ['OpenMachinePTY', [], 'OpenPTY'], ['OpenMachineLogin', [], 'OpenLogin'],
      ['OpenMachineShell', ['', '/bin/echo', ['echo', 'a b'], ['A=1']], 'OpenShell'],
    ] as const) {
      const signature = body.length === 0 ? '' : 'ssasas';
      for (const call of [
        () => ask(client, member, `s${signature}`, ['one', ...body]),
        () => ask(client, objectMember, signature, body, target),
      ]) {
        const answer = await call();
        assert.deepEqual([answer.fds.length, answer.body.length], [1, 2]);
        assert.equal(answer.body[1], `/dev/pts/${world.terminals.opened.length}`);
        assert.equal(openTerminals(), before + 1);
        closeSync(answer.fds[0] as number);
      }
    }
    const leader = pidOf(world, 'one');
    const request = { user: 'root', command: { program: '/bin/echo', arguments: ['echo', 'a b'] }, environment: ['A=1'] };
    const uses = ['nothing', 'nothing', 'login', 'login', request, request];
    assert.deepEqual(world.terminals.opened, uses.map((use) => ({ leader, use })));
  });

  test('the host has terminals, a virtual machine none', async () => {
    await using setup = await setUp();
    const { client, user, world } = setup;
    for (const fd of (await shell(client, '.host')).fds) closeSync(fd);
    assert.equal(world.terminals.opened[0]?.leader, 1);
    for (const member of ['OpenMachinePTY', 'OpenMachineLogin']) {
      await failsWith(ask(client, member, 's', ['vm']), `${standard}NotSupported`, 'Operation not supported');
      await failsWith(ask(user, member, 's', ['vm']), `${standard}InteractiveAuthorizationRequired`);
      await failsWith(ask(user, member, 's', ['nope']), `${machine1}.NoSuchMachine`, "No machine 'nope' known");
    }
    await failsWith(shell(client, 'vm'), `${standard}NotSupported`, 'Operation not supported');
  });

  test('wrong arguments are refused before anybody is asked, and in their order', async () => {
    await using setup = await setUp();
    const { user, world } = setup;
    const invalid = `${standard}InvalidArgs`;
    await failsWith(shell(user, 'nope', 'a:b', 'x', [], ['x']), `${machine1}.NoSuchMachine`);
    await failsWith(shell(user, 'vm', 'a:b', 'x', [], ['x']), invalid, "Invalid user name 'a:b'");
    await failsWith(shell(user, 'vm', '', 'x', [], ['x']), invalid, "Specified path 'x' is not absolute");
    await failsWith(shell(user, 'vm', '', '/x', [], ['x']), invalid, 'Invalid environment assignments');
    assert.deepEqual(world.authority.asked, []);
  });

  test('polkit is told what is to run', async () => {
    await using setup = await setUp();
    const { user, world } = setup;
    const needed = `${standard}InteractiveAuthorizationRequired`;
    await failsWith(shell(user, 'one', 'bob', '/bin/echo', ['echo', 'a b', 'c']), needed);
    await failsWith(shell(user, '.host'), needed);
    await failsWith(ask(user, 'OpenMachinePTY', 's', ['.host']), needed);
    await failsWith(ask(user, 'OpenMachineLogin', 's', ['one']), needed);
    const [first, second, ...others] = world.authority.asked.map(({ request }) => [request.action, Object.entries(request.details)]);
    const details = [['machine', 'one'], ['user', 'bob'], ['program', '/bin/echo'], ['command_line', 'echo a b c']];
    assert.deepEqual(first, [`${machine1}.shell`, details]);
    const [action, [name, who, program, line]] = second as [string, [string, string][]];
    assert.deepEqual([action, name, who, program], [`${machine1}.host-shell`, ['machine', '.host'], ['user', 'root'], ['program', '/bin/sh']]);
    assert.match(line?.[1] ?? '', /^sh -c .* sh root$/s);
    assert.deepEqual(others, [
      [`${machine1}.host-open-pty`, [['machine', '.host']]], [`${machine1}.login`, [['machine', 'one'], ['verb', 'login']]],
    ]);
  });

  test('an owner is not asked, and nobody gets a shell among the users of the host', async () => {
    await using setup = await setUp();
    const { client, user, world } = setup;
    for (const fd of (await shell(user, 'own')).fds) closeSync(fd);
    const refusal = 'Only root may shell into the root user namespace';
    await failsWith(shell(user, 'shared', 'a:b'), `${standard}InvalidArgs`);
    await failsWith(shell(user, 'shared', '', 'x'), `${standard}AccessDenied`, refusal);
    await failsWith(shell(client, 'shared'), `${standard}AccessDenied`, refusal);
    for (const fd of (await ask(user, 'OpenMachinePTY', 's', ['shared'])).fds) closeSync(fd);
    assert.deepEqual(world.authority.asked, []);
  });

  test('what the machine lacks is an error with a name', async () => {
    await using setup = await setUp();
    const { client, world } = setup;
    const before = openTerminals();
    await failsWith(shell(client, 'one', 'nobody-known'), `${machine1}.NoSuchUser`);
    await failsWith(shell(client, 'one', '', '/bin/nope'), `${standard}FileNotFound`);
    world.terminals.guests.delete(pidOf(world, 'one'));
    await failsWith(ask(client, 'OpenMachineLogin', 's', ['one']), `${standard}UnixProcessIdUnknown`);
    assert.equal(openTerminals(), before);
  });
});

suite('over Varlink', () => {
  async function setUp() {
    const world = await setUpWorld();
    const registry = new VarlinkRegistry(world);
    const client = await registry.connectRaw({ uid: 0, pid: 1 });
    const user = await registry.connectRaw({ uid: 1000, pid: world.processes.spawn({ owner: 1000 }) });
    return { world, client, user, [Symbol.asyncDispose]: () => registry[Symbol.asyncDispose]() };
  }

  const open = (client: VarlinkClient, parameters: object): Promise<JsonObject> => client.call('io.systemd.Machine.Open', parameters);

  async function failsWith(call: Promise<unknown>, error: string, parameters: object = {}): Promise<void> {
    await assert.rejects(call, (failure) => {
      assert.ok(failure instanceof VarlinkFailure, String(failure));
      assert.deepEqual([failure.error, { ...failure.parameters }], [error, parameters]);
      return true;
    });
  }

  test('the descriptor goes to the caller, and none stays behind', async () => {
    await using setup = await setUp();
    const { client, world } = setup;
    const before = openTerminals();
    for (const [index, mode] of ['tty', 'login', 'shell'].entries()) {
      const reply = await open(client, { name: 'one', mode, user: 'bob' });
      assert.deepEqual({ ...reply }, { ptyFileDescriptor: 0, ptyPath: `/dev/pts/${index + 1}` });
      assert.equal(openTerminals(), before + 1);
      for (const fd of client.fds.splice(0)) closeSync(fd);
    }
    const request = { user: 'bob', command: undefined, environment: [] };
    assert.deepEqual(world.terminals.opened.map(({ use }) => use), ['nothing', 'login', request]);
  });

  test('of several values for one variable the last holds', async () => {
    await using setup = await setUp();
    const { client, world } = setup;
    await open(client, { name: 'one', mode: 'shell', user: 'bob', environment: ['A=1', 'B=', 'A=2=3'] });
    for (const fd of client.fds.splice(0)) closeSync(fd);
    assert.deepEqual(world.terminals.opened.at(-1)?.use, { user: 'bob', command: undefined, environment: ['A=2=3', 'B='] });
  });

  test('parameters come first, then the machine, then who may, then whether it can', async () => {
    await using setup = await setUp();
    const { client, user, world } = setup;
    const wrong = 'org.varlink.service.InvalidParameter';
    for (const [parameter, value] of [['user', 'a:b'], ['user', ''], ['user', '0'], ['path', 'x'], ['environment', ['x']]] as const) {
      await failsWith(open(user, { name: 'nope', mode: 'tty', [parameter]: value }), wrong, { parameter });
    }
    await failsWith(open(user, { name: 'nope', mode: 'tty' }), 'io.systemd.Machine.NoSuchMachine');
    for (const mode of ['tty', 'login', 'shell']) {
      await failsWith(open(user, { name: 'vm', mode }), 'io.systemd.InteractiveAuthenticationRequired');
      await failsWith(open(client, { name: 'vm', mode }), 'io.systemd.Machine.NotSupported');
      await failsWith(open(client, { name: 'shared', mode }), 'org.varlink.service.PermissionDenied');
    }
    await failsWith(open(client, { name: 'one', mode: 'shell', user: 'nobody-known' }), 'io.systemd.Machine.NoSuchUser');
    const verbs = world.authority.asked.map(({ request }) => [request.action, request.details['verb']]);
    assert.deepEqual(verbs, [[`${machine1}.open-pty`, undefined], [`${machine1}.login`, 'login'], [`${machine1}.shell`, 'shell']]);
  });

  test('a caller that has left before the answer leaves no descriptor behind', async () => {
    await using setup = await setUp();
    const { client } = setup;
    const before = openTerminals();
    const call = open(client, { name: 'one', mode: 'tty' });
    client[Symbol.dispose]();
    await assert.rejects(call);
    for (const deadline = Date.now() + 2000; openTerminals() !== before && Date.now() < deadline; ) await new Promise(setImmediate);
    assert.equal(openTerminals(), before);
  });
});
