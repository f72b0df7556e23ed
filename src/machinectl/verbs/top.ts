import { setTimeout as delay } from 'node:timers/promises';
import { isMachinedError } from '../../client/error.js';
import { formatBytes } from '../bytes.js';
import type { Context } from '../context.js';
import { CommandFailure } from '../failure.js';
import { LiveScreen } from '../live-screen.js';
import { failureOf } from '../registry.js';
import { formatTable, nothing, type Cell, type Column } from '../table.js';
import { readUsage, type Usage } from '../usage.js';

/** Between two looks, in milliseconds. */
const interval = 1000;

interface Sample {
  readonly usage: Usage;
  /** Milliseconds, of a clock that never goes back. */
  readonly at: number;
}

interface Row {
  readonly name: string;
  readonly usage: Usage;
  /** Of one processor; more than 100 with several. */
  readonly cpu: number | undefined;
  /** Bytes per second. */
  readonly read: number | undefined;
  readonly written: number | undefined;
  readonly received: number | undefined;
  readonly sent: number | undefined;
}

const columns: readonly Column[] = [
  { title: 'MACHINE' },
  ...['TASKS', '%CPU', 'MEMORY', 'READ/S', 'WRITTEN/S', 'RECEIVED/S', 'SENT/S'].map((title): Column => ({ title, align: 'right' })),
];

/** What machines use, the busiest first: again and again on a terminal, once otherwise. */
export async function run(context: Context): Promise<void> {
  const { registry, output } = context;
  if (registry.target.transport !== 'local') throw new CommandFailure('top is only supported on the local host.');
  if (!output.onTerminal) return once(context);
  let rows: readonly Row[] | undefined;
  using screen = new LiveScreen(output, () => draw());
  const draw = (): void => {
    if (rows !== undefined) screen.draw(format(context, rows));
  };
  let ended = false;
  void screen.ended.then(() => (ended = true));
  for (let before = await measure(context); !ended; ) {
    await Promise.race([delay(interval), screen.ended]);
    const now = await measure(context);
    rows = rowsOf(before, now);
    draw();
    before = now;
  }
}

async function once(context: Context): Promise<void> {
  const { settings, output } = context;
  const before = await measure(context);
  await delay(interval);
  const rows = rowsOf(before, await measure(context));
  if (settings.json === 'off') output.print(format(context, rows));
  else output.printJson(rows.map(asJson), settings.json);
}

async function measure({ registry, settings }: Context): Promise<ReadonlyMap<string, Sample>> {
  let machines;
  try {
    ({ machines } = await registry.call('ListMachines', {}));
  } catch (error) {
    throw failureOf('Could not get machines', error);
  }
  const shown = machines.filter(([name]) => settings.all || !name.startsWith('.'));
  const samples = await Promise.all(
    shown.map(async ([name, , , path]) => {
      try {
        const { Leader: leader = 0, Unit: unit = '' } = await registry.machineProperties(path);
        return [[name, { usage: readUsage(leader, unit), at: performance.now() }]] as const;
      } catch (error) {
        if (isMachinedError(error)) return []; // it has ended meanwhile
        throw error;
      }
    }),
  );
  return new Map(samples.flat());
}

function rowsOf(before: ReadonlyMap<string, Sample>, now: ReadonlyMap<string, Sample>): readonly Row[] {
  const rows = [...now].map(([name, sample]) => rowOf(name, before.get(name), sample));
  return rows.sort((one, other) => (other.cpu ?? 0) - (one.cpu ?? 0) || (other.usage.memory ?? 0) - (one.usage.memory ?? 0));
}

function rowOf(name: string, before: Sample | undefined, { usage, at }: Sample): Row {
  const rate = (of: keyof Usage): number | undefined => {
    const [earlier, later] = [before?.usage[of], usage[of]];
    if (before === undefined || earlier === undefined || later === undefined) return undefined;
    return Math.max(0, ((later - earlier) * 1000) / (at - before.at)); // processes that have ended take their counts along
  };
  const cpu = rate('cpu');
  return {
    name, usage,
    cpu: cpu === undefined ? undefined : cpu / 10_000, // microseconds in a second, in percent
    read: rate('read'), written: rate('written'), received: rate('received'), sent: rate('sent'),
  };
}

function format({ settings, output }: Context, rows: readonly Row[]): string {
  if (rows.length === 0) return 'No machines.\n';
  const width = output.widthFor({ ...settings, pager: false });
  return formatTable(columns, rows.map(cellsOf), { width, colours: output.colours, glyphs: output.glyphs, header: settings.legend });
}

function cellsOf({ name, usage, cpu, read, written, received, sent }: Row): readonly Cell[] {
  return [
    { text: name },
    usage.tasks === undefined ? nothing : { text: String(usage.tasks) },
    cpu === undefined ? nothing : { text: cpu.toFixed(1) },
    ...[usage.memory, read, written, received, sent].map(bytesCell),
  ];
}

function bytesCell(bytes: number | undefined): Cell {
  if (bytes === undefined) return nothing;
  return { text: formatBytes(BigInt(Math.round(bytes))) ?? '' };
}

function asJson({ name, usage, cpu, read, written, received, sent }: Row): object {
  const orNull = (value: number | undefined): number | null => (value === undefined ? null : Math.round(value * 10) / 10);
  return {
    machine: name, tasks: orNull(usage.tasks), cpuPercent: orNull(cpu), memory: orNull(usage.memory),
    readPerSecond: orNull(read), writtenPerSecond: orNull(written), receivedPerSecond: orNull(received), sentPerSecond: orNull(sent),
  };
}
