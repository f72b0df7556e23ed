import type { Context } from '../context.js';
import { failureOf } from '../registry.js';

export async function run({ registry, settings }: Context, [name = '', newName = '']: readonly string[]): Promise<void> {
  try {
    await registry.call('CloneImage', { name, new_name: newName, read_only: settings.readOnly }, { patient: true });
  } catch (error) {
    throw failureOf('Could not clone image', error);
  }
}
