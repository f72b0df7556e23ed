/** Rows of the registry itself: machines that are registered, looked up and listed, the start, and memory. */
import { bootBenchHost, forkLeaders, takeTurns } from './host.js';
import { spareLeaders, type DaemonName, type LoadPlan, type LoadResult } from './plan.js';
import type { Aim, Row } from './table.js';

interface Scale {
  readonly machines: readonly number[];
  readonly rounds: number;
  readonly warmUp: number;
  readonly duration: number;
  readonly registrations: number;
  readonly creations: number;
}

const full: Scale = { machines: [0, 10, 100, 1000, 10_000], rounds: 3, warmUp: 250, duration: 250, registrations: 100, creations: 10 };
const quick: Scale = { machines: [0, 10, 1000], rounds: 1, warmUp: 150, duration: 100, registrations: 50, creations: 5 };

/** What the daemon must not exceed; where nothing is said, 1.1 times the original. */
const usualAim: Aim = { ratio: 1.1 };
const aims = new Map<string, Aim>([
  ['ListMachines 1000', { ratio: 0.8 }],
  ['Varlink List, more 1000', { ratio: 0.3 }],
]);
const readyAim: Aim = { value: 150 };
const memoryAim: Aim = { value: 70 };

type Results = Record<DaemonName, LoadResult[]>;

export async function measureRegistry(isQuick: boolean): Promise<readonly Row[]> {
  const { machines: numbers, rounds, ...scale } = isQuick ? quick : full;
  await using host = await bootBenchHost();
  const rows: Row[] = [];
  let leaders = 0;
  for (const machines of numbers) {
    await forkLeaders(host, leaders, machines + spareLeaders);
    leaders = machines + spareLeaders;
    const planOf = (daemon: DaemonName): LoadPlan => ({ daemon, machines, ...scale });
    rows.push(...rowsOf(machines, await takeTurns(host, rounds, 'load.js', planOf, `${machines} machines`)));
  }
  // the last rows are those of the most machines, with which everything was measured
  const order = new Map(rows.map(({ operation }, index) => [operation, index]));
  const place = ({ operation, subject }: Row) => (order.get(operation) ?? 0) * 100_000 + Number(subject);
  return rows.sort((one, other) => place(one) - place(other));
}

function rowsOf(machines: number, { real, ours }: Results): readonly Row[] {
  const subject = String(machines);
  const pick = (read: (result: LoadResult) => number) => ({ real: real.map(read), ours: ours.map(read) });
  const operations = Object.keys(real[0]?.measurements ?? {});
  const rows = operations.map((operation): Row => {
    const aim = aims.get(`${operation} ${machines}`) ?? aims.get(`${operation.replace(', pipelined', '')} ${machines}`) ?? usualAim;
    const times = pick(({ measurements }) => measurements[operation]?.microseconds ?? Number.NaN);
    return { operation, subject, unit: 'µs', aim, ...times, processor: processorTimes(operation, { real, ours }) };
  });
  const figure = (operation: string, unit: Row['unit'], aim: Aim, read: (result: LoadResult) => number): Row => ({
    operation, subject, unit, aim, ...pick(read), processor: { real: [], ours: [] },
  });
  const figures = [
    figure('start → ready', 'ms', readyAim, ({ ready }) => ready),
    figure('resident, idle', 'MiB', memoryAim, ({ idle }) => idle.resident),
    figure('resident, after the load', 'MiB', memoryAim, ({ loaded }) => loaded.resident),
    figure('PSS of all processes, after the load', 'MiB', memoryAim, ({ loaded }) => loaded.proportional),
  ];
  return [...rows, ...figures];
}

function processorTimes(operation: string, { real, ours }: Results): Row['processor'] {
  const of = (results: readonly LoadResult[]) => results.flatMap(({ measurements }) => measurements[operation]?.processor ?? []);
  return { real: of(real), ours: of(ours) };
}
