import type { Context } from '../context.js';
import { tellControl } from '../control.js';
import { failureOf } from '../registry.js';

export async function run(context: Context, names: readonly string[]): Promise<void> {
  for (const name of names) {
    if (await tellControl(context, name, 'Terminate')) continue;
    try {
      await context.registry.call('TerminateMachine', { id: name });
    } catch (error) {
      throw failureOf('Could not terminate machine', error);
    }
  }
}
