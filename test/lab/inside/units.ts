// Runs inside a host of the lab, as root: the real systemd.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { connectSystemBus } from '../../../src/host/bus.js';
import { findCgroupMount, writeCgroupFile } from '../../../src/host/units/cgroup-tree.js';
import { SystemdUnits } from '../../../src/host/units/systemd.js';
import { isFailure } from '../../../src/domain/failure.js';
import type { UnitProperty } from '../../../src/ports/units.js';
import type { BusConnection } from '../../../src/transport/dbus/connection.js';
import { unitsSuite, type UnitsWorld } from '../../compliance/units.js';
import { Sleepers } from '../../support/sleepers.js';

const cgroups = findCgroupMount() ?? assert.fail('no cgroup v2 tree');
const systemctl = (...parameters: string[]) => execFileSync('systemctl', parameters, { encoding: 'utf8' }).trim();

interface SystemdWorld extends UnitsWorld {
  readonly units: SystemdUnits;
  readonly connection: BusConnection;
  readonly warnings: string[];
}

async function makeWorld(): Promise<SystemdWorld> {
  const connection = await connectSystemBus();
  const warnings: string[] = [];
  const units = new SystemdUnits((message) => void warnings.push(message));
  await units.attach(connection);
  const sleepers = new Sleepers();
  return {
    units,
    connection,
    warnings,
    prefix: '',
    refused: { name: 'TasksMax', signature: 's', value: 'x' },
    spawn: () => sleepers.spawn(),
    spawnIn: async (unit, subgroup) => {
      const sleeper = await sleepers.spawn();
      const cgroup = path.join(cgroups, 'machine.slice', unit, subgroup);
      mkdirSync(cgroup, { recursive: true });
      writeCgroupFile(cgroup, 'cgroup.procs', `${sleeper.pid}`);
      return sleeper;
    },
    end: (sleeper) => sleepers.end(sleeper),
    isAlive: (sleeper) => sleepers.isAlive(sleeper),
    cgroupOf: (sleeper) => sleepers.cgroupOf(sleeper),
    [Symbol.asyncDispose]: async () => {
      await sleepers[Symbol.asyncDispose]();
      units[Symbol.dispose]();
      connection.close();
    },
  };
}

unitsSuite('systemd', makeWorld);

let lastScope = 0;
const newScope = () => String.raw`machine-t\x2dsystemd${++lastScope}.scope`;
const hasBusError = (name: string) => (error: unknown) => isFailure(error, 'system') && error.busError === name;

async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (const deadline = Date.now() + 15_000; !(await condition()); await delay(10)) {
    if (Date.now() > deadline) assert.fail(`timed out: ${what}`);
  }
}

async function start(world: SystemdWorld, unit: string, properties: readonly UnitProperty[] = []) {
  const leader = await world.spawn();
  const { job, done } = await world.units.startScope({ unit, description: 'Container t', leader, properties });
  return { leader, job, done };
}

function watchFor(world: SystemdWorld, unit: string): string[] {
  const ended: string[] = [];
  world.units.watch(unit, { gone: (name) => void ended.push(name) });
  return ended;
}

test('a scope is made as systemd-machined makes it, and the caller\'s properties win', async () => {
  await using world = await makeWorld();
  const unit = newScope();
  const show = (name: string) => systemctl('show', '--value', `--property=${name}`, unit);
  const { job, done } = await start(world, unit, [{ name: 'CPUWeight', signature: 't', value: 33n }]);
  assert.match(job, /^\/org\/freedesktop\/systemd1\/job\/\d+$/);
  await done;
  assert.deepEqual(
    ['Slice', 'Description', 'Delegate', 'CollectMode', 'TasksMax', 'CPUWeight'].map(show),
    ['machine.slice', 'Container t', 'yes', 'inactive-or-failed', '16384', '33'],
  );
  const other = newScope();
  await (await start(world, other, [{ name: 'TasksMax', signature: 't', value: 55n }])).done;
  assert.equal(systemctl('show', '--value', '--property=TasksMax', other), '55');
});

test('what systemd refuses keeps its name', async () => {
  await using world = await makeWorld();
  const unit = newScope();
  const wrongType = start(world, unit, [{ name: 'TasksMax', signature: 's', value: 'x' }]);
  await assert.rejects(wrongType, (error) => isFailure(error, 'system') && error.busError !== undefined);
  await (await start(world, unit)).done;
  await assert.rejects(start(world, unit), hasBusError('org.freedesktop.systemd1.UnitExists'));
  await assert.rejects(world.units.killAll(unit, '', 99), hasBusError('org.freedesktop.DBus.Error.InvalidArgs'));
});

test('properties that systemd does not know are left out, and the others kept', async () => {
  await using world = await makeWorld();
  const unit = newScope();
  const { done } = await start(world, unit, [
    { name: 'Bogus', signature: 's', value: '' },
    { name: 'TasksMax', signature: 't', value: 55n },
    { name: 'Nonsense', signature: 'i', value: 1 },
  ]);
  await done;
  assert.equal(systemctl('show', '--value', '--property=TasksMax', unit), '55');
  assert.match(world.warnings.join(), /Bogus.*Nonsense/);
  const many = Array.from({ length: 100 }, (_, index) => ({ name: `Bogus${index}`, signature: 's', value: '' }));
  await assert.rejects(start(world, newScope(), many), hasBusError('org.freedesktop.DBus.Error.PropertyReadOnly'));
});

test('a scope that its leader never came to is not kept', async () => {
  await using world = await makeWorld();
  // a zombie: it ends when its parent is a program that does not wait for it
  const orphan = '(until [[ $(</proc/$$/comm) == sleep ]]; do :; done) & echo $!; exec sleep infinity';
  const parent = spawn('bash', ['-c', orphan], { stdio: ['ignore', 'pipe', 'inherit'] });
  using _parent = { [Symbol.dispose]: () => void parent.kill() };
  const pid = Number(String((await once(parent.stdout, 'data'))[0]));
  await until(() => /^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, 'utf8')), 'it has ended');
  const unit = newScope();
  const starting = async () => {
    const request = { unit, description: 'Container t', leader: { pid, pidfd: undefined }, properties: [] };
    await (await world.units.startScope(request)).done;
  };
  await assert.rejects(starting, (error) => isFailure(error, 'system'));
  await until(async () => !(await world.units.isActive(unit)), 'the scope is gone');
});

test('a job that fails, and one that has to wait', async () => {
  mkdirSync('/run/systemd/system', { recursive: true });
  writeFileSync('/run/systemd/system/t-bad.service', '[Service]\nType=oneshot\nExecStart=false\n');
  writeFileSync('/run/systemd/system/t-slow.service', '[Service]\nType=oneshot\nExecStart=sleep 1\n');
  systemctl('daemon-reload');
  await using world = await makeWorld();
  const names = (name: string, ...units: string[]): UnitProperty => ({ name, signature: 'as', value: units });

  const failing = newScope();
  const bad = await start(world, failing, [names('Requires', 't-bad.service'), names('After', 't-bad.service')]);
  const failed = hasBusError('org.freedesktop.systemd1.JobFailed');
  await assert.rejects(bad.done, (error) => failed(error) && (error as Error).message.includes("'dependency'"));
  assert.equal(world.isAlive(bad.leader), true);
  assert.equal(await world.units.isActive(failing), false);

  const waiting = newScope();
  const slow = await start(world, waiting, [names('Wants', 't-slow.service'), names('After', 't-slow.service')]);
  const ended = watchFor(world, waiting);
  assert.equal(await world.units.isActive(waiting), true);
  await assert.rejects(world.units.stop(waiting), (error) => isFailure(error, 'system') && error.errno === 'EDEADLK');
  systemctl('daemon-reload'); // in the middle of it
  await slow.done;
  assert.deepEqual(ended, []);
  assert.equal(await world.units.isActive(waiting), true);
});

test('neither a reload nor a new systemd makes a unit end, or its end go unseen', async () => {
  await using world = await makeWorld();
  const units = [newScope(), newScope(), newScope()];
  const started = [];
  const endings: string[][] = [];
  for (const unit of units) {
    const { leader, done } = await start(world, unit);
    await done;
    started.push(leader);
    endings.push(watchFor(world, unit));
  }
  for (const [index, command] of ['daemon-reload', 'daemon-reexec'].entries()) {
    systemctl(command);
    await delay(500);
    assert.deepEqual(endings.map((ended) => ended.length), [0, 1, 2].map((other) => (other < index ? 1 : 0)));
    await world.end(started[index]!);
    await until(() => endings[index]!.length > 0, `the end after ${command}`);
  }
  const { done } = await start(world, newScope());
  await done;
  await world.units.stop(units[2]!);
  await until(() => endings[2]!.length > 0, 'the last one stops');
});

test('a lost bus is survived: scopes stay, and what ended meanwhile is told', async () => {
  await using world = await makeWorld();
  const [staying, ending] = [newScope(), newScope()];
  const first = await start(world, staying);
  const second = await start(world, ending);
  await Promise.all([first.done, second.done]);
  const [stays, ends] = [watchFor(world, staying), watchFor(world, ending)];
  world.connection.close();
  await delay(10);
  await assert.rejects(world.units.stop(staying), (error) => isFailure(error, 'not-available'));
  await world.end(second.leader);
  using connection = await connectSystemBus();
  await world.units.attach(connection);
  await until(() => ends.length > 0, 'what ended meanwhile');
  assert.deepEqual(stays, []);
  assert.equal(await world.units.isActive(staying), true);
});

test('a hundred scopes at once', async () => {
  await using world = await makeWorld();
  const names = Array.from({ length: 100 }, newScope);
  const leaders = await Promise.all(names.map(async (unit) => {
    const { leader, done } = await start(world, unit);
    await done;
    return leader;
  }));
  const endings = names.map((unit) => watchFor(world, unit));
  await Promise.all(leaders.map((leader) => world.end(leader)));
  await until(() => endings.every((ended) => ended.length === 1), 'all have ended');
  for (const unit of names) world.units.release(unit);
  await delay(300);
  assert.equal(systemctl('list-units', '--all', '--no-legend', ...names), '');
});
