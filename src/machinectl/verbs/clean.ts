import { formatBytes } from '../bytes.js';
import type { Context } from '../context.js';
import { unknownSize } from '../images.js';
import { withProgress } from '../progress.js';
import { failureOf } from '../registry.js';

type Removed = readonly [name: string, freed: bigint];

export async function run(context: Context): Promise<void> {
  const { registry, settings, output } = context;
  let removed: readonly Removed[];
  try {
    ({ images: removed } = await withProgress(context, { kind: 'clean' }, () =>
      registry.call('CleanPool', { mode: settings.all ? 'all' : 'hidden' }, { patient: true }),
    ));
  } catch (error) {
    throw failureOf('Could not clean pool', error);
  }
  if (settings.json !== 'off') return output.printJson(removed.map(([name, freed]) => ({ name, freed: freed === unknownSize ? null : freed })), settings.json);
  for (const [name, freed] of removed) output.log('info', `Removed image '${name}'${freedText('. Freed exclusive disk space: ', freed)}`);
  const isKnown = removed.every(([, freed]) => freed !== unknownSize);
  const total = isKnown ? removed.reduce((sum, [, freed]) => sum + freed, 0n) : unknownSize;
  output.log('info', `Removed ${removed.length} images in total.${freedText(' Total freed exclusive disk space: ', total, '.')}`);
}

function freedText(before: string, freed: bigint, after = ''): string {
  const text = formatBytes(freed);
  return text === undefined ? '' : `${before}${text}${after}`;
}
