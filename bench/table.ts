import { median } from './statistics.js';

export interface Row {
  readonly operation: string;
  /** What it was measured on: the number of machines, or the kind of guest. */
  readonly subject: string;
  readonly unit: 'µs' | 'ms' | 'MiB';
  /** One value per round. */
  readonly real: readonly number[];
  readonly ours: readonly number[];
  /** Microseconds of the daemons' processor time per call, where that was counted. */
  readonly processor: { readonly real: readonly number[]; readonly ours: readonly number[] };
  readonly aim: Aim;
}

/** At most that many times the original's value, or at most that value. */
export type Aim = { readonly ratio: number } | { readonly value: number };

export interface Verdict {
  readonly cells: readonly string[];
  readonly missed: boolean;
}

const titlesAfterSubject = ['unit', 'real', 'ours', 'ratio', 'aim', 'CPU real', 'CPU ours'];
const textTitles = ['operation', 'unit', 'aim'];

/** Medians of the rounds, and the median of the rounds' ratios. */
export function judge(row: Row): Verdict {
  const real = median(row.real);
  const ours = median(row.ours);
  const ratio = median(pairs(row).map(([one, other]) => other / one));
  const measured = 'ratio' in row.aim ? ratio : ours;
  const limit = 'ratio' in row.aim ? row.aim.ratio : row.aim.value;
  const missed = measured !== undefined && measured > limit;
  const aim = 'ratio' in row.aim ? `≤ ${limit}` : `≤ ${limit} ${row.unit}`;
  const cells = [
    row.operation, row.subject, row.unit, show(real), show(ours), ratio === undefined ? '-' : ratio.toFixed(2),
    missed ? `${aim} missed` : aim, show(median(row.processor.real)), show(median(row.processor.ours)),
  ];
  return { cells, missed };
}

function pairs({ real, ours }: Row): readonly (readonly [number, number])[] {
  return real.flatMap((value, round) => {
    const other = ours[round];
    return other === undefined ? [] : [[value, other] as const];
  });
}

/** As a Markdown table that is also readable as text; `subject` is the title of that column. */
export function printTable(rows: readonly Row[], subject: string): string {
  const titles = ['operation', subject, ...titlesAfterSubject];
  const lines = [titles, ...rows.map((row) => judge(row).cells)];
  const widths = titles.map((_, column) => Math.max(...lines.map((cells) => (cells[column] ?? '').length)));
  const isText = (column: number) => textTitles.includes(titles[column] ?? '');
  const print = (cells: readonly string[]) =>
    `| ${cells.map((cell, column) => (isText(column) ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0))).join(' | ')} |`;
  const rule = `|${widths.map((width, column) => (isText(column) ? '-'.repeat(width + 2) : `${'-'.repeat(width + 1)}:`)).join('|')}|`;
  const [head, ...body] = lines.map(print);
  return [head, rule, ...body].join('\n');
}

function show(value: number | undefined): string {
  if (value === undefined) return '-';
  if (value >= 100) return value.toFixed(0);
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}
