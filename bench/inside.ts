// What the programs inside the host have in common that measure guests and images.
import { BusClient } from './clients.js';
import { DaemonUnderLoad } from './daemon.js';
import { connectSystemBus } from '../src/host/bus.js';
import type { BusConnection } from '../src/transport/dbus/connection.js';
import type { Figure } from './figures.js';
import type { DaemonName } from './plan.js';
import { median } from './statistics.js';
import { repeat, timed } from './timing.js';

export interface Session {
  readonly client: BusClient;
  /** For what comes with descriptors. */
  readonly bus: BusConnection;
  readonly daemon: DaemonUnderLoad;
}

/** Starts the daemon that the plan names, has it measured, stops it, and writes the figures to standard output. */
export async function runInside<Plan extends { readonly daemon: DaemonName }>(
  measure: (plan: Plan, session: Session) => Promise<readonly Figure[]>,
): Promise<never> {
  const plan = JSON.parse(process.argv[2] ?? '') as Plan;
  const bus = await connectSystemBus();
  const daemon = new DaemonUnderLoad(bus, plan.daemon);
  await daemon.start();
  try {
    using client = await BusClient.connect();
    const figures = await measure(plan, { client, bus, daemon });
    process.stdout.write(JSON.stringify(figures));
  } finally {
    await daemon.stop();
  }
  // the hub of the sockets keeps the process alive
  process.exit(0);
}

/** Milliseconds of calls that do not count: JavaScript gets faster with every one of the first thousand. */
const warmUp = 1000;

/** Calls made one after the other for a while: their median. */
export async function latency(
  daemon: DaemonUnderLoad,
  row: Pick<Figure, 'operation' | 'subject'>,
  milliseconds: number,
  run: () => Promise<unknown>,
): Promise<Figure> {
  await repeat(run, 1, warmUp);
  const before = daemon.processorTimeWithChildren();
  const latencies = await repeat(run, 1, milliseconds);
  const processor = (daemon.processorTimeWithChildren() - before) / latencies.length;
  return { ...row, unit: 'µs', value: median(latencies) ?? 0, processor };
}

/** One long call, in ms. */
export async function duration(
  daemon: DaemonUnderLoad,
  row: Pick<Figure, 'operation' | 'subject'>,
  run: () => Promise<unknown>,
): Promise<Figure> {
  const before = daemon.processorTimeWithChildren();
  const microseconds = await timed(run);
  return { ...row, unit: 'ms', value: microseconds / 1000, processor: daemon.processorTimeWithChildren() - before };
}
