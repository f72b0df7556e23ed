import type { Context } from '../context.js';
import { parseBoolean } from '../boolean.js';
import { CommandFailure } from '../failure.js';
import { failureOf } from '../registry.js';

export async function run({ registry }: Context, [name = '', value = 'yes']: readonly string[]): Promise<void> {
  const readOnly = parseBoolean(value);
  if (readOnly === undefined) throw new CommandFailure(`Failed to parse boolean argument: ${value}`);
  try {
    await registry.call('MarkImageReadOnly', { name, read_only: readOnly }, { patient: true });
  } catch (error) {
    throw failureOf('Could not mark image read-only', error);
  }
}
