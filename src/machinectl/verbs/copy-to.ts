import type { Context } from '../context.js';
import { copy, hostPath } from '../copy.js';

export async function run(context: Context, [name = '', from = '', to]: readonly string[]): Promise<void> {
  const source = hostPath(context, from);
  await copy(context, 'to', { name, source, destination: to ?? from });
}
