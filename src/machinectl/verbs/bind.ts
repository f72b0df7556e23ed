import type { Context } from '../context.js';
import { failureOf } from '../registry.js';

export async function run({ registry, settings }: Context, [name = '', source = '', destination = source]: readonly string[]): Promise<void> {
  try {
    await registry.call('BindMountMachine', { name, source, destination, read_only: settings.readOnly, mkdir: settings.mkdir }, { patient: true });
  } catch (error) {
    throw failureOf('Failed to bind mount', error);
  }
}
