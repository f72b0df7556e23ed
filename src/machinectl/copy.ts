// What copy-to and copy-from have in common.
import path from 'node:path';
import type { Context } from './context.js';
import { withProgress } from './progress.js';
import { failureOf } from './registry.js';

/** Flag of CopyToMachineWithFlags: what is there is replaced. org.freedesktop.machine1(5). */
const replace = 1n;

/** The host's end may be relative to the working directory; on another host, there is none. */
export function hostPath({ registry }: Context, name: string): string {
  return registry.target.transport === 'local' ? path.resolve(name) : name;
}

export async function copy(
  context: Context, direction: 'to' | 'from', names: { readonly name: string; readonly source: string; readonly destination: string },
): Promise<void> {
  const { registry, settings } = context;
  const plain = ({ to: 'CopyToMachine', from: 'CopyFromMachine' } as const)[direction];
  const forced = ({ to: 'CopyToMachineWithFlags', from: 'CopyFromMachineWithFlags' } as const)[direction];
  try {
    await withProgress(context, { kind: `copy-${direction}`, subject: names.name }, async () => {
      if (settings.force) await registry.call(forced, { ...names, flags: replace }, { patient: true });
      else await registry.call(plain, names, { patient: true });
    });
  } catch (error) {
    throw failureOf('Failed to copy', error);
  }
}
