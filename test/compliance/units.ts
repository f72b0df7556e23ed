import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { isFailure } from '../../src/domain/failure.js';
import type { ScopeRequest, UnitProperty, Units } from '../../src/ports/units.js';

export interface UnitsProcess {
  readonly pid: number;
  readonly pidfd: number | undefined;
}

/** Units, and processes to put into them. */
export interface UnitsWorld extends AsyncDisposable {
  readonly units: Units;
  /** A property that no scope can have. */
  readonly refused: UnitProperty;
  /** Starts a process outside all scopes, that stays until it gets a fatal signal. */
  spawn(): Promise<UnitsProcess>;
  /** Starts one in a cgroup below that of a unit that is there. */
  spawnIn(unit: string, subgroup: string): Promise<UnitsProcess>;
  /** Resolves once the process has ended, by SIGKILL. */
  end(process: UnitsProcess): Promise<void>;
  isAlive(process: UnitsProcess): boolean;
  cgroupOf(process: UnitsProcess): string | undefined;
  /** The cgroup that the tree of units begins in: '' for the root. */
  readonly prefix: string;
}

const SIGKILL = 9;
const SIGTERM = 15;
let lastScope = 0;
const newScope = () => String.raw`machine-t\x2dcompliance${process.pid}${++lastScope}.scope`;

async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (const deadline = Date.now() + 10_000; !(await condition()); await delay(5)) {
    if (Date.now() > deadline) assert.fail(`timed out: ${what}`);
  }
}

/** Records what becomes of a unit. */
class Recorder {
  readonly ended: string[] = [];

  gone(unit: string): void {
    this.ended.push(unit);
  }
}

/** What every binding of the Units port that has units, and its fake, must do. */
export function unitsSuite(name: string, make: () => Promise<UnitsWorld>): void {
  const request = (unit: string, leader: UnitsProcess, properties: readonly UnitProperty[] = []): ScopeRequest => ({
    unit, description: 'Container t', leader, properties,
  });

  suite(`Units: ${name}`, () => {
    test('a scope holds its leader, until that ends', async () => {
      await using world = await make();
      const { units } = world;
      const unit = newScope();
      const leader = await world.spawn();
      const { done } = await units.startScope(request(unit, leader));
      const recorder = new Recorder();
      units.watch(unit, recorder);
      await done;
      assert.deepEqual(units.placeOf(world.cgroupOf(leader) ?? ''), { unit, subgroup: '' });
      assert.equal(await units.isActive(unit), true);
      await delay(50);
      assert.deepEqual(recorder.ended, []);
      await world.end(leader);
      await until(() => recorder.ended.length > 0, 'the scope has ended');
      assert.equal(await units.isActive(unit), false);
      units.release(unit);
      units.release(unit);
      await delay(50);
      assert.deepEqual(recorder.ended, [unit]);
    });

    test('a name can be used again when its scope has ended and was released', async () => {
      await using world = await make();
      const { units } = world;
      const unit = newScope();
      for (let round = 0; round < 3; round++) {
        const leader = await world.spawn();
        await (await units.startScope(request(unit, leader))).done;
        const recorder = new Recorder();
        units.watch(unit, recorder);
        await world.end(leader);
        await until(() => recorder.ended.length > 0, 'the scope has ended');
        units.release(unit);
        await delay(50);
      }
    });

    test('signals reach all of a scope', async () => {
      await using world = await make();
      const { units } = world;
      const unit = newScope();
      const leader = await world.spawn();
      await (await units.startScope(request(unit, leader))).done;
      const other = await world.spawnIn(unit, 'payload/inner');
      assert.deepEqual(units.placeOf(world.cgroupOf(other) ?? ''), { unit, subgroup: 'payload/inner' });
      const recorder = new Recorder();
      units.watch(unit, recorder);
      await units.killAll(unit, '', SIGTERM);
      await until(() => !world.isAlive(leader) && !world.isAlive(other), 'both have ended');
      await until(() => recorder.ended.length > 0, 'the scope has ended');
    });

    test('signals reach a part of a scope, and no other', async () => {
      await using world = await make();
      const { units } = world;
      const unit = newScope();
      const leader = await world.spawn();
      await (await units.startScope(request(unit, leader))).done;
      const beside = await world.spawnIn(unit, 'beside');
      const inside = await world.spawnIn(unit, 'payload/inner');
      await units.killAll(unit, 'payload', SIGKILL);
      await until(() => !world.isAlive(inside), 'it has ended');
      await delay(50);
      assert.deepEqual([world.isAlive(leader), world.isAlive(beside)], [true, true]);
      assert.equal(await units.isActive(unit), true);
      await units.killAll(unit, '', SIGKILL);
      await until(async () => !(await units.isActive(unit)), 'the scope has ended');
    });

    test('a scope is stopped', async () => {
      await using world = await make();
      const { units } = world;
      const unit = newScope();
      const leader = await world.spawn();
      await (await units.startScope(request(unit, leader))).done;
      const recorder = new Recorder();
      units.watch(unit, recorder);
      await units.stop(unit);
      await until(() => recorder.ended.length > 0, 'the scope has ended');
      // on its way out a process leaves its cgroup before it becomes a zombie
      await until(() => !world.isAlive(leader), 'the leader has ended');
      assert.deepEqual(recorder.ended, [unit]);
    });

    test('who no longer watches hears nothing; who watches too late hears at once', async () => {
      await using world = await make();
      const { units } = world;
      const unit = newScope();
      const leader = await world.spawn();
      await (await units.startScope(request(unit, leader))).done;
      const [first, second, late] = [new Recorder(), new Recorder(), new Recorder()];
      units.watch(unit, first)[Symbol.dispose]();
      units.watch(unit, second);
      await world.end(leader);
      await until(() => second.ended.length > 0, 'the scope has ended');
      units.watch(unit, late);
      assert.deepEqual(late.ended, []);
      await until(() => late.ended.length > 0, 'it has ended before');
      assert.deepEqual(first.ended, []);
    });

    test('there cannot be two of one name, and the first is not harmed', async () => {
      await using world = await make();
      const { units } = world;
      const unit = newScope();
      const [leader, other] = [await world.spawn(), await world.spawn()];
      await (await units.startScope(request(unit, leader))).done;
      const before = world.cgroupOf(other);
      await assert.rejects(units.startScope(request(unit, other)), (error) => isFailure(error, 'system'));
      assert.equal(world.cgroupOf(other), before);
      assert.deepEqual([world.isAlive(leader), world.isAlive(other)], [true, true]);
      assert.equal(await units.isActive(unit), true);
    });

    test('a refused property leaves nothing behind', async () => {
      await using world = await make();
      const { units } = world;
      const unit = newScope();
      const leader = await world.spawn();
      const before = world.cgroupOf(leader);
      await assert.rejects(units.startScope(request(unit, leader, [world.refused])), (error) => isFailure(error));
      assert.equal(await units.isActive(unit), false);
      assert.equal(world.cgroupOf(leader), before);
      assert.equal(world.isAlive(leader), true);
      await (await units.startScope(request(unit, leader))).done;
    });

    test('there is no scope for a process that has ended', async () => {
      await using world = await make();
      const { units } = world;
      const unit = newScope();
      const leader = await world.spawn();
      await world.end(leader);
      const started = units.startScope(request(unit, leader)).then(({ done }) => done);
      await assert.rejects(started, (error) => isFailure(error, 'system'));
      assert.equal(await units.isActive(unit), false);
    });

    test('units that are not there cannot be signalled, and need not be stopped', async () => {
      await using world = await make();
      const { units } = world;
      const unit = newScope();
      const isMissing = (error: unknown) => isFailure(error, 'system') && error.errno === 'ENOENT';
      await assert.rejects(units.killAll(unit, '', SIGTERM), isMissing);
      assert.equal(await units.stop(unit), '');
      assert.equal(await units.isActive(unit), false);
      units.release(unit);
    });

    test('cgroups tell the unit', async () => {
      await using world = await make();
      const place = (cgroup: string) => world.units.placeOf(`${world.prefix}${cgroup}`);
      assert.deepEqual(place('/machine.slice/machine-a.scope'), { unit: 'machine-a.scope', subgroup: '' });
      assert.deepEqual(place('/machine.slice/x@a.service/payload/b.scope'), { unit: 'x@a.service', subgroup: 'payload/b.scope' });
      assert.equal(place('/machine.slice'), undefined);
      assert.equal(place('/'), undefined);
      assert.equal(place('/machine.slice/other'), undefined);
    });
  });
}
