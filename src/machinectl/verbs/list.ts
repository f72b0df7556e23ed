import { formatAddress } from '../addresses.js';
import type { Context } from '../context.js';
import { failureOf, unlessRefused } from '../registry.js';
import { formatTable, textOrDash, type Column } from '../table.js';

interface Row {
  readonly name: string;
  readonly class: string;
  readonly service: string;
  readonly os: string;
  readonly version: string;
  readonly addresses: readonly string[];
}

export async function run(context: Context): Promise<void> {
  const { settings, output } = context;
  const rows = await readRows(context);
  const shown = rows.filter((row) => settings.all || !row.name.startsWith('.')).sort((one, other) => compare(one.name, other.name));
  const withAddresses = settings.maximumAddresses !== 0;
  if (settings.tableJson !== 'off') return output.printJson(shown.map((row) => jsonRow(row, withAddresses)), settings.tableJson);
  if (shown.length > 0) printTable(context, shown, withAddresses);
  if (settings.legend) output.print(shown.length > 0 ? `\n${shown.length} machines listed.\n` : 'No machines.\n');
}

function compare(one: string, other: string): number {
  return Buffer.compare(Buffer.from(one), Buffer.from(other));
}

/** All is asked at once; a machine that ends meanwhile, or does not tell, has empty cells. */
async function readRows({ registry, settings }: Context): Promise<readonly Row[]> {
  let machines;
  try {
    ({ machines } = await registry.call('ListMachines', {}));
  } catch (error) {
    throw failureOf('Could not get machines', error);
  }
  return Promise.all(
    machines.map(async ([name, kind, service]) => {
      const [fields, addresses] = await Promise.all([
        unlessRefused(registry.call('GetMachineOSRelease', { name })),
        settings.maximumAddresses === 0 ? undefined : unlessRefused(registry.call('GetMachineAddresses', { name })),
      ]);
      return {
        name, class: kind, service,
        os: fields?.fields.get('ID') ?? '',
        version: fields?.fields.get('VERSION_ID') ?? '',
        addresses: (addresses?.addresses ?? []).map(([family, address]) => formatAddress(family, address)),
      };
    }),
  );
}

function printTable({ settings, output }: Context, rows: readonly Row[], withAddresses: boolean): void {
  const columns: Column[] = ['MACHINE', 'CLASS', 'SERVICE', 'OS', 'VERSION', ...(withAddresses ? ['ADDRESSES'] : [])].map((title) => ({ title }));
  const cells = rows.map((row) => [
    ...[row.name, row.class, row.service, row.os, row.version].map(textOrDash),
    ...(withAddresses ? [row.addresses.length === 0 ? textOrDash('') : { text: row.addresses }] : []),
  ]);
  const unlimited = settings.full || settings.maximumAddresses === 'all';
  output.print(
    formatTable(columns, cells, {
      width: output.widthFor(settings),
      colours: output.colours,
      glyphs: output.glyphs,
      header: settings.legend,
      ...(unlimited ? {} : { maximumHeight: Number(settings.maximumAddresses) || 1 }),
    }),
  );
}

function jsonRow(row: Row, withAddresses: boolean): object {
  const orNull = (text: string): string | null => (text === '' ? null : text);
  return {
    machine: row.name,
    class: orNull(row.class),
    service: orNull(row.service),
    os: orNull(row.os),
    version: orNull(row.version),
    ...(withAddresses ? { addresses: orNull(row.addresses.join('\n')) } : {}),
  };
}
