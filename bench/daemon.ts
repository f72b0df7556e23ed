// A daemon in the host: starting it, and what the kernel says of it.
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { BusConnection } from '../src/transport/dbus/connection.js';
import { machineSocket, varlinkCall, varlinkReplies } from './clients.js';
import { daemonUnits, type DaemonName, type Memory } from './plan.js';

const systemd = {
  destination: 'org.freedesktop.systemd1', path: '/org/freedesktop/systemd1', interface: 'org.freedesktop.systemd1.Manager',
} as const;
const readyLimit = 60_000;
const readyInterval = 1;

export class DaemonUnderLoad {
  readonly #bus: BusConnection;
  readonly #unit: string;

  constructor(bus: BusConnection, name: DaemonName) {
    this.#bus = bus;
    this.#unit = daemonUnits[name];
  }

  /** @returns milliseconds until the bus name was owned and the socket answered. Throws Error if that takes a minute. */
  async start(): Promise<number> {
    let owned = 0;
    const rule = { sender: 'org.freedesktop.DBus', member: 'NameOwnerChanged', args: new Map([[0, 'org.freedesktop.machine1']]) };
    using _subscription = await this.#bus.subscribe({ rule, signature: 'sss' }, ([, , owner]) => {
      if (owner !== '') owned = performance.now();
    });
    const begin = performance.now();
    await this.#bus.call({ ...systemd, member: 'StartUnit', signature: 'ss', body: [this.#unit, 'replace'], replySignature: 'o' });
    const answered = await firstAnswer(begin + readyLimit);
    while (owned === 0) {
      if (performance.now() > begin + readyLimit) throw new Error(`${this.#unit} does not own its name`);
      await delay(readyInterval);
    }
    return Math.max(owned, answered) - begin;
  }

  async stop(): Promise<void> {
    await this.#bus.call({ ...systemd, member: 'StopUnit', signature: 'ss', body: [this.#unit, 'replace'], replySignature: 'o' });
    while (this.#processes().length > 0) await delay(readyInterval);
  }

  /** Microseconds of processor time that its processes have had so far. */
  processorTime(): number {
    let nanoseconds = 0;
    for (const pid of this.#processes()) {
      for (const thread of readdirSync(`/proc/${pid}/task`)) {
        nanoseconds += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]);
      }
    }
    return nanoseconds / 1000;
  }

  /** The same, with those that have ended, and coarser. */
  processorTimeWithChildren(): number {
    const statistics = readFileSync(`/sys/fs/cgroup/system.slice/${this.#unit}/cpu.stat`, 'utf8');
    return Number(/^usage_usec ([0-9]+)$/m.exec(statistics)?.[1]);
  }

  memory(): Memory {
    const processes = this.#processes();
    const resident = kibibytes(`/proc/${processes[0]}/status`, 'VmRSS');
    const proportional = processes.reduce((sum, pid) => sum + kibibytes(`/proc/${pid}/smaps_rollup`, 'Pss'), 0);
    return { resident: resident / 1024, proportional: proportional / 1024 };
  }

  /** The main process, which was there before its helpers, is the first. */
  #processes(): readonly number[] {
    const text = readFileIfThere(`/sys/fs/cgroup/system.slice/${this.#unit}/cgroup.procs`);
    return text.split('\n').filter((line) => line !== '').map(Number).sort((one, other) => one - other);
  }
}

async function firstAnswer(deadline: number): Promise<number> {
  const getInfo = Buffer.from('{"method":"org.varlink.service.GetInfo"}\0');
  for (;;) {
    try {
      await varlinkReplies(getInfo);
      return performance.now();
    } catch (error) {
      if (performance.now() > deadline) throw new Error(`${machineSocket} does not answer`, { cause: error });
      await delay(readyInterval);
    }
  }
}

/** Throws Error if the daemon does not know exactly that many machines besides the host. */
export async function expectMachines(count: number): Promise<number> {
  if (count === 0) return 0;
  const machines = await varlinkReplies(varlinkCall('List', {}, { more: true }));
  const guests = machines.filter(({ class: kind }) => kind !== 'host').length;
  if (guests !== count) throw new Error(`${guests} machines are listed instead of ${count}`);
  return machines.length;
}

function kibibytes(file: string, field: string): number {
  const found = new RegExp(`^${field}:\\s+([0-9]+) kB`, 'm').exec(readFileSync(file, 'utf8'));
  if (found === null) throw new Error(`${file} has no ${field}`);
  return Number(found[1]);
}

function readFileIfThere(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    // ENODEV: its cgroup was removed while it was read
    if (['ENOENT', 'ENODEV'].includes((error as NodeJS.ErrnoException).code ?? '')) return '';
    throw error;
  }
}
