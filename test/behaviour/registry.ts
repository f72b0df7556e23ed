// What the registry does, whichever way it is asked: one suite for all front ends.
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { systemFailure } from '../../src/domain/failure.js';
import { closingGraceMilliseconds } from '../../src/service/residence.js';
import type { KnownFailure, RegistryClient, RegistryHarness } from '../support/registry-harness.js';
import { World } from '../support/world.js';

/** `makeHarness` puts a front end before a world, a new one unless one is given. */
export function registrySuite(name: string, makeHarness: (world?: World) => Promise<RegistryHarness>): void {
  const behaviour = (what: string, body: (ready: Ready & { readonly context: TestContext }) => Promise<void>): void => {
    test(`${name}: ${what}`, async (context) => {
      await using harness = await makeHarness();
      await body({ ...(await ready(harness)), context });
      assert.deepEqual(harness.world.log.errors, [], 'nothing failed unexpectedly');
      const held = harness.world.machines;
      held[Symbol.dispose]();
      assert.equal(harness.world.seen.openHandles, 0, 'every hold on a process is let go of');
    });
  };

  behaviour('registers a machine where its leader is', async ({ root, world, caller }) => {
    const leader = world.leader('work.service');
    await root.register({
      name: 'one', leader, service: 'tests', id: 'aabbccddeeff00112233445566778899', rootDirectory: '/srv/one',
      networkInterfaces: [3, 7], class: 'vm',
    });
    assert.deepEqual(await root.describe('one'), {
      name: 'one', class: 'vm', service: 'tests', id: 'aabbccddeeff00112233445566778899', unit: 'work.service', subgroup: '',
      leader, supervisor: caller.pid, rootDirectory: '/srv/one', owner: 0,
    });
    const stored = world.store.stored.get('one')?.machine;
    assert.deepEqual(stored?.networkInterfaces, [3, 7]);
    assert.equal(stored?.state, 'running');
    assert.deepEqual(world.events, ['+one']);
    assert.deepEqual(world.units.requests, []);
  });

  behaviour('registers the caller as the leader, which then has no supervisor', async ({ root, world, caller }) => {
    world.units.enter('caller.service', caller.pid);
    await root.register({ name: 'me' });
    const { leader, supervisor, unit } = await root.describe('me');
    assert.deepEqual({ leader, supervisor, unit }, { leader: caller.pid, supervisor: undefined, unit: 'caller.service' });
  });

  behaviour('remembers the cgroup of a leader below its unit', async ({ root, world }) => {
    const leader = world.processes.spawn();
    world.units.enter('work.service', leader, 'payload');
    await root.register({ name: 'one', leader });
    const { unit, subgroup } = await root.describe('one');
    assert.deepEqual([unit, subgroup], ['work.service', 'payload']);
  });

  behaviour('gives a leader that is registered in its supervisor\'s place all of the unit', async ({ root, world, caller }) => {
    const leader = world.processes.spawn();
    for (const pid of [caller.pid, leader]) world.units.enter('nspawn.service', pid, 'supervisor');
    await root.register({ name: 'one', leader });
    const { unit, subgroup } = await root.describe('one');
    assert.deepEqual([unit, subgroup], ['nspawn.service', '']);

    // with another supervisor, it stays where it is
    const other = world.processes.spawn();
    world.units.enter('other.service', other, 'supervisor');
    await root.register({ name: 'two', leader: other });
    assert.equal((await root.describe('two')).subgroup, 'supervisor');
  });

  behaviour('makes a scope for a machine and moves its leader there', async ({ root, world }) => {
    const leader = world.leader('session.scope');
    await root.register({ name: 'a-b', leader, inScope: true });
    assert.equal((await root.describe('a-b')).unit, 'machine-a\\x2db.scope');
    assert.equal(world.processes.cgroupOf(leader), '/machine.slice/machine-a\\x2db.scope');
    const [request] = world.units.requests;
    assert.deepEqual([request?.description, request?.leader.pid, request?.properties], ['Container a-b', leader, []]);
    assert.deepEqual(world.events, ['+a-b']);
    assert.deepEqual([world.store.stored.get('a-b')?.machine.state, world.store.stored.get('a-b')?.job], ['running', '']);
  });

  behaviour('announces a machine before its scope is there, and answers after', async ({ root, world }) => {
    const leader = world.leader('session.scope');
    world.units.holdsJobs = true;
    let answered = false;
    const registration = root.register({ name: 'one', leader, inScope: true }).then(() => (answered = true));
    await until(() => world.events.length > 0);
    assert.equal((await root.describe('one')).leader, leader);
    assert.deepEqual([world.machines.find('one')?.state, answered], ['opening', false]);
    assert.notEqual(world.store.stored.get('one')?.job, '');
    world.units.finishJob('machine-one.scope');
    await registration;
    assert.equal(world.machines.find('one')?.state, 'running');
    assert.deepEqual(world.events, ['+one']);
  });

  for (const bad of ['', '..', 'a/b', '.host', 'a.', '.a', 'a b', '-a', 'a-', 'ümlaut', 'x'.repeat(65)]) {
    behaviour(`refuses the name '${bad}'`, async ({ root, world, fails }) => {
      await fails(root.register({ name: bad, leader: world.leader('work.service') }), 'invalid argument');
      assert.deepEqual(await root.list(), ['.host']);
    });
  }

  behaviour('takes the longest name, dots, digits and underscores', async ({ root, world }) => {
    const names = ['x'.repeat(64), 'a.b-c.9', '9lives', 'under_score', '_'];
    for (const [index, machine] of names.entries()) await root.register({ name: machine, leader: world.leader(`w${index}.service`) });
    assert.deepEqual(await root.list(), ['.host', ...names]);
  });

  for (const [what, wrong] of [
    ['a class that is none', { class: 'bogus' }],
    ['the class of the host', { class: 'host' }],
    ['a relative root directory', { rootDirectory: 'srv' }],
    ['a root directory that is too long', { rootDirectory: `/${'x'.repeat(4095)}` }],
    ['an id that is too short', { id: 'aabb' }],
    ['interface 0', { networkInterfaces: [0] }],
    ['a negative interface', { networkInterfaces: [2, -1] }],
    ['PID 1 as leader', { leader: 1 }],
  ] as const) {
    behaviour(`refuses ${what}`, async ({ root, world, fails }) => {
      await fails(root.register({ name: 'one', leader: world.leader('work.service'), ...wrong }), 'invalid argument');
      await fails(root.describe('one'), 'no such machine');
      assert.deepEqual([world.events, world.store.stored.size], [[], 0]);
    });
  }

  behaviour('a name is taken once, and the first machine stays', async ({ root, world, fails }) => {
    const leader = world.leader('one.service');
    await root.register({ name: 'one', leader });
    await fails(root.register({ name: 'one', leader: world.leader('two.service') }), 'machine exists');
    await fails(root.register({ name: 'one', leader: world.leader('three.service'), inScope: true }), 'machine exists');
    await root.register({ name: 'One', leader: world.leader('four.service') });
    assert.equal((await root.describe('one')).leader, leader);
    assert.deepEqual(world.events, ['+one', '+One']);
    assert.deepEqual(world.units.requests, []);
  });

  behaviour('a leader leads one machine; trying for a second harms nobody', async ({ root, world, fails }) => {
    const leader = world.leader('one.service');
    await root.register({ name: 'one', leader });
    await fails(root.register({ name: 'two', leader }), 'already registered');
    await fails(root.register({ name: 'two', leader, inScope: true }), 'already registered');
    await turns();
    assert.deepEqual(await root.list(), ['.host', 'one']);
    assert.deepEqual([world.units.stopped, world.processes.signals, world.events], [[], [], ['+one']]);
    assert.deepEqual([...world.store.stored.keys()], ['one']);
  });

  behaviour('a unit holds one machine; trying for a second harms nobody', async ({ root, world, fails }) => {
    const leader = world.leader('one.service');
    const other = world.leader('one.service');
    await root.register({ name: 'one', leader });
    await fails(root.register({ name: 'two', leader: other }), 'already registered');
    await turns();
    assert.deepEqual(await root.list(), ['.host', 'one']);
    assert.deepEqual([world.units.stopped, world.processes.signals, world.events], [[], [], ['+one']]);
  });

  behaviour('machines in different cgroups of a unit share it', async ({ root, world }) => {
    for (const group of ['a', 'b']) {
      const leader = world.processes.spawn();
      world.units.enter('work.service', leader, group);
      await root.register({ name: group, leader });
    }
    assert.deepEqual(await root.list(), ['.host', 'a', 'b']);
  });

  behaviour('the list is that of the moment', async ({ root, world }) => {
    await root.register({ name: 'one', leader: world.leader('one.service') });
    assert.deepEqual(await root.list(), ['.host', 'one']);
    assert.deepEqual(await root.list(), ['.host', 'one']);
    await root.unregister('one');
    await root.register({ name: 'two', leader: world.leader('two.service') });
    assert.deepEqual(await root.list(), ['.host', 'two']);
    await root.unregister('two');
    assert.deepEqual(await root.list(), ['.host']);
  });

  behaviour('a leader outside of any unit needs a scope', async ({ root, world, fails }) => {
    const leader = world.processes.spawn({ cgroup: '/' });
    await fails(root.register({ name: 'one', leader }), 'no unit');
    await root.register({ name: 'one', leader, inScope: true });
    assert.deepEqual(world.events, ['+one']);
  });

  behaviour('lists the host and the machines in the order of their registration', async ({ root, world }) => {
    assert.deepEqual(await root.list(), ['.host']);
    for (const machine of ['b', 'a', 'c']) await root.register({ name: machine, leader: world.leader(`${machine}.service`) });
    assert.deepEqual(await root.list(), ['.host', 'b', 'a', 'c']);
    await root.unregister('a');
    assert.deepEqual(await root.list(), ['.host', 'b', 'c']);
  });

  behaviour('knows the host', async ({ root }) => {
    const { name: host, class: itsClass, leader, owner, unit } = await root.describe('.host');
    assert.deepEqual([host, itsClass, leader, owner, unit], ['.host', 'host', 1, 0, '-.slice']);
  });

  behaviour('finds the machine of a process: its leader, its unit, its ancestors', async ({ root, world, caller, fails }) => {
    const leader = world.leader('one.service');
    await root.register({ name: 'one', leader });
    assert.equal(await root.nameOf(leader), 'one');
    const colleague = world.processes.spawn();
    world.units.enter('one.service', colleague);
    assert.equal(await root.nameOf(colleague), 'one');
    const child = world.processes.spawn({ parent: leader, cgroup: '/elsewhere' });
    assert.equal(await root.nameOf(world.processes.spawn({ parent: child })), 'one');
    for (const stranger of [1, caller.pid, 999_999]) await fails(root.nameOf(stranger), 'no machine for this process');
  });

  behaviour('a unit whose machine lives below it says nothing of its other processes', async ({ root, world, fails }) => {
    const supervisor = world.processes.spawn();
    world.units.enter('nspawn.service', supervisor, 'supervisor');
    const leader = world.processes.spawn({ parent: supervisor });
    world.units.enter('nspawn.service', leader, 'payload');
    await root.register({ name: 'one', leader });
    const inside = world.processes.spawn({ parent: leader });
    world.units.enter('nspawn.service', inside, 'payload/system.slice');
    assert.equal(await root.nameOf(inside), 'one');
    await fails(root.nameOf(supervisor), 'no machine for this process');
  });

  behaviour('PID 0 is the caller', async ({ harness, root, world, fails }) => {
    await fails(root.nameOf(0), 'no machine for this process');
    const leader = world.leader('one.service');
    await root.register({ name: 'one', leader });
    const inside = await harness.connect({ uid: 1000, pid: world.processes.spawn({ parent: leader }) });
    assert.equal(await inside.nameOf(0), 'one');
  });

  behaviour('says so where there is no such machine', async ({ root, fails }) => {
    for (const missing of ['nope', 'under_score']) {
      await fails(root.describe(missing), 'no such machine');
      await fails(root.unregister(missing), 'no such machine');
      await fails(root.terminate(missing), 'no such machine');
      await fails(root.kill(missing, 'all', 15), 'no such machine');
      await fails(root.mapFrom('user', missing, 0), 'no such machine');
    }
  });

  behaviour('unregisters a machine, and leaves its processes and its unit alone', async ({ root, world, fails }) => {
    const leader = world.leader('one.service');
    await root.register({ name: 'one', leader });
    await root.unregister('one');
    await fails(root.describe('one'), 'no such machine');
    await fails(root.unregister('one'), 'no such machine');
    await fails(root.nameOf(leader), 'no machine for this process');
    assert.deepEqual([world.events, world.store.stored.size], [['+one', '-one'], 0]);
    assert.deepEqual([world.units.stopped, world.processes.signals], [[], []]);
    await root.register({ name: 'one', leader });
    assert.deepEqual(world.events, ['+one', '-one', '+one']);
  });

  behaviour('gives back the scope of a machine that is unregistered', async ({ root, world }) => {
    await root.register({ name: 'one', leader: world.leader('session.scope'), inScope: true });
    await root.unregister('one');
    await turns();
    assert.deepEqual([world.units.released, world.units.stopped], [['machine-one.scope'], []]);
  });

  behaviour('the host cannot be ended', async ({ root, world, fails }) => {
    await root.unregister('.host');
    assert.deepEqual(await root.list(), ['.host']);
    await assert.rejects(root.terminate('.host'));
    await assert.rejects(root.kill('.host', 'leader', 15));
    await fails(root.kill('.host', 'leader', 65), 'invalid argument');
    assert.deepEqual([world.processes.signals, world.units.stopped, world.events], [[], [], []]);
  });

  for (const inScope of [true, false]) {
    behaviour(`terminates a machine ${inScope ? 'with its scope' : 'with the unit that it was registered in'}`, async ({ root, world, fails }) => {
      const leader = world.leader('one.service');
      await root.register({ name: 'one', leader, inScope });
      const { unit } = await root.describe('one');
      const ending = root.terminate('one');
      await ending;
      assert.deepEqual(world.units.stopped, [unit]);
      await until(() => world.events.length === 2);
      assert.deepEqual(world.events, ['+one', '-one']);
      await fails(root.terminate('one'), 'no such machine');
      assert.equal(world.store.stored.size, 0);
      assert.throws(() => world.processes.open(leader));
    });
  }

  behaviour('a machine is closing as long as its unit is being stopped', async ({ root, world, context }) => {
    await root.register({ name: 'one', leader: world.leader('one.service'), inScope: true });
    context.mock.method(world.units, 'stop', async () => '/job/7');
    await root.terminate('one');
    const { machine, job } = world.store.stored.get('one') ?? assert.fail();
    assert.deepEqual([machine.state, job], ['closing', '/job/7']);
    await root.terminate('one');
    world.units.end('machine-one.scope');
    await turns();
    assert.deepEqual(world.events, ['+one', '-one']);
  });

  behaviour('a unit that cannot be stopped leaves its machine running', async ({ root, world, context, fails }) => {
    await root.register({ name: 'one', leader: world.leader('one.service') });
    const stop = context.mock.method(world.units, 'stop', () => Promise.reject(systemFailure('ESRCH', 'busy')));
    await fails(root.terminate('one'), 'no such process');
    stop.mock.restore();
    world.units.end('one.service'); // for another reason, and the leader lives on
    await turns();
    assert.deepEqual([world.machines.find('one')?.state, world.events], ['running', ['+one']]);
  });

  behaviour('sends signals to the leader, the supervisor, or everybody', async ({ root, world, caller, fails }) => {
    const leader = world.leader('one.service');
    await root.register({ name: 'one', leader });
    await root.kill('one', 'leader', 10);
    await root.kill('one', 'supervisor', 12);
    assert.deepEqual(world.processes.signals, [{ pid: leader, signal: 10 }, { pid: caller.pid, signal: 12 }]);
    await root.kill('one', 'all', 1);
    await root.kill('one', '', 64);
    const everybody = { unit: 'one.service', subgroup: '' };
    assert.deepEqual(world.units.signals, [{ ...everybody, signal: 1 }, { ...everybody, signal: 64 }]);
    await fails(root.kill('one', 'bogus', 15), 'invalid argument');
    for (const signal of [0, 65, -1]) await fails(root.kill('one', 'leader', signal), 'invalid argument');
    world.processes.exit(caller.pid);
    await fails(root.kill('one', 'supervisor', 15), 'no such process');
  });

  behaviour('sends signals below a unit only to the cgroup of the machine', async ({ root, world }) => {
    const leader = world.processes.spawn();
    world.units.enter('nspawn.service', leader, 'payload');
    await root.register({ name: 'one', leader });
    await root.kill('one', 'all', 15);
    assert.deepEqual(world.units.signals, [{ unit: 'nspawn.service', subgroup: 'payload', signal: 15 }]);
  });

  behaviour('there is no supervisor where the caller leads the machine', async ({ root, world, caller, fails }) => {
    world.units.enter('caller.service', caller.pid);
    await root.register({ name: 'me' });
    await fails(root.kill('me', 'supervisor', 15), 'no such process');
  });

  behaviour('a machine ends with its leader', async ({ root, world, fails }) => {
    const leader = world.leader('one.service');
    await root.register({ name: 'one', leader });
    world.processes.exit(leader);
    await until(() => world.events.length === 2);
    assert.deepEqual([world.events, world.store.stored.size], [['+one', '-one'], 0]);
    await fails(root.describe('one'), 'no such machine');
  });

  behaviour('a machine whose leader ended waits a while for its unit to end', async ({ root, world, context }) => {
    const leader = world.leader('one.service');
    world.leader('one.service'); // stays behind
    await root.register({ name: 'one', leader });
    context.mock.timers.enable({ apis: ['setTimeout'] });
    world.processes.exit(leader);
    await turns();
    context.mock.timers.tick(closingGraceMilliseconds - 1);
    assert.deepEqual(world.events, ['+one']);
    context.mock.timers.tick(1);
    assert.deepEqual(world.events, ['+one', '-one']);
  });

  behaviour('… and goes with its unit, if that ends sooner', async ({ root, world, context }) => {
    const leader = world.leader('one.service');
    const last = world.leader('one.service');
    await root.register({ name: 'one', leader });
    context.mock.timers.enable({ apis: ['setTimeout'] });
    world.processes.exit(leader);
    await turns();
    world.processes.exit(last);
    await turns();
    assert.deepEqual(world.events, ['+one', '-one']);
    context.mock.timers.tick(2 * closingGraceMilliseconds);
    assert.deepEqual(world.events, ['+one', '-one']);
  });

  behaviour('a service manager that cannot be asked does not end a machine, nor the daemon', async ({ root, world, context }) => {
    const leader = world.leader('one.service');
    await root.register({ name: 'one', leader });
    context.mock.method(world.units, 'isActive', () => Promise.reject(systemFailure('ECONNRESET', 'no bus')));
    context.mock.method(world.units, 'watch', () => ({ [Symbol.dispose]: () => undefined }));
    await root.register({ name: 'two', leader: world.leader('two.service') });
    context.mock.timers.enable({ apis: ['setTimeout'] });
    world.processes.exit(world.machines.byName('two').leader.pid);
    await turns();
    assert.deepEqual(world.events, ['+one', '+two']);
    context.mock.timers.tick(closingGraceMilliseconds);
    assert.deepEqual(world.events, ['+one', '+two', '-two']);
  });

  behaviour('a machine ends with the scope that was made for it, whoever survives', async ({ root, world }) => {
    const leader = world.leader('session.scope');
    await root.register({ name: 'one', leader, inScope: true });
    world.units.end('machine-one.scope');
    await turns();
    assert.deepEqual([world.events, world.units.released], [['+one', '-one'], ['machine-one.scope']]);
    assert.doesNotThrow(() => world.processes.open(leader));
  });

  behaviour('a machine that is somewhere else by now outlives the unit that it was registered in', async ({ root, world }) => {
    await root.register({ name: 'one', leader: world.leader('one.service') });
    world.units.end('one.service');
    await turns();
    assert.deepEqual(world.events, ['+one']);
    world.processes.exit(world.machines.byName('one').leader.pid);
    await until(() => world.events.length === 2);
  });

  behaviour('a leader that is no more cannot be registered', async ({ root, world }) => {
    const leader = world.leader('one.service');
    world.processes.exit(leader);
    await assert.rejects(root.register({ name: 'one', leader }));
    await assert.rejects(root.register({ name: 'one', leader, inScope: true }));
    assert.deepEqual([await root.list(), world.events, world.store.stored.size], [['.host'], [], 0]);
  });

  behaviour('a scope that is refused leaves nothing behind', async ({ root, world, context }) => {
    context.mock.method(world.units, 'startScope', () => Promise.reject(systemFailure('EINVAL', 'no')));
    const leader = world.leader('session.scope');
    await assert.rejects(root.register({ name: 'one', leader, inScope: true }));
    assert.deepEqual([await root.list(), world.events, world.store.stored.size], [['.host'], [], 0]);
    await turns();
    assert.deepEqual([world.units.released, world.processes.signals], [[], []]);
    await root.register({ name: 'one', leader });
  });

  behaviour('a scope that fails takes back the announcement', async ({ root, world, fails }) => {
    world.units.holdsJobs = true;
    const registration = root.register({ name: 'one', leader: world.leader('session.scope'), inScope: true });
    registration.catch(() => undefined);
    await until(() => world.events.length > 0);
    world.units.finishJob('machine-one.scope', systemFailure('ESRCH', 'it failed'));
    await fails(registration, 'no such process');
    assert.deepEqual([world.events, world.store.stored.size], [['+one', '-one'], 0]);
    assert.deepEqual([await root.list(), world.units.released], [['.host'], []]);
  });

  behaviour('a leader that ends as soon as its scope is there takes back the announcement', async ({ root, world, fails }) => {
    world.units.holdsJobs = true;
    const leader = world.leader('session.scope');
    const registration = root.register({ name: 'one', leader, inScope: true });
    registration.catch(() => undefined);
    await until(() => world.events.length > 0);
    world.units.finishJob('machine-one.scope');
    world.processes.exit(leader);
    await fails(registration, 'no such process');
    await turns();
    assert.deepEqual([world.events, world.store.stored.size], [['+one', '-one'], 0]);
    assert.deepEqual(world.units.released, ['machine-one.scope']);
  });

  behaviour('where no state file can be written, nothing is registered', async ({ root, world, fails, context }) => {
    world.store.failWith('ENOSPC');
    for (const inScope of [false, true]) {
      await fails(root.register({ name: 'one', leader: world.leader(`w${inScope}.service`), inScope }), 'full');
    }
    assert.deepEqual([await root.list(), world.events, world.units.requests], [['.host'], [], []]);
    world.store.failWith(undefined);
    const full = context.mock.method(world.store, 'save', () => {
      throw systemFailure('ENOSPC', 'no space is left by now');
    });
    await fails(root.register({ name: 'one', leader: world.leader('one.service'), inScope: true }), 'full');
    full.mock.restore();
    await turns();
    assert.deepEqual([await root.list(), world.events, world.units.released], [['.host'], [], ['machine-one.scope']]);
    assert.deepEqual([world.store.stored.size, world.store.intended.size], [0, 0]);
    await root.register({ name: 'two', leader: world.leader('two.service') });
  });

  behaviour('a state file that cannot be removed does not keep its machine', async ({ root, world, context }) => {
    await root.register({ name: 'one', leader: world.leader('one.service') });
    context.mock.method(world.store, 'remove', () => {
      throw systemFailure('EROFS', 'read-only');
    });
    await root.unregister('one');
    assert.deepEqual([await root.list(), world.events], [['.host'], ['+one', '-one']]);
  });

  behaviour('a machine may be unregistered while its scope is accepted, and while it is made', async ({ root, world, context, fails }) => {
    world.units.holdsJobs = true;
    const { promise: accepted, resolve: accept } = deferred<void>();
    const startScope = world.units.startScope.bind(world.units);
    const patched = context.mock.method(world.units, 'startScope', async (request: Parameters<typeof startScope>[0]) => {
      await accepted;
      return startScope(request);
    });
    const early = root.register({ name: 'early', leader: world.leader('a.scope'), inScope: true });
    early.catch(() => undefined);
    await until(() => world.machines.find('early') !== undefined);
    await root.unregister('early');
    accept();
    await fails(early, 'given up');
    patched.mock.restore();
    assert.deepEqual([world.events, world.store.stored.size], [[], 0], 'it was never announced');
    world.units.finishJob('machine-early.scope');

    const late = root.register({ name: 'late', leader: world.leader('b.scope'), inScope: true });
    late.catch(() => undefined);
    await until(() => world.events.length > 0);
    await root.unregister('late');
    const successor = world.leader('successor.service');
    await root.register({ name: 'late', leader: successor });
    world.units.finishJob('machine-late.scope');
    await fails(late, 'given up');
    await turns();
    assert.deepEqual(world.events, ['+late', '-late', '+late']);
    assert.equal((await root.describe('late')).leader, successor, 'the successor is left alone');
    assert.deepEqual([...world.store.stored.keys()], ['late']);
    assert.deepEqual(world.units.released, ['machine-early.scope', 'machine-late.scope']);
  });

  behaviour('a machine may be terminated before its scope is there', async ({ root, world, context }) => {
    world.units.holdsJobs = true;
    const leader = world.leader('session.scope');
    const registration = root.register({ name: 'one', leader, inScope: true });
    await until(() => world.events.length > 0);
    const tooEarly = context.mock.method(world.units, 'stop', async () => '');
    await root.terminate('one');
    tooEarly.mock.restore();
    world.units.finishJob('machine-one.scope');
    await registration;
    await until(() => world.events.length === 2);
    assert.deepEqual([world.units.stopped, world.store.stored.size], [['machine-one.scope'], 0]);
    assert.throws(() => world.processes.open(leader));
  });

  behaviour('a daemon that stops leaves a registration that is under way to the next one', async ({ harness, root, world }) => {
    world.units.holdsJobs = true;
    const registration = root.register({ name: 'one', leader: world.leader('session.scope'), inScope: true });
    registration.catch(() => undefined);
    await until(() => world.events.length > 0);
    world.machines[Symbol.dispose]();
    world.units.finishJob('machine-one.scope');
    await assert.rejects(registration, (error) => {
      harness.isFailure(error, 'given up');
      return true;
    });
    assert.deepEqual([world.events, [...world.store.stored.keys()], world.units.released], [['+one'], ['one'], []]);
    using next = new World(world);
    next.machines.restore();
    assert.equal(next.machines.byName('one').state, 'running');
  });

  behaviour('a scope that the daemon did not hear of any more has a machine, or is none', async ({ root, world, context }) => {
    const { promise: never, resolve: end } = deferred<void>();
    context.mock.method(world.units, 'startScope', async () => {
      await never;
      throw systemFailure('ECONNRESET', 'the daemon is no more');
    });
    const there = world.leader('a.scope');
    const registrations = [
      root.register({ name: 'there', leader: there, inScope: true }),
      root.register({ name: 'not', leader: world.leader('b.scope'), inScope: true }),
      root.register({ name: 'ended', leader: world.leader('c.scope'), inScope: true }),
    ];
    for (const registration of registrations) registration.catch(() => undefined);
    await until(() => world.store.intended.size === registrations.length);
    assert.deepEqual([world.events, world.store.stored.size], [[], 0], 'nobody sees them yet');
    world.processes.exit(world.store.intended.get('ended')?.leader.pid ?? assert.fail());
    world.machines[Symbol.dispose]();
    world.units.enter('machine-there.scope', there);

    using next = new World(world);
    next.machines.restore();
    assert.deepEqual([next.events, [...next.store.stored.keys()], next.store.intended.size], [['+there'], ['there'], 0]);
    assert.equal(next.machines.byName('there').unit, 'machine-there.scope');
    end();
    for (const registration of registrations) await assert.rejects(registration);
    assert.deepEqual([...next.store.stored.keys()], ['there']);
  });

  behaviour('asks polkit for users, with the right action and details', async ({ user, world, userId, fails }) => {
    const leader = world.leader('one.service', { owner: userId.uid });
    const { authority } = world;
    await fails(user.register({ name: 'one', leader }), 'authentication required');
    await fails(user.register({ name: 'one', leader, class: 'vm', inScope: true, interactive: true }), 'authentication required');
    assert.deepEqual([world.machines.size, world.events, world.units.requests], [0, [], []]);
    authority.decide('org.freedesktop.machine1.register-machine', 'denied');
    await fails(user.register({ name: 'one', leader }), 'access denied');
    authority.decide('org.freedesktop.machine1.register-machine', 'allowed');
    await user.register({ name: 'one', leader });
    const asked = authority.asked.map(({ caller, request }) => ({ uid: caller.uid, ...request }));
    const register = { uid: userId.uid, action: 'org.freedesktop.machine1.register-machine', interactive: false };
    const details = { name: 'one', class: 'container' };
    assert.deepEqual(asked, [
      { ...register, details },
      { ...register, action: 'org.freedesktop.machine1.create-machine', interactive: true, details: { name: 'one', class: 'vm' } },
      { ...register, details },
      { ...register, details },
    ]);
  });

  behaviour('root is never asked about', async ({ root, world }) => {
    await root.register({ name: 'one', leader: world.leader('one.service') });
    await root.kill('one', 'leader', 10);
    await root.terminate('one');
    assert.deepEqual(world.authority.asked, []);
  });

  behaviour('a user registers processes of that user only, and owns the machine', async ({ user, root, world, userId, fails }) => {
    world.authority.decide('org.freedesktop.machine1.register-machine', 'allowed');
    world.authority.decide('org.freedesktop.machine1.create-machine', 'allowed');
    await fails(user.register({ name: 'one', leader: world.leader('a.service') }), 'access denied');
    await fails(user.register({ name: 'one', leader: world.leader('b.service', { owner: 1001 }), inScope: true }), 'access denied');
    assert.deepEqual([world.machines.size, world.units.requests], [0, []]);
    await user.register({ name: 'one', leader: world.leader('c.service', { owner: userId.uid }) });
    const { owner, supervisor } = await root.describe('one');
    assert.deepEqual([owner, supervisor], [userId.uid, userId.pid]);
    assert.equal(world.store.stored.get('one')?.machine.owner, userId.uid);
  });

  behaviour('the owner of a machine is let through, others are asked about', async ({ harness, user, world, userId, fails }) => {
    world.authority.decide('org.freedesktop.machine1.register-machine', 'allowed');
    const leader = world.leader('one.service', { owner: userId.uid });
    await user.register({ name: 'one', leader });
    const other = await harness.connect({ uid: 1001, pid: world.processes.spawn({ owner: 1001 }) });
    world.authority.asked.length = 0;
    await fails(other.kill('one', 'leader', 10), 'authentication required');
    await fails(other.terminate('one'), 'authentication required');
    await fails(other.unregister('one'), 'authentication required');
    const verbs = world.authority.asked.map(({ request }) => [request.action, request.details['verb'], Object.values(request.details)[0]]);
    const manage = 'org.freedesktop.machine1.manage-machines';
    assert.deepEqual(verbs, [[manage, 'kill', 'one'], [manage, 'terminate', 'one'], [manage, 'unregister', 'one']]);
    world.authority.asked.length = 0;
    await user.kill('one', 'leader', 10);
    await user.unregister('one');
    assert.deepEqual([world.authority.asked, world.processes.signals], [[], [{ pid: leader, signal: 10 }]]);
  });

  behaviour('a PID that has come to be of another user is nobody\'s supervisor', async ({ harness, world, userId, root }) => {
    world.authority.decide('org.freedesktop.machine1.register-machine', 'allowed');
    const notTheirs = world.processes.spawn({ owner: 0 });
    const swindler = await harness.connect({ uid: userId.uid, pid: notTheirs });
    await swindler.register({ name: 'one', leader: world.leader('one.service', { owner: userId.uid }) });
    assert.equal((await root.describe('one')).supervisor, undefined);
    await assert.rejects(swindler.kill('one', 'supervisor', 9));
    assert.deepEqual(world.processes.signals, []);
  });

  behaviour('who was authorized for a machine does not reach its successor', async ({ user, root, world, context, fails }) => {
    await root.register({ name: 'one', leader: world.leader('one.service') });
    const { promise: verdict, resolve: decide } = deferred<'allowed'>();
    const check = context.mock.method(world.authority, 'check', () => verdict);
    const attempts = [user.kill('one', 'leader', 9), user.unregister('one'), user.terminate('one')];
    for (const attempt of attempts) attempt.catch(() => undefined);
    await until(() => check.mock.callCount() >= 1);
    await turns();
    await root.unregister('one');
    await root.register({ name: 'one', leader: world.leader('two.service') });
    decide('allowed');
    for (const attempt of attempts) await fails(attempt, 'no such machine');
    assert.deepEqual([await root.list(), world.processes.signals, world.units.stopped], [['.host', 'one'], [], []]);
  });

  behaviour('two who register one name at the same time: one machine', async ({ user, root, world, userId, context, fails }) => {
    const { promise: verdict, resolve: decide } = deferred<'allowed'>();
    const check = context.mock.method(world.authority, 'check', () => verdict);
    const slow = user.register({ name: 'one', leader: world.leader('slow.service', { owner: userId.uid }) });
    slow.catch(() => undefined);
    await until(() => check.mock.callCount() === 1);
    await root.register({ name: 'one', leader: world.leader('fast.service') });
    decide('allowed');
    await fails(slow, 'machine exists');
    assert.deepEqual([(await root.describe('one')).unit, world.events], ['fast.service', ['+one']]);
  });

  behaviour('reads what a machine is made of only for whom polkit lets', async ({ root, user, world, fails }) => {
    const leader = world.leader('one.service');
    world.guests.guests.set(leader, { osRelease: new Map([['ID', 'test'], ['NAME', 'A test']]) });
    await root.register({ name: 'one', leader });
    assert.deepEqual(await root.osRelease('one'), { ID: 'test', NAME: 'A test' });
    await fails(user.osRelease('one'), 'authentication required');
    assert.equal(world.authority.asked[0]?.request.action, 'org.freedesktop.machine1.inspect-machines');
  });

  behaviour('maps users and groups of containers', async ({ root, world, fails }) => {
    const base = 1_000_000;
    const mappings = [{ inside: 0, outside: base, count: 65536 }];
    const leader = world.leader('one.service', { userMappings: mappings, groupMappings: [{ inside: 0, outside: 2 * base, count: 65536 }] });
    await root.register({ name: 'one', leader });
    await root.register({ name: 'plain', leader: world.leader('plain.service') });
    await root.register({ name: 'vm', class: 'vm', leader: world.leader('vm.service', { userMappings: mappings }) });
    assert.equal(await root.mapFrom('user', 'one', 0), base);
    assert.equal(await root.mapFrom('user', 'one', 65534), base + 65534);
    assert.equal(await root.mapFrom('group', 'one', 1000), 2 * base + 1000);
    assert.equal(await root.mapFrom('user', 'plain', 1000), 1000);
    await fails(root.mapFrom('user', 'one', 65535), 'invalid argument');
    await fails(root.mapFrom('user', 'one', 65536), 'no such user');
    await fails(root.mapFrom('group', 'one', 65536), 'no such group in the machine');
    await fails(root.mapFrom('user', 'vm', 0), 'not a container');
    assert.deepEqual(await root.mapTo('user', base + 7), { name: 'one', id: 7 });
    assert.deepEqual(await root.mapTo('group', 2 * base + 9), { name: 'one', id: 9 });
    await fails(root.mapTo('user', base - 1), 'no such user');
    await fails(root.mapTo('group', base + 65536), 'no such group');
    await fails(root.mapTo('user', 1000), 'user of the host');
    await fails(root.mapTo('user', 0xffffffff), 'invalid argument');
  });

  behaviour('keeps the ids of a machine whose leader has ended, as its unit may still run', async ({ root, world }) => {
    const mappings = [{ inside: 0, outside: 700_000, count: 65536 }];
    const leader = world.leader('one.service', { userMappings: mappings });
    world.leader('one.service');
    await root.register({ name: 'one', leader });
    assert.equal(await root.mapFrom('user', 'one', 5), 700_005);
    world.processes.exit(leader);
    await turns();
    assert.equal(await root.mapFrom('user', 'one', 5), 700_005);
  });

  behaviour('has one log level, which root alone sets', async ({ root, user, world, fails }) => {
    assert.equal(await user.logLevel(), 6);
    await root.setLogLevel(7);
    assert.deepEqual([world.log.level, await user.logLevel()], [7, 7]);
    await fails(user.setLogLevel(3), 'access denied');
    await fails(root.setLogLevel(8), 'invalid argument');
    assert.equal(world.log.level, 7);
    assert.deepEqual(world.authority.asked, []);
  });

  test(`${name}: after a restart a machine has the part of its unit that it had`, async () => {
    using before = new World();
    {
      await using harness = await makeHarness(before);
      const { root } = await ready(harness);
      for (const machine of ['whole', 'boxed', 'untold']) {
        const leader = before.processes.spawn();
        before.units.enter(`${machine}.service`, leader, machine === 'whole' ? '' : 'payload');
        await root.register({ name: machine, leader });
        before.units.enter(`${machine}.service`, leader, 'payload/init.scope'); // as a guest's systemd moves itself
      }
    }
    // as systemd-machined 262 leaves it
    const untold = before.store.stored.get('untold') ?? assert.fail();
    before.store.stored.set('untold', { ...untold, machine: { ...untold.machine, subgroup: '' } });
    before.store.withoutSubgroup.add('untold');

    const world = new World(before);
    world.machines.restore();
    const subgroups = ['whole', 'boxed', 'untold'].map((machine) => world.machines.find(machine)?.subgroup);
    assert.deepEqual(subgroups, ['', 'payload', 'payload']);
  });

  test(`${name}: after a restart a machine has no supervisor that is gone, and its file what an older version left out`, async () => {
    using before = new World();
    {
      await using harness = await makeHarness(before);
      const { root } = await ready(harness);
      await root.register({ name: 'one', leader: before.leader('one.service') });
    }
    const stored = before.store.stored.get('one') ?? assert.fail();
    const { leader } = stored.machine;
    const old = { leader: { ...leader, pidfdId: undefined }, supervisor: { pid: 999_999, pidfdId: undefined } };
    before.store.stored.set('one', { ...stored, machine: { ...stored.machine, ...old } });

    const world = new World(before);
    world.machines.restore();
    assert.equal(world.machines.find('one')?.supervisor, undefined);
    assert.deepEqual(world.store.stored.get('one')?.machine.leader, leader);
    assert.ok(leader.pidfdId !== undefined);
  });

  test(`${name}: after a restart the machines that run are back, and nothing else`, async () => {
    using before = new World();
    {
      await using harness = await makeHarness(before);
      const { root } = await ready(harness);
      for (const machine of ['kept', 'ended', 'reused', 'inScope', 'damaged']) {
        await root.register({ name: machine, leader: before.leader(`${machine}.service`), inScope: machine === 'inScope' });
      }
    }
    const pidOf = (machine: string) => before.store.stored.get(machine)?.machine.leader.pid ?? assert.fail();
    before.processes.exit(pidOf('ended'));
    before.processes.exit(pidOf('reused'));
    before.processes.spawn({ pid: pidOf('reused') });
    before.store.stored.delete('damaged');
    before.store.damaged = [{ file: '/run/damaged', reason: 'it is no state file' }];
    // as if two daemons had written at once
    const kept = before.store.stored.get('kept') ?? assert.fail();
    before.store.stored.set('twin', { ...kept, machine: { ...kept.machine, name: 'twin' } });

    const world = new World(before);
    world.machines.restore();
    assert.deepEqual(world.events, ['+kept', '-ended', '-reused', '+inScope', '-twin']);
    assert.deepEqual([...world.store.stored.keys()], ['kept', 'inScope']);
    assert.ok(world.log.lines.some(({ level, message }) => level === 4 && message.includes('/run/damaged')));
    await using harness = await makeHarness(world);
    const { root } = await ready(harness);
    assert.deepEqual(await root.list(), ['.host', 'kept', 'inScope']);
    assert.equal((await root.describe('inScope')).unit, 'machine-inScope.scope');
    world.processes.exit(pidOf('kept'));
    await until(() => world.events.includes('-kept'));
    await root.terminate('inScope');
    await until(() => world.events.includes('-inScope'));
    await turns();
    assert.deepEqual([world.store.stored.size, world.units.released], [0, ['machine-inScope.scope']]);
    assert.deepEqual(world.log.errors, []);
    assert.equal(world.seen.openHandles, 0);
  });
}

interface Ready {
  readonly harness: RegistryHarness;
  readonly world: World;
  readonly root: RegistryClient;
  readonly user: RegistryClient;
  readonly caller: { readonly uid: number; readonly pid: number };
  readonly userId: { readonly uid: number; readonly pid: number };
  readonly fails: (call: Promise<unknown>, failure: KnownFailure) => Promise<void>;
}

/** With a client of root's and one of a user's; both run outside of all units. */
async function ready(harness: RegistryHarness): Promise<Ready> {
  const { world } = harness;
  const caller = { uid: 0, pid: world.processes.spawn() };
  const userId = { uid: 1000, pid: world.processes.spawn({ owner: 1000 }) };
  const fails = (call: Promise<unknown>, failure: KnownFailure) =>
    assert.rejects(call, (error) => {
      harness.isFailure(error, failure);
      return true;
    });
  return { harness, world, root: await harness.connect(caller), user: await harness.connect(userId), caller, userId, fails };
}

/** Lets everything that is due happen. */
async function turns(): Promise<void> {
  for (let count = 0; count < 5; count++) await turn();
}

async function until(condition: () => boolean): Promise<void> {
  for (const deadline = Date.now() + 5_000; !condition(); await turn()) {
    if (Date.now() > deadline) assert.fail(`timed out: ${String(condition)}`);
  }
}

/** A promise, and what resolves it. */
function deferred<T>(): { readonly promise: Promise<T>; readonly resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => undefined;
  const promise = new Promise<T>((settle) => (resolve = settle));
  return { promise, resolve: (value) => resolve(value) };
}
