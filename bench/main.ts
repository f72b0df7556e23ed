/**
 * Compares this project's daemon with systemd-machined 262, in a host of the lab, and says where it is slower than it
 * aims to be. Needs root.
 *
 *   npm run bench                    everything that follows
 *   npm run bench -- registry        10, 100, 1000 and 10,000 machines, three rounds
 *   npm run bench -- guests          looks into containers, shells, copies, mounts
 *   npm run bench -- images          10, 1000 and 10,000 images; clones, looks, removals
 *   npm run bench -- machinectl      `machinectl list` of 10 machines
 *   npm run bench -- … --quick       fewer and shorter rounds
 *   npm run bench -- … --write       also puts the tables into docs/benchmarks.md
 *   npm run bench -- codec           the codecs alone, without a host
 *
 * The daemons take turns: both want the same bus name, and two cores hardly suffice for one of them, a bus and a load.
 * Each round starts each of them anew, in changing order, with the same machines, and measures the same things; a ratio is
 * the median of the rounds' ratios, so that what else the machine does meanwhile meets both.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { measureGuests } from './guests.js';
import { measureImages } from './images.js';
import { measureMachinectl } from './machinectl.js';
import { withSection } from './page.js';
import { measureRegistry } from './registry.js';
import { judge, printTable, type Row } from './table.js';

interface Group {
  /** Of its section in the page. */
  readonly title: string;
  /** What the table's second column says. */
  readonly subject: string;
  readonly measure: (isQuick: boolean) => Promise<readonly Row[]>;
}

const groups: Readonly<Record<string, Group>> = {
  registry: { title: 'The registry', subject: 'machines', measure: measureRegistry },
  guests: { title: 'Guests', subject: 'guest', measure: measureGuests },
  images: { title: 'Images', subject: 'images', measure: measureImages },
  machinectl: { title: 'machinectl', subject: 'daemon', measure: measureMachinectl },
};
const pageFile = 'docs/benchmarks.md';

async function main(words: readonly string[]): Promise<void> {
  const options = words.filter((word) => word.startsWith('--'));
  const named = words.filter((word) => !word.startsWith('--'));
  const unknown = [...options.filter((word) => word !== '--quick' && word !== '--write'), ...named.filter((word) => !(word in groups))];
  if (unknown.length > 0) {
    throw new Error(`unknown: ${unknown.join(' ')}. There are ${Object.keys(groups).join(', ')}, --quick, --write, and the word codec`);
  }
  for (const [name, group] of Object.entries(groups)) {
    if (named.length > 0 && !named.includes(name)) continue;
    const rows = await group.measure(options.includes('--quick'));
    const table = printTable(rows, group.subject);
    const missed = rows.filter((row) => judge(row).missed).length;
    process.stdout.write(`${table}\n${missed === 0 ? 'All aims are met.' : `${missed} of ${rows.length} aims are missed.`}\n`);
    if (options.includes('--write')) writeFileSync(pageFile, withSection(readFileSync(pageFile, 'utf8'), group.title, table));
  }
}

await main(process.argv.slice(2));
