import type { Context } from '../context.js';
import { withProgress } from '../progress.js';
import { failureOf } from '../registry.js';

export async function run(context: Context, [name = '', newName = '']: readonly string[]): Promise<void> {
  const { registry, settings } = context;
  try {
    await withProgress(context, { kind: 'clone', subject: name }, () =>
      registry.call('CloneImage', { name, new_name: newName, read_only: settings.readOnly }, { patient: true }),
    );
  } catch (error) {
    throw failureOf('Could not clone image', error);
  }
}
