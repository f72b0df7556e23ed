import type { Context } from '../context.js';
import { checkImageExists, checkMachineName, serviceUnit } from '../machine-names.js';
import { startUnits } from '../start-units.js';

export async function run({ registry, settings }: Context, names: readonly string[]): Promise<void> {
  const units: string[] = [];
  for (const name of names) {
    checkMachineName(name);
    await checkImageExists(registry, name);
    units.push(serviceUnit(name, settings.runner));
  }
  await startUnits(registry, units);
}
