import type { Context } from '../context.js';
import { pauseOrResume } from '../control.js';

export async function run(context: Context, names: readonly string[]): Promise<void> {
  await pauseOrResume(context, names, 'Resume');
}
