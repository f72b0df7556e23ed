// What is particular to org.freedesktop.machine1 on D-Bus: wording, signals, objects, and who may call what.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { PolkitAuthorization } from '../../src/contract/authorization.js';
import { machineInterface } from '../../src/contract/dbus/machine.js';
import { managerInterface } from '../../src/contract/dbus/manager.js';
import { logLevelNames } from '../../src/ports/log.js';
import { readExtendedProperties } from '../../src/front/dbus/extended-registration.js';
import { BusError } from '../../src/transport/dbus/bus-error.js';
import type { BusConnection } from '../../src/transport/dbus/connection.js';
import { variant, type Variant } from '../../src/wire/dbus/value.js';
import { startBus, type TestBus } from '../support/bus.js';
import { DBusRegistry, machinePath, machineProperties, manager, settled } from '../support/registry-dbus.js';
import { World } from '../support/world.js';

let bus: TestBus;
before(async () => {
  bus = await startBus();
});
after(() => bus[Symbol.asyncDispose]());

const standard = 'org.freedesktop.DBus.Error.';
const machineName = 'org.freedesktop.machine1.Machine';

async function setUp(world = new World()) {
  const registry = await DBusRegistry.start(bus, world);
  const caller = world.processes.spawn();
  const [client, user] = [
    await registry.connectRaw({ uid: 0, pid: caller }),
    await registry.connectRaw({ uid: 1000, pid: world.processes.spawn({ owner: 1000 }) }),
  ];
  return { world, registry, client, user, caller, [Symbol.asyncDispose]: () => registry[Symbol.asyncDispose]() };
}

/** A call whose arguments need not fit. */
function callAny(client: BusConnection, member: string, signature = '', body: readonly unknown[] = [], target: object = manager) {
  return client.call({ ...manager, ...target, member, signature, body: body });
}

async function failsWith(call: Promise<unknown>, name: string, message: string): Promise<void> {
  await assert.rejects(call, (error) => {
    assert.ok(error instanceof BusError, String(error));
    assert.deepEqual([error.busName, error.message], [name, message]);
    return true;
  });
}

const register = (name: string, leader: number, changed: Partial<Record<'id' | 'class' | 'root', unknown>> = {}) =>
  [name, changed.id ?? new Uint8Array(), 'svc', changed.class ?? 'container', leader, changed.root ?? ''] as const;

test('machines are announced once, in order, with their path, and before the answer', async () => {
  await using setup = await setUp();
  const { client, world } = setup;
  const heard: unknown[] = [];
  const rule = { interface: manager.interface, path: manager.path };
  using _ = await client.subscribe({ rule, signature: 'so' }, (body, signal) => void heard.push([signal.member, ...body]));
  const leader = world.leader('one.service');
  await callAny(client, 'RegisterMachine', 'sayssus', register('a-b', leader));
  const path = machinePath('a-b');
  assert.deepEqual(heard, [['MachineNew', 'a-b', path]]);
  await callAny(client, 'CreateMachine', 'sayssusa(sv)', [...register('c', world.leader('c.service')), []]);
  await callAny(client, 'UnregisterMachine', 's', ['a-b']);
  await callAny(client, 'UnregisterMachine', 's', ['c']);
  await settled(client);
  assert.deepEqual(heard, [
    ['MachineNew', 'a-b', path], ['MachineNew', 'c', machinePath('c')],
    ['MachineRemoved', 'a-b', path], ['MachineRemoved', 'c', machinePath('c')],
  ]);
  world.units.holdsJobs = true;
  const failing = callAny(client, 'CreateMachine', 'sayssusa(sv)', [...register('d', world.leader('d.service')), []]);
  failing.catch(() => undefined);
  await until(() => heard.length === 5);
  world.units.end('machine-d.scope');
  await until(() => heard.length === 6);
  assert.deepEqual(heard.slice(4).map((signal) => (signal)[0]), ['MachineNew', 'MachineRemoved']);
});

test('who takes the name announces the machines that are there', async () => {
  const world = new World();
  {
    await using setup = await setUp(new World());
    await callAny(setup.client, 'RegisterMachine', 'sayssus', register('other', setup.world.leader('a.service')));
  }
  const leader = world.leader('one.service');
  using listener = await bus.connect();
  const heard: unknown[] = [];
  using _ = await listener.subscribe({ rule: { interface: manager.interface }, signature: 'so' }, ([name]) => void heard.push(name));
  {
    await using setup = await setUp(world);
    await callAny(setup.client, 'RegisterMachine', 'sayssus', register('one', leader));
  }
  await using next = await setUp(restarted(world));
  await settled(listener);
  assert.deepEqual(heard, ['one', 'one']);
  await callAny(next.client, 'GetMachine', 's', ['one']);
});

test('registration is refused in the words of the original', async () => {
  await using setup = await setUp();
  const { client, world } = setup;
  const leader = world.leader('one.service');
  const attempt = (name: string, pid: number, changed = {}) =>
    callAny(client, 'RegisterMachine', 'sayssus', register(name, pid, changed));
  const invalid = `${standard}InvalidArgs`;
  await failsWith(attempt('', leader), invalid, 'Invalid machine name');
  await failsWith(attempt('one', leader, { id: new Uint8Array(15) }), invalid, 'Invalid machine ID parameter');
  await failsWith(attempt('one', leader, { class: 'bogus' }), invalid, 'Invalid machine class parameter');
  await failsWith(attempt('one', leader, { class: '' }), `${standard}NotSupported`, 'Operation not supported');
  await failsWith(attempt('one', leader, { root: 'srv' }), invalid, 'Root directory must be empty or an absolute path');
  await failsWith(attempt('one', 1), invalid, 'Invalid leader PID');
  const noProcess = `${standard}UnixProcessIdUnknown`;
  await failsWith(attempt('one', 999_999), noProcess, 'Failed to pin process 999999: No such process');
  await failsWith(attempt('one', 0xffffffff), noProcess, 'Failed to pin process -1: No such process');
  const network = callAny(client, 'RegisterMachineWithNetwork', 'sayssusai', [...register('one', leader), [-1]]);
  await failsWith(network, invalid, 'Invalid network interface index -1');
  assert.equal(world.machines.size, 0);
  await attempt('one', leader, { id: new Uint8Array(16), root: '/srv/../etc' });
  const { Id, RootDirectory } = await machineProperties(client, 'one');
  assert.deepEqual([Id, RootDirectory], [new Uint8Array(), '/srv/../etc']);
  await failsWith(attempt('one', leader), 'org.freedesktop.machine1.MachineExists', "Machine 'one' already exists");
  await failsWith(attempt('two', leader), `${standard}FileExists`, 'File exists');
  const wrong = callAny(client, 'RegisterMachine', 's', ['one']);
  const message = "Invalid arguments 's' to call org.freedesktop.machine1.Manager.RegisterMachine(), expecting 'sayssus'.";
  await failsWith(wrong, invalid, message);
});

test('a missing class is only told to whom may register', async () => {
  await using setup = await setUp();
  const attempt = callAny(setup.user, 'RegisterMachine', 'sayssus', register('one', setup.world.leader('a.service'), { class: '' }));
  await assert.rejects(attempt, (error) => (error as BusError).busName === `${standard}InteractiveAuthorizationRequired`);
  assert.deepEqual(setup.world.authority.asked[0]?.request.details, { name: 'one' });
});

test('the Ex methods take what they are given by name', async () => {
  await using setup = await setUp();
  const { client, world, caller } = setup;
  const leader = world.leader('one.service');
  const identity = world.processes.open(leader).identity;
  const everything: [string, Variant][] = [
    ['Class', variant('s', 'vm')], ['LeaderPID', variant('u', leader)], ['LeaderPIDFDID', variant('t', identity.pidfdId ?? 0n)],
    ['Id', variant('ay', Buffer.alloc(16, 0xab))], ['Service', variant('s', 'svc')], ['RootDirectory', variant('s', '/srv/x')],
    ['NetworkInterfaces', variant('ai', [2, 3])], ['VSockCID', variant('u', 99)], ['SSHAddress', variant('s', 'vsock/99')],
    ['SSHPrivateKeyPath', variant('s', '/k')], ['Service', variant('s', 'the last one counts')],
  ];
  const [path] = await callAny(client, 'RegisterMachineEx', 'sa(sv)', ['one', everything]);
  assert.equal(path, machinePath('one'));
  assert.deepEqual(await machineProperties(client, 'one'), {
    Name: 'one', Id: new Uint8Array(16).fill(0xab), Timestamp: 1_700_000_000_000_000n, TimestampMonotonic: 5_000_000n,
    Service: 'the last one counts', Unit: 'one.service', Subgroup: '', Leader: leader, LeaderPIDFDId: identity.pidfdId,
    Supervisor: caller, SupervisorPIDFDId: world.processes.open(caller).identity.pidfdId, Class: 'vm', RootDirectory: '/srv/x',
    NetworkInterfaces: [2, 3], VSockCID: 99, SSHAddress: 'vsock/99', SSHPrivateKeyPath: '/k', State: 'running', UID: 0,
  });
  assert.deepEqual(await callAny(client, 'GetMachineSSHInfo', 's', ['one']), ['vsock/99', '/k']);
});

test('the Ex methods refuse what they do not know', async () => {
  await using setup = await setUp();
  const { client, world } = setup;
  const leader = world.leader('one.service');
  const id = world.processes.open(leader).identity.pidfdId ?? 0n;
  const attempt = (...properties: [string, Variant][]) =>
    callAny(client, 'RegisterMachineEx', 'sa(sv)', ['one', [['Class', variant('s', 'container')], ...properties]]);
  const invalid = `${standard}InvalidArgs`;
  const both = 'Both LeaderPID and LeaderPIDFDID must be specified to identify the leader process by PIDFDID';
  await failsWith(attempt(['LeaderPID', variant('u', leader)]), invalid, both);
  await failsWith(attempt(['LeaderPIDFDID', variant('t', id)]), invalid, both);
  await failsWith(attempt(['Id', variant('s', 'x')]), invalid, 'Invalid machine ID parameter');
  const another = attempt(['LeaderPID', variant('u', leader)], ['LeaderPIDFDID', variant('t', id + 1n)]);
  await failsWith(another, `${standard}UnixProcessIdUnknown`, `Failed to pin process ${leader} by PIDFDID ${id + 1n}: No such process`);
  await failsWith(attempt(['Frobnicate', variant('s', 'x')]), invalid, "Unknown property 'Frobnicate'");
  await failsWith(attempt(['constructor', variant('s', 'x')]), invalid, "Unknown property 'constructor'");
  await failsWith(attempt(['VSockCID', variant('u', 1)]), invalid, "JSON field 'vSockCid' is not a regular VSOCK CID.");
  await failsWith(attempt(['Service', variant('u', 1)]), 'System.Error.ENXIO', 'No such device or address');
  const nothing = callAny(client, 'RegisterMachineEx', 'sa(sv)', ['one', []]);
  await failsWith(nothing, `${standard}NotSupported`, 'Operation not supported');
  assert.deepEqual([world.machines.size, world.seen.openHandles], [0, 0]);
});

test('a leader is what all that is said of it agrees on, and 0 says nothing', () => {
  const { processes } = new World();
  const pid = processes.spawn({});
  const { pidfdId } = processes.open(pid).identity;
  const open = (...properties: [string, Variant][]) => readExtendedProperties('one', properties, processes).leader?.identity.pid;
  const pidfd = ['LeaderPIDFD', variant('h', processes.pidFdOf(pid))] as [string, Variant];
  const id = (number: bigint) => ['LeaderPIDFDID', variant('t', number)] as [string, Variant];
  const number = (leader: number) => ['LeaderPID', variant('u', leader)] as [string, Variant];
  assert.ok(pidfdId !== undefined);
  assert.equal(open(pidfd, id(pidfdId), number(pid)), pid);
  assert.equal(open(pidfd, id(0n), number(0)), pid);
  assert.equal(open(number(0), id(0n)), undefined);
  const refuses = (message: string, ...properties: [string, Variant][]) => assert.throws(() => open(...properties), { message });
  refuses('LeaderPIDFDID does not match the inode number of LeaderPIDFD', pidfd, id(pidfdId + 1n));
  refuses('LeaderPID and LeaderPIDFD refer to different processes', pidfd, number(pid + 1), id(pidfdId + 1n));
  refuses('Failed to parse PIDFD 999: Inappropriate ioctl for device', ['LeaderPIDFD', variant('h', 999)]);
});

test('scope properties go to the service manager as they are, and its refusal comes back', async () => {
  await using setup = await setUp();
  const { client, world } = setup;
  const leader = world.leader('one.service');
  const create = (...properties: [string, Variant][]) =>
    callAny(client, 'CreateMachine', 'sayssusa(sv)', [...register('one', leader), properties]);
  world.units.refusedProperties.add('Nope');
  await failsWith(create(['Nope', variant('s', 'x')]), 'test.NoProperty', 'No property Nope');
  await create(['TasksMax', variant('t', 55n)], ['Description', variant('s', 'Mine')]);
  assert.deepEqual(world.units.requests.at(-1)?.properties, [
    { name: 'TasksMax', signature: 't', value: 55n }, { name: 'Description', signature: 's', value: 'Mine' },
  ]);
});

test('every method about machines is for whom its declaration says', async () => {
  await using setup = await setUp();
  const { client, user, world } = setup;
  const leader = world.leader('one.service');
  await callAny(client, 'RegisterMachine', 'sayssus', register('one', leader));
  const samples: Record<string, unknown> = {
    s: 'one', u: world.leader('two.service'), ay: new Uint8Array(), i: 15, b: false, t: 1n, ai: [], 'a(sv)': [], as: ['x'],
  };
  const special: Record<string, unknown> = { class: 'container', whom: 'leader', root_directory: '', source: '/a', destination: '/b', path: '', environment: [] };
  for (const declaration of [managerInterface, machineInterface]) {
    for (const [member, method] of Object.entries(declaration.methods)) {
      if (method.authorization.kind === 'anyone' || /Image|Pool/.test(member)) continue;
      const polkit = method.authorization as PolkitAuthorization;
      const registers = /^(Register|Create)Machine/.test(member);
      const input = Object.entries(method.in as Record<string, string>);
      const body = input.map(([name, type]) => (registers && name === 'name' ? 'new' : (special[name] ?? samples[type])));
      if (member.endsWith('MachineEx')) body[1] = [['Class', variant('s', 'container')]];
      const path = declaration === machineInterface ? machinePath('one') : manager.path;
      world.authority.asked.length = 0;
      const signature = input.map(([, type]) => type).join('');
      await assert.rejects(callAny(user, member, signature, body, { path, interface: declaration.name }), (error) => {
        assert.equal((error as BusError).busName, `${standard}InteractiveAuthorizationRequired`, member);
        return true;
      });
      const [{ caller, request }] = world.authority.asked as [(typeof world.authority.asked)[0]];
      assert.deepEqual([request.action, request.details['verb'], caller.uid], [polkit.action, polkit.verb, 1000], member);
      if (polkit.subject !== undefined) assert.equal(request.details[polkit.subject], registers ? 'new' : 'one', member);
      assert.equal(world.authority.asked.length, 1, member);
    }
  }
  assert.deepEqual([world.machines.size, world.processes.signals, world.units.stopped], [1, [], []]);
});

test('no bus call is made about a caller who needs no authorization', async (context) => {
  await using setup = await setUp();
  const { user, registry } = setup;
  const ask = context.mock.method(registry.server, 'callForDescriptors');
  await callAny(user, 'ListMachines');
  await callAny(user, 'GetMachine', 's', ['.host']);
  assert.equal(ask.mock.callCount(), 0);
});

test('objects answer for themselves', async () => {
  await using setup = await setUp();
  const { client, world } = setup;
  const leader = world.leader('one.service');
  await callAny(client, 'RegisterMachine', 'sayssus', register('one', leader));
  const one = { path: machinePath('one'), interface: machineName };
  await callAny(client, 'Kill', 'si', ['leader', 10], one);
  assert.deepEqual(world.processes.signals, [{ pid: leader, signal: 10 }]);
  assert.deepEqual(await callAny(client, 'GetUIDShift', '', [], one), [0]);
  const unknown = callAny(client, 'Kill', 'si', ['leader', 10], { path: machinePath('nope'), interface: machineName });
  await failsWith(unknown, `${standard}UnknownObject`, `Unknown object '${machinePath('nope')}'.`);
  await callAny(client, 'Terminate', '', [], one);
  await until(() => world.events.length === 2);
});

test("the host's addresses are its own", async () => {
  await using setup = await setUp();
  const { client, world } = setup;
  assert.deepEqual(await callAny(client, 'GetMachineAddresses', 's', ['.host']), [[]]);
  world.guests.host.push({ family: 2, bytes: Uint8Array.of(192, 0, 2, 9), interfaceIndex: 2 });
  assert.deepEqual(await callAny(client, 'GetMachineAddresses', 's', ['.host']), [[[2, Uint8Array.of(192, 0, 2, 9)]]]);
});

test('a virtual machine has the addresses behind its network interfaces, or none can be had', async () => {
  await using setup = await setUp();
  const { client, world } = setup;
  world.guests.behind.set(7, [{ family: 2, bytes: Uint8Array.of(192, 0, 2, 7), interfaceIndex: 3 }]);
  const wired = [...register('wired', world.leader('wired.service'), { class: 'vm' }), [7, 8]];
  await callAny(client, 'RegisterMachineWithNetwork', 'sayssusai', wired);
  await callAny(client, 'RegisterMachine', 'sayssus', register('vm', world.leader('vm.service'), { class: 'vm' }));
  const expected = [[[2, Uint8Array.of(192, 0, 2, 7)]]];
  assert.deepEqual(await callAny(client, 'GetMachineAddresses', 's', ['wired']), expected);
  const object = { path: machinePath('wired'), interface: 'org.freedesktop.machine1.Machine' };
  assert.deepEqual(await callAny(client, 'GetAddresses', '', [], object), expected);
  const refusal = 'Requesting IP address data is only supported on container machines.';
  await failsWith(callAny(client, 'GetMachineAddresses', 's', ['vm']), 'org.freedesktop.DBus.Error.NotSupported', refusal);
});

test('a process is asked for by a number that a process can have', async () => {
  await using setup = await setUp();
  await failsWith(callAny(setup.client, 'GetMachineByPID', 'u', [0x80000000]), `${standard}InvalidArgs`, 'Invalid argument');
  const message = 'PID 2147483647 does not belong to any known machine';
  await failsWith(callAny(setup.client, 'GetMachineByPID', 'u', [0x7fffffff]), 'org.freedesktop.machine1.NoMachineForPID', message);
});

test("'self' is the machine that the caller runs in, and no other", async () => {
  await using setup = await setUp();
  const { client, registry, world } = setup;
  const leader = world.leader('one.service');
  await callAny(client, 'RegisterMachine', 'sayssus', register('one', leader));
  const inside = await registry.connectRaw({ uid: 1000, pid: world.processes.spawn({ parent: leader }) });
  assert.equal((await machineProperties(inside, 'self'))['Name'], 'one');
  await failsWith(machineProperties(client, 'self'), `${standard}UnknownObject`, `Unknown object '${machinePath('self')}'.`);
  await callAny(client, 'RegisterMachine', 'sayssus', register('self', world.leader('two.service')));
  await failsWith(machineProperties(client, 'self'), `${standard}UnknownObject`, `Unknown object '${machinePath('self')}'.`);
  assert.equal((await machineProperties(inside, 'self'))['Name'], 'one');
});

test('the standard interfaces', async () => {
  await using setup = await setUp();
  const { client, world } = setup;
  await callAny(client, 'RegisterMachine', 'sayssus', register('a-b', world.leader('one.service')));
  const introspect = async (path: string) => {
    const [xml] = await callAny(client, 'Introspect', '', [], { path, interface: 'org.freedesktop.DBus.Introspectable' });
    return [...String(xml).matchAll(/<node name="([^"]*)"/g)].map(([, name]) => name);
  };
  assert.deepEqual(await introspect('/'), ['org']);
  assert.deepEqual(await introspect('/org/freedesktop'), ['LogControl1', 'machine1']);
  assert.deepEqual(await introspect(manager.path), ['image', 'machine']);
  assert.deepEqual(await introspect(`${manager.path}/machine`), ['_2ehost', 'a_2db']);
  assert.deepEqual(await introspect(machinePath('a-b')), []);
  await assert.rejects(introspect(machinePath('nope')), /Unknown object/);
  const peer = { interface: 'org.freedesktop.DBus.Peer', path: '/anything' };
  assert.deepEqual(await callAny(client, 'Ping', '', [], peer), []);
  assert.deepEqual(await callAny(client, 'GetMachineId', '', [], peer), [world.processes.hostId]);
  const properties = { interface: 'org.freedesktop.DBus.Properties', path: machinePath('a-b') };
  assert.deepEqual(await callAny(client, 'Get', 'ss', [machineName, 'State'], properties), [variant('s', 'running')]);
  const nope = callAny(client, 'Get', 'ss', [machineName, 'Nope'], properties);
  await failsWith(nope, `${standard}UnknownProperty`, `Unknown interface ${machineName} or property Nope.`);
  const set = callAny(client, 'Set', 'ssv', [machineName, 'Name', variant('s', 'x')], properties);
  await failsWith(set, `${standard}PropertyReadOnly`, "Property 'Name' is not writable.");
  const [all] = await callAny(client, 'GetAll', 's', [''], properties);
  const shown = Object.values(machineInterface.properties).filter(({ hidden }) => !hidden);
  assert.equal((all as Map<string, unknown>).size, shown.length);
  assert.deepEqual(await callAny(client, 'Get', 'ss', [machineName, 'Scope'], properties), [variant('s', 'one.service')]);
  const unknown = callAny(client, 'Nope');
  await failsWith(unknown, `${standard}UnknownMethod`, 'Unknown method Nope or interface org.freedesktop.machine1.Manager.');
});

test('arguments of the standard interfaces are looked at first, and what is too much is passed over', async () => {
  await using setup = await setUp();
  const { client } = setup;
  const nowhere = { interface: 'org.freedesktop.DBus.Properties', path: '/nowhere' };
  const invalid = `${standard}InvalidArgs`;
  await failsWith(callAny(client, 'GetAll', '', [], nowhere), invalid, 'Expected interface parameter');
  await failsWith(callAny(client, 'Get', 's', [machineName], nowhere), invalid, 'Expected interface and member parameters');
  await failsWith(callAny(client, 'Set', 'v', [variant('s', 'x')], nowhere), invalid, 'Expected interface and member parameters');
  await failsWith(callAny(client, 'GetAll', 's', [machineName], nowhere), `${standard}UnknownObject`, "Unknown object '/nowhere'.");
  const nameless = callAny(client, 'GetMachine', 's', ['.host'], { interface: undefined });
  await failsWith(nameless, `${standard}UnknownObject`, `Unknown object '${manager.path}'.`);
  const introspectable = { interface: 'org.freedesktop.DBus.Introspectable', path: '/nowhere' };
  await failsWith(callAny(client, 'Introspect', 's', ['x'], introspectable), invalid, 'Expected no parameters');
  const host = { ...nowhere, path: machinePath('.host') };
  assert.deepEqual(await callAny(client, 'Get', 'ssu', [machineName, 'Class', 7], host), [variant('s', 'host')]);
  const readOnly = callAny(client, 'Set', 'ss', [machineName, 'Name'], host);
  await failsWith(readOnly, `${standard}PropertyReadOnly`, "Property 'Name' is not writable.");
  const log = { ...nowhere, path: '/org/freedesktop/LogControl1' };
  const set = (signature: string, ...value: unknown[]) =>
    callAny(client, 'Set', signature, ['org.freedesktop.LogControl1', 'LogLevel', ...value], log);
  const noVariant = "Incorrect signature when setting property 'LogLevel', expected 'v', got '";
  await failsWith(set('sss', 'info'), `${standard}InvalidSignature`, `${noVariant}s'.`);
  await failsWith(set('ss(s)', ['info']), `${standard}InvalidSignature`, `${noVariant}r'.`);
  await failsWith(set('ss'), `${standard}InvalidSignature`, noVariant);
  await set('ssvs', variant('s', 'info'), 'more');
});

test('the log is controlled by root', async () => {
  await using setup = await setUp();
  const { client, user, world } = setup;
  const log = { interface: 'org.freedesktop.DBus.Properties', path: '/org/freedesktop/LogControl1' };
  const set = (who: BusConnection, name: string, value: string) =>
    callAny(who, 'Set', 'ssv', ['org.freedesktop.LogControl1', name, variant('s', value)], log);
  await set(client, 'LogTarget', 'journal');
  assert.equal(world.log.target, 'journal');
  await set(client, 'LogLevel', '3');
  assert.equal(logLevelNames[world.log.level], 'err');
  await failsWith(set(client, 'LogLevel', '8'), `${standard}InvalidArgs`, "Invalid log level '8'");
  await failsWith(set(client, 'LogLevel', 'loud'), `${standard}InvalidArgs`, "Invalid log level 'loud'");
  await failsWith(set(client, 'LogTarget', 'moon'), `${standard}InvalidArgs`, "Invalid log target 'moon'");
  await failsWith(set(client, 'SyslogIdentifier', 'x'), `${standard}PropertyReadOnly`, "Property 'SyslogIdentifier' is not writable.");
  await failsWith(set(user, 'LogTarget', 'null'), `${standard}AccessDenied`, 'Permission denied');
  assert.equal(world.log.target, 'journal');
});

test('what D-Bus cannot carry is an error of one call, not the end', async () => {
  await using setup = await setUp();
  const { client, world } = setup;
  const leader = world.leader('one.service');
  world.guests.guests.set(leader, { osRelease: new Map([['ID', 'a\0b']]) });
  await callAny(client, 'RegisterMachine', 'sayssus', register('one', leader));
  await failsWith(callAny(client, 'GetMachineOSRelease', 's', ['one']), `${standard}Failed`, 'Internal error, see the log');
  assert.equal(world.log.errors.length, 1);
  await callAny(client, 'GetMachine', 's', ['one']);
});

test('credentials that could not be had are asked for again', async (context) => {
  await using setup = await setUp();
  const { client, registry, world } = setup;
  const leader = world.leader('one.service');
  const busy = new BusError(`${standard}NoReply`, 'busy');
  const ask = context.mock.method(registry.server, 'callForDescriptors', () => Promise.reject(busy));
  const attempt = () => callAny(client, 'RegisterMachine', 'sayssus', register('one', leader));
  await failsWith(attempt(), `${standard}AccessDenied`, 'Permission denied');
  ask.mock.restore();
  await attempt();
});

function restarted(before: World): World {
  const world = new World(before);
  world.machines.restore();
  return world;
}

async function until(condition: () => boolean): Promise<void> {
  for (const deadline = Date.now() + 5_000; !condition(); await turn()) {
    if (Date.now() > deadline) assert.fail(`timed out: ${String(condition)}`);
  }
}
