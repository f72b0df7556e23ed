import type { Context } from '../context.js';
import { failureOf } from '../registry.js';

export async function run(context: Context, names: readonly string[]): Promise<void> {
  const { killWhom = 'all', signal } = context.settings;
  for (const name of names) await killMachine(context, name, { whom: killWhom, signal });
}

/** `whom`: 'leader', 'supervisor' or 'all'. Throws CommandFailure. */
export async function killMachine({ registry }: Context, name: string, request: { readonly whom: string; readonly signal: number }): Promise<void> {
  try {
    await registry.call('KillMachine', { name, ...request });
  } catch (error) {
    throw failureOf('Could not kill machine', error);
  }
}
