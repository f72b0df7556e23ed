import type { Context } from '../context.js';
import { failureOf } from '../registry.js';

export async function run({ registry }: Context, names: readonly string[]): Promise<void> {
  for (const name of names) {
    try {
      await registry.call('UnregisterMachine', { name });
    } catch (error) {
      throw failureOf('Could not unregister machine', error);
    }
  }
}
