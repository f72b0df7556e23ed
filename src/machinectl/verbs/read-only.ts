import type { Context } from '../context.js';
import { parseBoolean } from '../images.js';
import { failureOf } from '../registry.js';

export async function run({ registry }: Context, [name = '', value = 'yes']: readonly string[]): Promise<void> {
  const readOnly = parseBoolean(value);
  try {
    await registry.call('MarkImageReadOnly', { name, read_only: readOnly }, { patient: true });
  } catch (error) {
    throw failureOf('Could not mark image read-only', error);
  }
}
