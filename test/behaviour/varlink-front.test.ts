// What is particular to the Varlink interfaces: parameters, references, several replies, users, names for resolved.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { encodeFrame } from '../../src/wire/varlink/framing.js';
import type { JsonObject } from '../../src/wire/varlink/json.js';
import { VarlinkRegistry } from '../support/registry-varlink.js';
import { VarlinkFailure, type VarlinkClient } from '../support/varlink-client.js';
import { World } from '../support/world.js';

async function setUp(world = new World()) {
  const registry = new VarlinkRegistry(world);
  const caller = world.processes.spawn();
  const client = await registry.connectRaw({ uid: 0, pid: caller });
  const user = await registry.connectRaw({ uid: 1000, pid: world.processes.spawn({ owner: 1000 }) });
  return { world, registry, client, user, caller, [Symbol.asyncDispose]: () => registry[Symbol.asyncDispose]() };
}

const machine = (client: VarlinkClient, method: string, parameters: object = {}) =>
  client.call(`io.systemd.Machine.${method}`, parameters);

async function failsWith(call: Promise<unknown>, error: string, parameters: object = {}): Promise<void> {
  await assert.rejects(call, (failure) => {
    assert.ok(failure instanceof VarlinkFailure, String(failure));
    assert.deepEqual([failure.error, { ...failure.parameters }], [error, parameters]);
    return true;
  });
}

const isInvalid = (call: Promise<unknown>, parameter: string) =>
  failsWith(call, 'org.varlink.service.InvalidParameter', { parameter });
const system = (errno: number, errnoName: string) => ({ origin: 'linux', errno, errnoName });

test('registration names the parameter that is wrong', async () => {
  await using setup = await setUp();
  const { client, world } = setup;
  const good = { name: 'one', class: 'container', leader: world.leader('one.service') };
  const other = world.leader('two.service');
  const wrong: readonly (readonly [string, object])[] = [
    ['name', { name: 'a/b' }], ['name', { name: 7 }], ['name', { name: null }], ['class', { class: 'bogus' }],
    ['class', { class: 'host' }], ['id', { id: 'aabb' }], ['id', { id: 12 }], ['leader', { leader: 0 }], ['leader', { leader: 1 }],
    ['leader', { leader: 999_999 }], ['leader', { leader: 2 ** 31 }], ['leader', { leader: {} }],
    ['leaderProcessId', { leaderProcessId: { pid: other } }], ['leaderProcessId', { leaderProcessId: 5 }],
    ['leaderProcessId', { leaderProcessId: { pid: 0 } }], ['leaderProcessId', { leaderProcessId: { pid: good.leader, pidfdId: null } }],
    ['controlAddress', { controlAddress: '' }], ['controlAddress', { controlAddress: 'unix:/x' }],
    ['rootDirectory', { rootDirectory: '/srv//x' }], ['sshPrivateKeyPath', { sshPrivateKeyPath: `/${'k'.repeat(256)}` }],
    ['controlAddress', { class: 'host', controlAddress: 'x' }],
    ['leaderProcessId', { leaderProcessId: { pid: good.leader, pidfdId: 1 } }],
    ['leaderProcessId', { leaderProcessId: { pid: good.leader, bootId: 'ab'.repeat(16) } }],
    ['ifIndices', { ifIndices: [0] }], ['ifIndices', { ifIndices: ['lo'] }], ['vSockCid', { vSockCid: 1 }],
    ['vSockCid', { vSockCid: 4294967295 }], ['rootDirectory', { rootDirectory: 'srv' }],
    ['rootDirectory', { rootDirectory: '/srv/../etc' }], ['sshPrivateKeyPath', { sshPrivateKeyPath: 'k' }],
    ['frobnicate', { frobnicate: 1 }], ['allocateUnit', { allocateUnit: 'yes' }],
  ];
  for (const [parameter, changed] of wrong) await isInvalid(machine(client, 'Register', { ...good, ...changed }), parameter);
  await isInvalid(machine(client, 'Register', { name: 'one' }), 'class');
  assert.deepEqual([world.machines.size, world.seen.openHandles], [0, 0]);
});

test('zero in a process id says nothing, and what is said of the supervisor is not looked at', async () => {
  await using setup = await setUp();
  const { client, world } = setup;
  const supervisors = [{ supervisor: 0 }, { supervisor: 'x' }, { supervisor: -5 }, { supervisorProcessId: { pid: 'x', bootId: null } }];
  for (const [index, supervisor] of supervisors.entries()) {
    const pid = world.leader(`${index}.service`);
    const leaderProcessId = { pid, pidfdId: 0, bootId: '0'.repeat(32) };
    await machine(client, 'Register', { name: `m${index}`, class: 'container', leaderProcessId, ...supervisor });
    assert.equal((await machine(client, 'List', { pid: leaderProcessId }))['name'], `m${index}`);
  }
  const more = { name: 'more', class: 'container', leader: world.leader('more.service') };
  await isInvalid(machine(client, 'Register', { ...more, supervisor: 1.5 }), 'supervisor');
  await isInvalid(machine(client, 'Register', { ...more, supervisorProcessId: { pid: true } }), 'supervisorProcessId');
});

test('describes a machine with all that was said of it, and nothing else', async () => {
  await using setup = await setUp();
  const { client, world, caller } = setup;
  const leader = world.leader('one.service');
  const identity = (pid: number) => ({ pid, pidfdId: Number(world.processes.open(pid).identity.pidfdId), bootId: world.processes.bootId });
  const given = {
    name: 'one', class: 'vm', id: 'AABBCCDD-eeff-0011-2233-445566778899', service: 'svc', rootDirectory: '/srv/x', vSockCid: '99',
    sshAddress: 'vsock/99', sshPrivateKeyPath: '/k', controlAddress: '/run/x.sock',
  };
  await machine(client, 'Register', { ...given, leaderProcessId: identity(leader), leader: null, supervisor: 5, ifIndices: [] });
  assert.deepEqual({ ...(await machine(client, 'List', { name: 'one' })) }, {
    ...given, id: 'aabbccddeeff00112233445566778899', vSockCid: 99, unit: 'one.service', UID: 0, leader: identity(leader),
    supervisor: identity(caller), timestamp: { realtime: 1_700_000_000_000_000, monotonic: 5_000_000 },
  });
  await machine(client, 'Register', { name: 'two', class: 'container', leader: world.leader('two.service') });
  const keys = Object.keys(await machine(client, 'List', { name: 'two' }));
  assert.deepEqual(keys, ['name', 'class', 'unit', 'leader', 'supervisor', 'timestamp', 'UID']);
});

test('a machine is referred to by name, by process, or by both if they agree', async () => {
  await using setup = await setUp();
  const { client, world } = setup;
  const [one, two] = [world.leader('one.service'), world.leader('two.service')];
  for (const [name, leader] of [['one', one], ['two', two]]) await machine(client, 'Register', { name, class: 'container', leader });
  const nameOf = async (reference: object) => (await machine(client, 'List', reference))['name'];
  assert.equal(await nameOf({ pid: { pid: one } }), 'one');
  assert.equal(await nameOf({ pid: { pid: String(one) } }), 'one');
  assert.equal(await nameOf({ pid: { pid: two }, name: 'two' }), 'two');
  assert.equal(await nameOf({ pid: null, name: 'two' }), 'two');
  const pidfdId = world.processes.open(one).identity.pidfdId;
  assert.equal(await nameOf({ pid: { pid: one, pidfdId: Number(pidfdId) } }), 'one');
  const none = 'io.systemd.Machine.NoSuchMachine';
  await failsWith(nameOf({ pid: { pid: one, pidfdId: 1 } }), none);
  await failsWith(nameOf({ pid: { pid: one }, name: 'two' }), none);
  await failsWith(nameOf({ pid: { pid: 0 } }), none);
  await failsWith(nameOf({ pid: { pid: 0, pidfdId: 0 } }), none);
  assert.equal(await nameOf({ pid: { pid: one, bootId: world.processes.bootId } }), 'one');
  await failsWith(nameOf({ pid: { pid: one, bootId: 'ab'.repeat(16) } }), none);
  for (const more of [{ pidfdId: 5 }, { pidfdId: null }, { bootId: world.processes.bootId }]) await isInvalid(nameOf({ pid: { pid: 0, ...more } }), 'pid');
  await isInvalid(nameOf({ name: 'a/b' }), 'name');
  await isInvalid(nameOf({ name: null }), 'name');
  await isInvalid(nameOf({ pid: { pid: -1 } }), 'pid');
  for (const method of ['Unregister', 'Terminate']) await failsWith(machine(client, method), none);
  await failsWith(machine(client, 'Kill', { signal: 9 }), none);
});

test('lists all machines only for whom accepts several replies', async () => {
  await using setup = await setUp();
  const { client, world } = setup;
  await failsWith(machine(client, 'List'), 'org.varlink.service.ExpectedMore');
  await machine(client, 'Register', { name: 'one', class: 'container', leader: world.leader('one.service') });
  const all = await client.callMore('io.systemd.Machine.List');
  assert.deepEqual(all.map(({ name }) => name), ['.host', 'one']);
  const one = await client.callMore('io.systemd.Machine.List', { name: 'one' });
  assert.deepEqual(one.map(({ name }) => name), ['one']);
  for (const list of ['Machine.List', 'MachineImage.List']) {
    const upgraded = client.exchange({ method: `io.systemd.${list}`, parameters: { name: 'one' }, upgrade: true });
    await failsWith(upgraded, 'io.systemd.System', system(117, 'EUCLEAN'));
  }
});

test('what is inside of machines is told as far as it can be had, or not at all', async () => {
  await using setup = await setUp();
  const { client, user, world } = setup;
  const leader = world.leader('one.service', { userMappings: [{ inside: 0, outside: 70_000, count: 65536 }], groupMappings: [{ inside: 0, outside: 70_000, count: 65536 }] });
  world.guests.guests.set(leader, {
    addresses: [{ family: 2, bytes: Uint8Array.of(192, 0, 2, 1), interfaceIndex: 2 }],
    osRelease: new Map([['ID', 'test']]),
  });
  await machine(client, 'Register', { name: 'one', class: 'container', leader });
  const metadata = ({ addresses, OSRelease, UIDShift }: JsonObject) => ({ addresses, OSRelease, UIDShift });
  assert.deepEqual(metadata(await machine(client, 'List', { name: 'one', acquireMetadata: 'yes' })), {
    addresses: [{ ifindex: 2, family: 2, address: [192, 0, 2, 1] }], OSRelease: ['ID=test'], UIDShift: 70_000,
  });
  const keys = Object.keys(await machine(client, 'List', { name: 'one', acquireMetadata: 'yes' }));
  assert.deepEqual(keys.slice(-5), ['timestamp', 'addresses', 'OSRelease', 'UIDShift', 'UID']);
  await machine(client, 'Register', { name: 'vm', class: 'vm', leader: world.leader('vm.service') });
  await failsWith(machine(client, 'List', { name: 'vm', acquireMetadata: 'yes' }), 'io.systemd.Machine.NotAvailable');
  const nothing = { addresses: undefined, OSRelease: undefined, UIDShift: undefined };
  assert.deepEqual(metadata(await machine(client, 'List', { name: 'vm', acquireMetadata: 'graceful' })), nothing);
  world.guests.behind.set(7, [{ family: 2, bytes: Uint8Array.of(192, 0, 2, 7), interfaceIndex: 3 }]);
  await machine(client, 'Register', { name: 'wired', class: 'vm', ifIndices: [7, 8], leader: world.leader('wired.service') });
  assert.deepEqual(metadata(await machine(client, 'List', { name: 'wired', acquireMetadata: 'graceful' })), {
    ...nothing, addresses: [{ ifindex: 3, family: 2, address: [192, 0, 2, 7] }],
  });
  await failsWith(machine(client, 'List', { name: 'wired', acquireMetadata: 'yes' }), 'io.systemd.Machine.NotAvailable'); // no OSRelease
  world.guests.host.push({ family: 2, bytes: Uint8Array.of(192, 0, 2, 9), interfaceIndex: 2 });
  const graceful = await client.callMore('io.systemd.Machine.List', { acquireMetadata: 'graceful' });
  assert.deepEqual(graceful[0]?.['addresses'], [{ ifindex: 2, family: 2, address: [192, 0, 2, 9] }]);
  assert.deepEqual(graceful.map(({ name }) => name), ['.host', 'one', 'vm', 'wired']);

  const refused = 'io.systemd.InteractiveAuthenticationRequired';
  await failsWith(machine(user, 'List', { name: 'nope', acquireMetadata: 'yes' }), refused);
  await failsWith(user.callMore('io.systemd.Machine.List', { acquireMetadata: 'graceful' }), refused);
  assert.deepEqual(world.authority.asked.map(({ request }) => request.details), [{ name: 'nope' }, { name: 'n/a' }]);
});

test('signals have numbers and names', async () => {
  await using setup = await setUp();
  const { client, world } = setup;
  await machine(client, 'Register', { name: 'one', class: 'container', leader: world.leader('one.service') });
  for (const signal of [10, '10', 'USR1', 'SIGUSR1', '0xa', 1e1]) await machine(client, 'Kill', { name: 'one', whom: 'leader', signal });
  assert.deepEqual(world.processes.signals.map(({ signal }) => signal), Array(6).fill(10));
  for (const signal of [0, 65, 'NOPE', 'usr1', 1.5, null]) await isInvalid(machine(client, 'Kill', { name: 'one', signal }), 'signal');
  await isInvalid(machine(client, 'Kill', { name: 'one' }), 'signal');
  await isInvalid(machine(client, 'Kill', { name: 'one', whom: 'bogus', signal: 9 }), 'whom');
});

test('a second registration of a leader is a system error', async () => {
  await using setup = await setUp();
  const { client, world } = setup;
  const leader = world.leader('one.service');
  await machine(client, 'Register', { name: 'one', class: 'container', leader });
  await failsWith(machine(client, 'Register', { name: 'two', class: 'container', leader }), 'io.systemd.System', system(17, 'EEXIST'));
});

test('every method that changes something is for whom its declaration says', async () => {
  await using setup = await setUp();
  const { client, user, world } = setup;
  await machine(client, 'Register', { name: 'one', class: 'container', leader: world.leader('one.service') });
  const two = { name: 'two', class: 'container', leader: world.leader('two.service', { owner: 1000 }) };
  const manage = 'manage-machines';
  const paths = { src: '/a', dest: '/a' };
  const cases: readonly (readonly [string, object, string, object])[] = [
    ['Machine.Register', two, 'register-machine', { name: 'two', class: 'container' }],
    ['Machine.Register', { ...two, allocateUnit: true }, 'create-machine', { name: 'two', class: 'container' }],
    ['Machine.Unregister', { name: 'one' }, manage, { name: 'one', verb: 'unregister' }],
    ['Machine.Terminate', { name: 'one' }, manage, { name: 'one', verb: 'terminate' }],
    ['Machine.Kill', { name: 'one', signal: 9 }, manage, { name: 'one', verb: 'kill' }],
    ['Machine.BindMount', { name: 'one', source: '/a' }, manage, { name: 'one', verb: 'bind', ...paths }],
    ['Machine.CopyFrom', { name: 'one', source: '/a' }, manage, { name: 'one', verb: 'copy', ...paths }],
    ['Machine.CopyTo', { name: 'one', source: '/a' }, manage, { name: 'one', verb: 'copy', ...paths }],
    ['Machine.OpenRootDirectory', { name: 'one' }, manage, { name: 'one', verb: 'open_root_directory' }],
  ];
  for (const [method, parameters, action, details] of cases) {
    for (const interactive of [false, true]) {
      world.authority.asked.length = 0;
      const call = user.call(`io.systemd.${method}`, { ...parameters, allowInteractiveAuthentication: interactive });
      await failsWith(call, 'io.systemd.InteractiveAuthenticationRequired');
      const asked = world.authority.asked.map(({ request }) => request);
      assert.deepEqual(asked, [{ action: `org.freedesktop.machine1.${action}`, details, interactive }], method);
    }
  }
  for (const [mode, action] of [['tty', 'open-pty'], ['login', 'login'], ['shell', 'shell']]) {
    for (const name of ['one', '.host']) {
      world.authority.asked.length = 0;
      await failsWith(machine(user, 'Open', { name, mode }), 'io.systemd.InteractiveAuthenticationRequired');
      const [{ request }] = world.authority.asked as [(typeof world.authority.asked)[0]];
      assert.equal(request.action, `org.freedesktop.machine1.${name === '.host' ? 'host-' : ''}${action}`);
    }
  }
  assert.deepEqual([world.machines.size, world.units.signals, world.units.stopped], [1, [], []]);
});

test('a user cannot read the environment or set the log level, and is told what it asked', async () => {
  await using setup = await setUp();
  const { client, user } = setup;
  const service = (who: VarlinkClient, method: string, parameters = {}) => who.call(`io.systemd.service.${method}`, parameters);
  await failsWith(service(user, 'SetLogLevel', { level: 7 }), 'org.varlink.service.PermissionDenied', { level: 7 });
  await failsWith(service(user, 'GetEnvironment'), 'org.varlink.service.PermissionDenied');
  assert.deepEqual({ ...(await service(client, 'GetEnvironment')) }, { environment: ['A=b'] });
  await service(client, 'SetLogLevel', { level: '7' });
  await isInvalid(service(client, 'SetLogLevel', { level: 'debug' }), 'level');
  await isInvalid(service(client, 'SetLogLevel'), 'level');
  assert.deepEqual({ ...(await service(user, 'GetLogLevel')) }, { level: 7 });
  await service(client, 'SetLogLevel', { level: null });
  assert.deepEqual({ ...(await service(user, 'GetLogLevel')) }, { level: 6 });
  assert.deepEqual({ ...(await service(user, 'Ping')) }, {});
  const method = 'io.systemd.service.Reload';
  await failsWith(service(client, 'Reload'), 'org.varlink.service.MethodNotFound', { method });
});

test('says what it is', async () => {
  await using setup = await setUp();
  const { user } = setup;
  const { interfaces } = await user.call('org.varlink.service.GetInfo');
  assert.deepEqual(interfaces, [
    'io.systemd.Machine', 'io.systemd.MachineImage', 'io.systemd.Resolve.Hook', 'io.systemd.UserDatabase', 'io.systemd.service',
    'org.varlink.service',
  ]);
  for (const name of interfaces) {
    const { description } = await user.call('org.varlink.service.GetInterfaceDescription', { interface: name });
    assert.ok((description as string).includes(`interface ${name}\n`));
  }
  const unknown = user.call('org.varlink.service.GetInterfaceDescription', { interface: 'a.b' });
  await failsWith(unknown, 'org.varlink.service.InterfaceNotFound', { interface: 'a.b' });
  await failsWith(user.call('a.b.C'), 'org.varlink.service.MethodNotFound', { method: 'a.b.C' });
  await failsWith(user.call('constructor'), 'org.varlink.service.MethodNotFound', { method: 'constructor' });
});

test('users and groups of containers have records', async () => {
  await using setup = await setUp();
  const { client, user, world } = setup;
  const mappings = [{ inside: 0, outside: 700_000, count: 65536 }];
  const mapped = { userMappings: mappings, groupMappings: mappings };
  await machine(client, 'Register', { name: 'a-b', class: 'container', leader: world.leader('a.service', mapped) });
  const longName = 'x'.repeat(27);
  const far = [{ inside: 0, outside: 900_000, count: 65536 }];
  const leader = world.leader('b.service', { userMappings: far, groupMappings: far });
  await machine(client, 'Register', { name: longName, class: 'container', leader });
  const service = 'io.systemd.Machine';
  const find = async (kind: 'User' | 'Group', parameters: object) =>
    (await user.call(`io.systemd.UserDatabase.Get${kind}Record`, { service, ...parameters }))['record'] as JsonObject;
  const userRecord = {
    userName: 'vu-a-b-1000', uid: 701_000, gid: 65534, realName: 'UID 1000 of Container a-b', homeDirectory: '/',
    shell: '/usr/sbin/nologin', locked: true, service, disposition: 'container',
  };
  for (const by of [{ userName: 'vu-a-b-1000' }, { uid: 701_000 }, { uid: 701_000, userName: 'vu-a-b-1000' }]) {
    assert.deepEqual({ ...(await find('User', by)) }, userRecord);
  }
  assert.deepEqual({ ...(await find('Group', { gid: 700_000 })) }, {
    groupName: 'vg-a-b-0', gid: 700_000, description: 'GID 0 of Container a-b', service, disposition: 'container',
  });
  const database = (name: string) => `io.systemd.UserDatabase.${name}`;
  for (const userName of ['root', 'vu-a-b-', 'vu-a-b-65535', 'vu-a-b-65536', 'vu-a-b-00', 'vg-a-b-0', 'vu-nope-0', `vu-${longName}-0`]) {
    await failsWith(find('User', { userName }), database('NoRecordFound'));
  }
  for (const uid of [0, 1000, 65_536, 699_999, 765_536, 900_000]) await failsWith(find('User', { uid }), database('NoRecordFound'));
  await failsWith(find('User', { uid: 765_535 }), 'io.systemd.System', system(22, 'EINVAL'));
  await failsWith(find('User', { uid: 701_000, userName: 'vu-a-b-1' }), database('ConflictingRecordFound'));
  await failsWith(find('Group', {}), database('EnumerationNotSupported'));
  await failsWith(find('User', { service: 'io.systemd.Other', uid: 1 }), database('BadService'));
  await failsWith(find('User', { userName: 'x'.repeat(300) }), database('NoRecordFound'));
  for (const userName of ['', 'a:b', '7', ' x', '-']) await isInvalid(find('User', { userName }), 'userName');
  await isInvalid(find('User', { uidMin: 0 }), 'uidMin');
  await failsWith(user.call(database('GetMemberships'), { service, userName: 'vu-a-b-0' }), database('NoRecordFound'));
});

test('ids map both ways at once', async () => {
  await using setup = await setUp();
  const { client, world } = setup;
  const map = (outside: number) => [{ inside: 0, outside, count: 65536 }];
  for (const [name, base] of [['one', 700_000], ['two', 900_000]] as const) {
    const leader = world.leader(`${name}.service`, { userMappings: map(base), groupMappings: map(base) });
    await machine(client, 'Register', { name, class: 'container', leader });
  }
  assert.deepEqual({ ...(await machine(client, 'MapFrom', { name: 'one', uid: 1, gid: 2 })) }, { uid: 700_001, gid: 700_002 });
  assert.deepEqual({ ...(await machine(client, 'MapFrom', { name: 'one' })) }, {});
  const interactive = machine(client, 'MapFrom', { name: 'one', uid: 1, allowInteractiveAuthentication: false });
  await isInvalid(interactive, 'allowInteractiveAuthentication');
  for (const ids of [{}, { uid: 1 }]) await failsWith(machine(client, 'MapFrom', { name: '.host', ...ids }), 'io.systemd.Machine.NotSupported');
  const both = { uid: 900_001, gid: 900_002 };
  assert.deepEqual({ ...(await machine(client, 'MapTo', both)) }, { uid: 1, gid: 2, machineName: 'two' });
  await failsWith(machine(client, 'MapTo', { ...both, gid: 700_002 }), 'io.systemd.Machine.NoSuchMachine');
  await failsWith(machine(client, 'MapTo'), 'io.systemd.Machine.NoSuchMachine');
  await failsWith(machine(client, 'MapTo', { uid: 900_001, gid: 9 }), 'io.systemd.Machine.GroupInHostRange');
  await isInvalid(machine(client, 'MapTo', { name: 'one', uid: 900_001 }), 'name');
});

test('the hook of resolved hears of machines as they come and go', async () => {
  await using setup = await setUp();
  const { client, registry, user, world } = setup;
  const heard: unknown[] = [];
  const listener = await registry.connectRaw({ uid: 0, pid: world.processes.spawn() });
  listener.listen('io.systemd.Resolve.Hook.QueryFilter', ({ filterDomains }) => void heard.push(filterDomains));
  await until(() => heard.length === 1);
  await machine(client, 'Register', { name: 'one', class: 'container', leader: world.leader('one.service') });
  await until(() => heard.length === 2);
  await machine(client, 'Unregister', { name: 'one' });
  await until(() => heard.length === 3);
  assert.deepEqual(heard, [[], ['one'], []]);
  assert.deepEqual({ ...(await user.call('io.systemd.Resolve.Hook.QueryFilter')) }, { filterDomains: [] });
  const connections = registry.connections;
  listener[Symbol.dispose]();
  await until(() => registry.connections === connections - 1);
});

test('the hook of resolved answers for containers with addresses', async () => {
  await using setup = await setUp();
  const { client, world } = setup;
  const leader = world.leader('one.service');
  world.guests.guests.set(leader, {
    addresses: [
      { family: 2, bytes: Uint8Array.of(192, 0, 2, 1), interfaceIndex: 2 },
      { family: 10, bytes: Uint8Array.from({ length: 16 }, (_, index) => index), interfaceIndex: 2 },
    ],
  });
  await machine(client, 'Register', { name: 'one', class: 'container', leader });
  const shared = world.leader('two.service');
  world.guests.guests.set(shared, {});
  await machine(client, 'Register', { name: 'two', class: 'container', leader: shared });
  await machine(client, 'Register', { name: 'vm', class: 'vm', leader: world.leader('vm.service') });
  const ask = async (name: string, type: number) =>
    client.call('io.systemd.Resolve.Hook.ResolveRecord', { question: [{ key: { class: 1, type, name } }] });
  const { rcode, answer } = await ask('one', 1);
  assert.equal(rcode, 0);
  const [only] = answer as unknown as [{ rr: object; raw: string }];
  assert.deepEqual(JSON.parse(JSON.stringify(only.rr)), { key: { class: 1, type: 1, name: 'one' }, address: [192, 0, 2, 1] });
  assert.deepEqual([...Buffer.from(only.raw, 'base64')], [3, 111, 110, 101, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 192, 0, 2, 1]);
  assert.equal(((await ask('one', 28))['answer'] as unknown[]).length, 1);
  for (const name of ['nope', 'ONE', 'one.', '.', '', 'x.nope', 'nope.one.']) assert.deepEqual({ ...(await ask(name, 1)) }, {}, name);
  for (const name of ['one', 'two', 'vm']) assert.deepEqual({ ...(await ask(name, 16)) }, { rcode: 0, answer: [] }, name);
  for (const name of ['x.one', 'y.x.two', 'one.vm', '*.one']) assert.deepEqual({ ...(await ask(name, 1)) }, { rcode: 3 }, name);
  for (const name of ['a..b', '.one', 'one\n', 'x'.repeat(64)]) await isInvalid(ask(name, 1), 'question');
  await failsWith(ask('two', 1), 'io.systemd.System', system(64, 'ENONET'));
  await failsWith(ask('vm', 1), 'io.systemd.System', system(95, 'EOPNOTSUPP'));
  world.guests.behind.set(7, [{ family: 2, bytes: Uint8Array.of(192, 0, 2, 7), interfaceIndex: 3 }]);
  await machine(client, 'Register', { name: 'wired', class: 'vm', ifIndices: [7], leader: world.leader('wired.service') });
  assert.deepEqual((await ask('wired', 1))['answer'], [{
    rr: { key: { class: 1, type: 1, name: 'wired' }, address: [192, 0, 2, 7] },
    raw: Buffer.from([5, ...Buffer.from('wired'), 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 192, 0, 2, 7]).toString('base64'),
  }]);
  await isInvalid(ask('.host', 1), 'question');

  type Key = readonly [name: string, type: number, recordClass?: number];
  const askAll = async (...keys: Key[]) => {
    const question = keys.map(([name, type, recordClass = 1]) => ({ key: { class: recordClass, type, name } }));
    const { rcode, answer } = await client.call('io.systemd.Resolve.Hook.ResolveRecord', { question });
    return [rcode, (answer as unknown[] | undefined)?.length];
  };
  const outcomes: readonly (readonly [Key[], readonly unknown[]])[] = [
    [[['one', 1], ['one', 28]], [0, 2]],
    [[['x.one', 1], ['one', 1], ['nope', 1]], [0, 1]],
    [[['nope', 1], ['x.one', 1]], [3, undefined]],
    [[['one', 1], ['one', 1], ['ONE', 1], ['one.', 1]], [0, 1]],
    [[['ONE', 1], ['one', 1]], [undefined, undefined]],
    [[['one', 1, 3]], [0, 0]],
    [[['two', 1, 255], ['nope', 1]], [0, 0]],
  ];
  for (const [keys, outcome] of outcomes) assert.deepEqual(await askAll(...keys), outcome, JSON.stringify(keys));
  await failsWith(askAll(['one', 1], ['two', 1], ['vm', 1]), 'io.systemd.System', system(64, 'ENONET'));
  await isInvalid(askAll(), 'question');
});

test('clients that come, ask, and break off leave nothing behind', async () => {
  await using setup = await setUp();
  const { client, registry, world } = setup;
  await machine(client, 'Register', { name: 'one', class: 'container', leader: world.leader('one.service') });
  const descriptors = () => readdirSync('/proc/self/fd').length;
  const before = [descriptors(), registry.connections];
  const identity = { uid: 0, pid: world.processes.spawn() };
  const call = (method: string, more = false) => encodeFrame({ method, parameters: {}, ...(more ? { more } : {}) });
  for (let round = 0; round < 20; round++) {
    const breaking = await registry.connectRaw(identity);
    breaking.send(call('io.systemd.Machine.List', true));
    breaking.send(call('io.systemd.Resolve.Hook.QueryFilter', true));
    for (let count = 0; count < round * 100; count++) breaking.send(call('io.systemd.service.Ping'));
    breaking.send(Buffer.from('{"half'));
    if (round % 2 === 0) await turn();
    breaking[Symbol.dispose]();
  }
  await until(() => registry.connections === before[1]);
  assert.deepEqual([descriptors(), registry.connections], before);
  await machine(client, 'List', { name: 'one' });
  assert.deepEqual(world.log.errors, []);
});

async function until(condition: () => boolean): Promise<void> {
  for (const deadline = Date.now() + 5_000; !condition(); await turn()) {
    if (Date.now() > deadline) assert.fail(`timed out: ${String(condition)}`);
  }
}
