import type { Context } from '../context.js';
import { startUnits } from '../start-units.js';
import { changeUnitFiles, unitsOf } from '../unit-files.js';

export async function run(context: Context, names: readonly string[]): Promise<void> {
  const units = await unitsOf(context, names);
  await changeUnitFiles(context, 'enable', units);
  if (context.settings.now) await startUnits(context.registry, units);
}
