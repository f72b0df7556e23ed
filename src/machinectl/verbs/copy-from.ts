import type { Context } from '../context.js';
import { copy, hostPath } from '../copy.js';

export async function run(context: Context, [name = '', source = '', to]: readonly string[]): Promise<void> {
  await copy(context, 'from', { name, source, destination: hostPath(context, to ?? source) });
}
