import type { Context } from '../context.js';
import { changeUnitFiles, unitsOf } from '../unit-files.js';
import { run as powerOff } from './poweroff.js';

export async function run(context: Context, names: readonly string[]): Promise<void> {
  await changeUnitFiles(context, 'disable', await unitsOf(context, names));
  if (context.settings.now) await powerOff(context, names);
}
