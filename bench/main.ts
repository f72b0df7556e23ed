/**
 * Compares this project's daemon with systemd-machined 262, in one host of the lab, and says where it is slower than it
 * aims to be. Needs root.
 *
 *   npm run bench                  10, 100, 1000 and 10,000 machines, three rounds
 *   npm run bench -- --quick       10 and 1000 machines, one short round
 *   npm run bench -- --write       also puts the table into docs/benchmarks.md
 *   npm run bench -- codec         the codecs alone, without a host
 *
 * The daemons take turns: both want the same bus name, and two cores hardly suffice for one of them, a bus and a load.
 * Each round starts each of them anew, in changing order, with the same machines, and measures the same things; a ratio is
 * the median of the rounds' ratios, so that what else the machine does meanwhile meets both.
 */
import { writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { bootHost, untilTrue, type LabHost } from '../test/lab/harness.js';
import { daemonUnits, machinePrefix, spareLeaders, type DaemonName, type LoadPlan, type LoadResult } from './plan.js';
import { judge, printTable, type Aim, type Row } from './table.js';

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
const loadTimeout = 120_000;

/** Where the project is in the host while it is measured: what changes in the meantime has no part in that. */
const copy = '/run/bench';

/** What the daemon must not exceed; where nothing is said, 1.1 times the original. */
const usualAim: Aim = { ratio: 1.1 };
const aims = new Map<string, Aim>([
  ['ListMachines 1000', { ratio: 0.8 }],
  ['Varlink List, more 1000', { ratio: 0.3 }],
]);
const readyAim: Aim = { value: 150 };
const memoryAim: Aim = { value: 70 };

type Results = Record<DaemonName, LoadResult[]>;

async function main(words: readonly string[]): Promise<void> {
  const unknown = words.filter((word) => word !== '--quick' && word !== '--write');
  if (unknown.length > 0) throw new Error(`unknown option ${unknown.join(' ')}: there are --quick, --write, and the word codec`);
  const rows = await measureAll(words.includes('--quick') ? quick : full);
  const table = printTable(rows);
  process.stdout.write(`${table}\n`);
  const missed = rows.filter((row) => judge(row).missed).length;
  process.stdout.write(missed === 0 ? 'All aims are met.\n' : `${missed} of ${rows.length} aims are missed.\n`);
  if (words.includes('--write')) writeFileSync('docs/benchmarks.md', page(table));
}

async function measureAll(scale: Scale): Promise<readonly Row[]> {
  await using host = await bootHost({ suite: 'sid', name: 'bench', daemon: 'none' });
  await host.succeed(['mkdir', copy]);
  await host.succeed(['cp', '-r', '/src/bench', '/src/bin', '/src/build', '/src/dist', '/src/package.json', copy]);
  await host.succeed(['ln', '-s', '/src/node_modules', `${copy}/node_modules`]);
  await installUnits(host);
  const rows: Row[] = [];
  let leaders = 0;
  for (const machines of scale.machines) {
    await forkLeaders(host, leaders, machines + spareLeaders);
    leaders = machines + spareLeaders;
    rows.push(...rowsOf(machines, await measureRounds(host, scale, machines)));
  }
  // the last rows are those of the most machines, with which everything was measured
  const order = new Map(rows.map(({ operation }, index) => [operation, index]));
  const place = ({ operation, machines }: Row) => (order.get(operation) ?? 0) * 100_000 + machines;
  return rows.sort((one, other) => place(one) - place(other));
}

async function measureRounds(host: LabHost, scale: Scale, machines: number): Promise<Results> {
  const results: Results = { real: [], ours: [] };
  const { warmUp, duration, registrations, creations } = scale;
  for (let round = 0; round < scale.rounds; round++) {
    const turns: readonly DaemonName[] = round % 2 === 0 ? ['real', 'ours'] : ['ours', 'real'];
    for (const daemon of turns) {
      process.stderr.write(`${machines} machines, round ${round + 1} of ${scale.rounds}: ${daemon}\n`);
      const plan: LoadPlan = { daemon, machines, warmUp, duration, registrations, creations };
      const output = await host.succeed(['node', `${copy}/build/bench/load.js`, JSON.stringify(plan)], { timeout: loadTimeout });
      results[daemon].push(JSON.parse(output) as LoadResult);
    }
  }
  return results;
}

/**
 * Both run as plain services, with the same limits and without the sandbox of systemd-machined.service. The number of open
 * files is raised for both because the original would end at 503 machines with the usual soft limit of 1024.
 */
async function installUnits(host: LabHost): Promise<void> {
  const programs: Record<DaemonName, string> = { real: '/usr/lib/systemd/systemd-machined', ours: `/opt/node/bin/node ${copy}/bin/machined` };
  for (const [name, program] of Object.entries(programs)) {
    const unit = `[Service]\nType=exec\nExecStart=${program}\nLimitNOFILE=20000\nTasksMax=infinity\n`;
    await host.succeed(['tee', `/run/systemd/system/${daemonUnits[name as DaemonName]}`], { input: unit });
  }
  await host.succeed(['systemctl', 'daemon-reload']);
  await host.succeed(['systemctl', 'start', 'machine.slice']);
}

async function forkLeaders(host: LabHost, first: number, end: number): Promise<void> {
  const ready = `${copy}/leaders-${end}`;
  await host.succeed([
    'systemd-run', '--quiet', '--property=TasksMax=infinity', `--unit=bench-leaders-${end}.service`,
    'perl', `${copy}/bench/leaders.pl`, machinePrefix, String(first), String(end), ready,
  ]);
  await untilTrue(`${ready} exists`, async () => (await host.run(['test', '-e', ready])).status === 0, 60_000);
}

function rowsOf(machines: number, { real, ours }: Results): readonly Row[] {
  const pick = (read: (result: LoadResult) => number) => ({ real: real.map(read), ours: ours.map(read) });
  const operations = Object.keys(real[0]?.measurements ?? {});
  const rows = operations.map((operation): Row => {
    const aim = aims.get(`${operation} ${machines}`) ?? aims.get(`${operation.replace(', pipelined', '')} ${machines}`) ?? usualAim;
    const times = pick(({ measurements }) => measurements[operation]?.microseconds ?? Number.NaN);
    return { operation, machines, unit: 'µs', aim, ...times, processor: processorTimes(operation, { real, ours }) };
  });
  const figure = (operation: string, unit: Row['unit'], aim: Aim, read: (result: LoadResult) => number): Row => ({
    operation, machines, unit, aim, ...pick(read), processor: { real: [], ours: [] },
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

function page(table: string): string {
  return `# Benchmarks

systemd-machined 262 and this project's daemon, measured by \`npm run bench -- --write\` on ${cpus().length} cores
(${cpus()[0]?.model ?? 'unknown'}), Linux ${release()}, Node ${process.version}. bench/main.ts says how.

Times are those of the caller, the bus daemon included. A row is the median latency of calls that are made one after the
other, or, pipelined, the time per call with many under way. CPU is the daemon's own processor time per call, in µs.

${table}
`;
}

await main(process.argv.slice(2));
