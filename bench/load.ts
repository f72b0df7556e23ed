/**
 * The load generator, which runs inside the host: starts one of the two daemons with a number of machines, measures it,
 * stops it. The plan is the first argument, in JSON; the result goes to standard output, in JSON.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { connectSystemBus } from '../src/host/bus.js';
import type { BusConnection } from '../src/transport/dbus/connection.js';
import { BusClient, VarlinkClient, varlinkCall, varlinkReplies } from './clients.js';
import { DaemonUnderLoad, expectMachines } from './daemon.js';
import { machinePrefix, spareLeaders, type LoadPlan, type LoadResult, type Measurement } from './plan.js';
import { leaderOf, writeStateFiles } from './state.js';
import { median } from './statistics.js';
import { repeat, timed } from './timing.js';

interface Operation {
  readonly name: string;
  readonly run: () => Promise<unknown>;
  /** Calls under way at the same time, for the throughput. */
  readonly depth: number;
}

const manyCalls = 64;
/** Answers with all machines are long: more of them at a time would only wait in the bus. */
const fewCalls = 4;
const signalLimit = 10_000;
/** Milliseconds in which a daemon has nothing else to do than to forget a machine. */
const forgetTime = 2;

const managerSignals = {
  sender: 'org.freedesktop.machine1', path: '/org/freedesktop/machine1', interface: 'org.freedesktop.machine1.Manager',
} as const;

async function main(plan: LoadPlan): Promise<LoadResult> {
  writeStateFiles(plan.machines);
  using bus = await connectSystemBus();
  const daemon = new DaemonUnderLoad(bus, plan.daemon);
  const ready = await daemon.start();
  try {
    const idle = daemon.memory();
    const listed = await expectMachines(plan.machines);
    const measurements: Record<string, Measurement> = {};
    if (plan.machines > 0) await measureLookups(plan, daemon, listed, measurements);
    if (plan.registrations > 0) await measureRegistrations(plan, daemon, measurements);
    if (plan.creations > 0) await measureCreations(plan, bus, measurements);
    return { ready, idle, loaded: daemon.memory(), measurements };
  } finally {
    await daemon.stop();
  }
}

async function measureLookups(
  plan: LoadPlan,
  daemon: DaemonUnderLoad,
  listed: number,
  measurements: Record<string, Measurement>,
): Promise<void> {
  using bus = await BusClient.connect();
  using varlink = await VarlinkClient.connect();
  const operations = lookups(plan.machines, listed, bus, varlink);
  await checkLookups(plan.machines, bus);
  // all of them before any: what is measured first shall not pay for what they have in common
  for (const { run, depth } of operations) await repeat(run, depth, plan.warmUp);
  for (const operation of operations) {
    measurements[operation.name] = await measure(daemon, () => repeat(operation.run, 1, plan.duration));
    measurements[`${operation.name}, pipelined`] = await measure(daemon, async () => {
      const begin = performance.now();
      const { length: calls } = await repeat(operation.run, operation.depth, plan.duration);
      return Array.from({ length: calls }, () => ((performance.now() - begin) * 1000) / calls);
    });
  }
}

function lookups(machines: number, listed: number, bus: BusClient, varlink: VarlinkClient): readonly Operation[] {
  let turn = 0;
  // a different machine each time, far from the one before
  const next = () => (turn = (turn + 7919) % machines);
  const names = Array.from({ length: machines }, (_, number) => leaderOf(number).name);
  const pids = Array.from({ length: machines }, (_, number) => leaderOf(number).pid);
  const listOne = names.map((name) => varlinkCall('List', { name }));
  const listAll = varlinkCall('List', {}, { more: true });
  return [
    { name: 'GetMachine', depth: manyCalls, run: () => bus.call({ member: 'GetMachine', signature: 's', body: [names[next()]] }) },
    {
      name: 'GetMachineByPID', depth: manyCalls,
      run: () => bus.call({ member: 'GetMachineByPID', signature: 'u', body: [pids[next()]] }),
    },
    { name: 'ListMachines', depth: fewCalls, run: () => bus.call({ member: 'ListMachines', signature: '', body: [] }) },
    { name: 'Varlink List by name', depth: manyCalls, run: () => varlink.call(listOne[next()] as Uint8Array, 1) },
    { name: 'Varlink List, more', depth: fewCalls, run: () => varlink.call(listAll, listed) },
  ];
}

/** A daemon that answers something wrong would look fast. */
async function checkLookups(machines: number, bus: BusClient): Promise<void> {
  const { name, pid } = leaderOf(machines - 1);
  const path = `/org/freedesktop/machine1/machine/${name}`;
  const [byName] = (await bus.call({ member: 'GetMachine', signature: 's', body: [name] })).body();
  const [byPid] = (await bus.call({ member: 'GetMachineByPID', signature: 'u', body: [pid] })).body();
  const [all] = (await bus.call({ member: 'ListMachines', signature: '', body: [] })).body() as [readonly (readonly string[])[]];
  const [one] = await varlinkReplies(varlinkCall('List', { name }));
  const isRight =
    byName === path && byPid === path && one?.['name'] === name && all.filter((row) => row[1] === 'container').length === machines;
  if (!isRight) throw new Error('the daemon does not answer what it should');
}

/** Registers leaders that are there already, without a scope, and forgets them again. */
async function measureRegistrations(
  plan: LoadPlan,
  daemon: DaemonUnderLoad,
  measurements: Record<string, Measurement>,
): Promise<void> {
  using varlink = await VarlinkClient.connect();
  const calls = Array.from({ length: spareLeaders }, (_, spare) => {
    const { name, pid } = leaderOf(plan.machines + spare);
    return {
      register: varlinkCall('Register', { name, class: 'container', service: 'bench', leader: pid }),
      unregister: varlinkCall('Unregister', { name }),
    };
  });
  const rounds = async (count: number) => {
    const registered: number[] = [];
    for (let round = 0; round < count; round++) {
      const { register, unregister } = calls[round % spareLeaders]!;
      registered.push(await timed(() => varlink.call(register, 1)));
      await varlink.call(unregister, 1);
      await delay(forgetTime);
    }
    return registered;
  };
  await rounds(plan.registrations);
  measurements['Varlink Register'] = await measure(daemon, () => rounds(plan.registrations));
}

/** By a scope of systemd, to the end of the machine. */
async function measureCreations(
  plan: LoadPlan,
  bus: BusConnection,
  measurements: Record<string, Measurement>,
): Promise<void> {
  using client = await BusClient.connect();
  const announced: number[] = [];
  const answered: number[] = [];
  const removed: number[] = [];
  for (let number = 0; number < plan.creations; number++) {
    const name = `${machinePrefix}-created-${number}`;
    using isNew = await nextSignal(bus, 'MachineNew', name);
    using isRemoved = await nextSignal(bus, 'MachineRemoved', name);
    const leader = spawn('sleep', ['infinity'], { stdio: 'ignore' });
    await once(leader, 'spawn');
    const body = [name, new Uint8Array(), 'bench', 'container', leader.pid, '/', []];
    const begin = performance.now();
    await client.call({ member: 'CreateMachine', signature: 'sayssusa(sv)', body });
    answered.push((performance.now() - begin) * 1000);
    announced.push(((await isNew.time) - begin) * 1000);
    const end = performance.now();
    leader.kill('SIGKILL');
    removed.push(((await isRemoved.time) - end) * 1000);
  }
  measurements['CreateMachine → MachineNew'] = { microseconds: median(announced) ?? 0 };
  measurements['CreateMachine → reply'] = { microseconds: median(answered) ?? 0 };
  measurements['leader’s death → MachineRemoved'] = { microseconds: median(removed) ?? 0 };
}

interface AwaitedSignal extends Disposable {
  /** When it came; rejects if it does not come in time. */
  readonly time: Promise<number>;
}

async function nextSignal(bus: BusConnection, member: string, machine: string): Promise<AwaitedSignal> {
  const { promise, resolve, reject } = withResolvers<number>();
  const rule = { ...managerSignals, member, args: new Map([[0, machine]]) };
  const subscription = await bus.subscribe({ rule, signature: 'so' }, () => resolve(performance.now()));
  const timer = setTimeout(() => reject(new Error(`no ${member} for ${machine}`)), signalLimit);
  promise.catch(() => undefined); // whoever awaits it is told
  return {
    time: promise,
    [Symbol.dispose]: () => {
      clearTimeout(timer);
      subscription[Symbol.dispose]();
    },
  };
}

function withResolvers<T>() {
  let resolve!: (value: T) => void;
  let reject!: (error: Error) => void;
  const promise = new Promise<T>((onValue, onError) => {
    resolve = onValue;
    reject = onError;
  });
  return { promise, resolve, reject };
}

async function measure(daemon: DaemonUnderLoad, work: () => Promise<readonly number[]>): Promise<Measurement> {
  const before = daemon.processorTime();
  const latencies = await work();
  const processor = (daemon.processorTime() - before) / latencies.length;
  return { microseconds: median(latencies) ?? 0, processor };
}

const plan = JSON.parse(process.argv[2] ?? '') as LoadPlan;
process.stdout.write(JSON.stringify(await main(plan)));
// the hub of the sockets keeps the process alive
process.exit(0);
