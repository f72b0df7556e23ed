import type { Context } from '../context.js';
import { failureOf } from '../registry.js';

export async function run(context: Context, names: readonly string[]): Promise<void> {
  const { killWhom = 'all', signal } = context.settings;
  for (const name of names) await killMachine(context, { name, whom: killWhom, signal });
}

export interface KillRequest {
  readonly name: string;
  /** 'leader', 'supervisor' or 'all'. */
  readonly whom: string;
  readonly signal: number;
}

/** `failure` is said before the reason if it is refused. Throws CommandFailure. */
export async function killMachine({ registry }: Context, request: KillRequest, failure = 'Could not kill machine'): Promise<void> {
  try {
    await registry.call('KillMachine', request);
  } catch (error) {
    throw failureOf(failure, error);
  }
}
