import type { Context } from '../context.js';
import { failureOf } from '../registry.js';

export async function run({ registry }: Context, [name = '', newName = '']: readonly string[]): Promise<void> {
  try {
    await registry.call('RenameImage', { name, new_name: newName });
  } catch (error) {
    throw failureOf('Could not rename image', error);
  }
}
