import { formatBytes } from '../bytes.js';
import type { Context } from '../context.js';
import { unknownSize } from '../images.js';
import { failureOf } from '../registry.js';
import { formatTable, type Cell, type Column } from '../table.js';
import { formatTimestamp } from '../time.js';

interface Row {
  readonly name: string;
  readonly type: string;
  readonly readOnly: boolean;
  readonly created: bigint;
  readonly modified: bigint;
  readonly usage: bigint;
}

const columns: readonly Column[] = [
  { title: 'NAME' }, { title: 'TYPE' }, { title: 'RO' }, { title: 'USAGE', align: 'right' }, { title: 'CREATED' }, { title: 'MODIFIED' },
];

export async function run(context: Context): Promise<void> {
  const { settings, output } = context;
  const rows = (await readRows(context)).filter(({ name }) => settings.all || !name.startsWith('.'));
  rows.sort((one, other) => Buffer.compare(Buffer.from(one.name), Buffer.from(other.name)));
  if (settings.tableJson !== 'off') return output.printJson(rows.map(asJson), settings.tableJson);
  if (rows.length > 0) {
    output.print(formatTable(columns, rows.map(cellsOf), { width: output.widthFor(settings), colours: output.colours, glyphs: output.glyphs, header: settings.legend }));
  }
  if (settings.legend) output.print(rows.length > 0 ? `\n${rows.length} images listed.\n` : 'No images.\n');
}

async function readRows({ registry }: Context): Promise<Row[]> {
  try {
    const { images } = await registry.call('ListImages', {});
    return images.map(([name, type, readOnly, created, modified, usage]) => ({ name, type, readOnly, created, modified, usage }));
  } catch (error) {
    throw failureOf('Could not get images', error);
  }
}

function cellsOf({ name, type, readOnly, created, modified, usage }: Row): readonly Cell[] {
  return [
    { text: name },
    { text: type },
    readOnly ? { text: 'yes', style: 'red' } : { text: 'no' },
    { text: formatBytes(usage) ?? '' },
    { text: formatTimestamp(created) || '-' },
    { text: formatTimestamp(modified) || '-' },
  ];
}

function asJson({ name, type, readOnly, created, modified, usage }: Row): object {
  return { name, type, ro: readOnly, usage: usage === unknownSize ? null : usage, created, modified };
}
