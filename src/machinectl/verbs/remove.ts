import type { Context } from '../context.js';
import { withProgress } from '../progress.js';
import { failureOf } from '../registry.js';

export async function run(context: Context, names: readonly string[]): Promise<void> {
  for (const name of names) {
    try {
      await withProgress(context, { kind: 'remove', subject: name }, () => context.registry.call('RemoveImage', { name }, { patient: true }));
    } catch (error) {
      throw failureOf('Could not remove image', error);
    }
  }
}
