// Units on the cgroup v2 tree of this machine, in a cgroup of their own.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { isFailure } from '../../src/domain/failure.js';
import { CgroupUnits } from '../../src/host/units/cgroup.js';
import { findCgroupBase, removeCgroup, signalCgroup, writeCgroupFile } from '../../src/host/units/cgroup-tree.js';
import type { Log } from '../../src/ports/log.js';
import type { UnitProperty } from '../../src/ports/units.js';
import { unitsSuite, type UnitsWorld } from '../compliance/units.js';
import { Sleepers } from '../support/sleepers.js';

const base = findCgroupBase();

if (base === undefined || base.path !== '') test('plain cgroups', { skip: 'needs root and a writable cgroup v2 tree' });
else {
  unitsSuite('cgroup', () => makeWorld());
  suite('plain cgroups', ownTests);
}

interface CgroupWorld extends UnitsWorld {
  readonly units: CgroupUnits;
  readonly directory: string;
  readonly warnings: string[];
}

async function makeWorld(graceTime?: number): Promise<CgroupWorld> {
  const prefix = `/machined-test-${process.pid}`;
  const directory = path.join(base!.directory, prefix);
  mkdirSync(directory);
  const sleepers = new Sleepers();
  const warnings: string[] = [];
  const log = { warning: (message: string) => void warnings.push(message) } as unknown as Log;
  const units = new CgroupUnits({ directory, path: prefix }, log, graceTime);
  return {
    units,
    directory,
    warnings,
    prefix,
    refused: { name: 'Bogus', signature: 's', value: 'x' },
    spawn: () => sleepers.spawn(),
    spawnIn: async (unit, subgroup) => {
      const sleeper = await sleepers.spawn();
      const cgroup = path.join(directory, 'machine.slice', unit, subgroup);
      mkdirSync(cgroup, { recursive: true });
      writeCgroupFile(cgroup, 'cgroup.procs', `${sleeper.pid}`);
      return sleeper;
    },
    end: (sleeper) => sleepers.end(sleeper),
    isAlive: (sleeper) => sleepers.isAlive(sleeper),
    cgroupOf: (sleeper) => sleepers.cgroupOf(sleeper),
    [Symbol.asyncDispose]: async () => {
      units[Symbol.dispose]();
      signalCgroup(directory, 9);
      await sleepers[Symbol.asyncDispose]();
      for (let round = 0; round < 100 && !removeCgroup(directory); round++) await delay(10);
      assert.equal(existsSync(directory), false);
    },
  };
}

function ownTests(): void {
  const scope = String.raw`machine-t\x2down.scope`;
  const start = async (world: CgroupWorld, properties: readonly UnitProperty[] = []) => {
    const leader = await world.spawn();
    const { done } = await world.units.startScope({ unit: scope, description: '', leader, properties });
    await done;
    return leader;
  };
  /** Watches from now on; resolves when the scope has ended. A watch keeps no process alive, a delay does. */
  const gone = async (world: CgroupWorld): Promise<void> => {
    let ended = false;
    world.units.watch(scope, { gone: () => (ended = true) });
    for (const deadline = Date.now() + 10_000; !ended; await delay(5)) assert.ok(Date.now() < deadline, 'it has ended');
  };

  test('an ended scope leaves no cgroup, nested ones included', async () => {
    await using world = await makeWorld();
    const leader = await start(world);
    const inner = await world.spawnIn(scope, 'a/b/c');
    const directory = path.join(world.directory, 'machine.slice', scope);
    assert.ok(existsSync(directory));
    const ended = gone(world);
    await world.end(leader);
    await world.end(inner);
    await ended;
    assert.equal(existsSync(directory), false);
  });

  test('what does not stop is killed after the grace time', async () => {
    await using world = await makeWorld(100);
    const leader = await start(world, [{ name: 'KillSignal', signature: 'i', value: 23 }]); // SIGURG: ignored by default
    const ended = gone(world);
    await world.units.stop(scope);
    await delay(50);
    assert.equal(world.isAlive(leader), true);
    await ended;
    assert.match(world.warnings.join(), /did not stop in time/);
  });

  test('a scope may say how long its stop may take', async () => {
    await using world = await makeWorld(60_000);
    await start(world, [
      { name: 'KillSignal', signature: 'i', value: 23 },
      { name: 'TimeoutStopUSec', signature: 't', value: 50_000n },
    ]);
    const ended = gone(world);
    await world.units.stop(scope);
    await ended;
  });

  test('further processes are moved along, and moved back if it comes to nothing', async () => {
    await using world = await makeWorld();
    const other = await world.spawn();
    const before = world.cgroupOf(other);
    const moved = { name: 'PIDs', signature: 'au', value: [other.pid] };
    const ended = await world.spawn();
    await world.end(ended);
    const failing = world.units.startScope({ unit: scope, description: '', leader: ended, properties: [moved] });
    await assert.rejects(failing, (error) => isFailure(error, 'system') && error.errno === 'ESRCH');
    assert.equal(world.cgroupOf(other), before);
    assert.equal(existsSync(path.join(world.directory, 'machine.slice', scope)), false);
    await start(world, [moved]);
    assert.deepEqual(world.units.placeOf(world.cgroupOf(other) ?? ''), { unit: scope, subgroup: '' });
  });

  test('a number that has come to mean another process is not taken for the leader', async () => {
    await using world = await makeWorld();
    const [alive, dead] = [await world.spawn(), await world.spawn()];
    const before = world.cgroupOf(alive);
    await world.end(dead);
    const leader = { pid: alive.pid, pidfd: dead.pidfd };
    const failing = world.units.startScope({ unit: scope, description: '', leader, properties: [] });
    await assert.rejects(failing, (error) => isFailure(error, 'system') && error.errno === 'ESRCH');
    assert.equal(world.cgroupOf(alive), before);
  });

  test('an empty cgroup that a crash has left behind is no obstacle', async () => {
    await using world = await makeWorld();
    mkdirSync(path.join(world.directory, 'machine.slice', scope, 'payload'), { recursive: true });
    await start(world);
  });

  test('limits without their controller are told', async () => {
    await using world = await makeWorld();
    await start(world, [{ name: 'TasksMax', signature: 't', value: 77n }]);
    const limit = path.join(world.directory, 'machine.slice', scope, 'pids.max');
    if (existsSync(limit)) assert.equal(readFileSync(limit, 'utf8'), '77\n');
    else assert.match(world.warnings.join(), /pids\.max/);
  });

  test('a lost notice of the kernel is made up for', async (context) => {
    context.mock.timers.enable({ apis: ['setInterval'] });
    await using world = await makeWorld();
    const leader = await start(world);
    let ended = false;
    world.units.watch(scope, { gone: () => (ended = true) });
    context.mock.timers.tick(10_000);
    assert.equal(ended, false);
    await world.end(leader);
    context.mock.timers.tick(10_000);
    assert.equal(ended, true);
  });

  test('units and subgroups that lead elsewhere are refused', async () => {
    await using world = await makeWorld();
    const isInvalid = (error: unknown) => isFailure(error, 'invalid-argument');
    for (const unit of ['..', '../x.scope', 'x', '', 'a/b.scope', 'machine.slice']) {
      await assert.rejects(world.units.killAll(unit, '', 15), isInvalid, unit);
    }
    for (const subgroup of ['..', 'a/../../b', '/a', 'a//b', '.']) {
      await assert.rejects(world.units.killAll(scope, subgroup, 15), isInvalid, subgroup);
    }
  });
}
