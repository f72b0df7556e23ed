// What enable and disable have in common.
import type { Context } from './context.js';
import type { JsonValue } from './json.js';
import { checkImageExists, checkMachineName, serviceUnit } from './machine-names.js';
import { failureOf } from './registry.js';
import { requireSystemd, systemdManager, systemdPath, systemdService } from './systemd.js';

type Change = readonly [type: string, path: string, source: string];

/** The units of machines, each of which has an image. Throws CommandFailure. */
export async function unitsOf({ registry, settings }: Context, names: readonly string[]): Promise<readonly string[]> {
  const units: string[] = [];
  for (const name of names) {
    checkMachineName(name);
    await checkImageExists(registry, name);
    units.push(serviceUnit(name, settings.runner));
  }
  return units;
}

export async function changeUnitFiles(context: Context, action: 'enable' | 'disable', units: readonly string[]): Promise<void> {
  const { registry } = context;
  requireSystemd(registry, 'Machines are started at boot as services of systemd');
  const client = registry.client(systemdService);
  const options = await registry.callOptions({});
  try {
    const { changes } = await registry.attempt(
      action === 'enable'
        ? client.call(systemdManager, systemdPath, 'EnableUnitFiles', { files: ['machines.target', ...units], runtime: false, force: false }, options)
        : client.call(systemdManager, systemdPath, 'DisableUnitFiles', { files: units, runtime: false }, options),
    );
    report(context, changes);
    await client.call(systemdManager, systemdPath, 'Reload', {}, { ...options, timeout: 0 });
  } catch (error) {
    throw failureOf('Failed to enable or disable unit', error);
  }
}

function report({ settings, output }: Context, changes: readonly Change[]): void {
  if (settings.json !== 'off') return output.printJson(changes.map(asJson), settings.json);
  if (settings.quiet) return;
  for (const change of changes) output.log('info', describe(change, output.glyphs.arrow));
}

function describe([type, path, source]: Change, arrow: string): string {
  switch (type) {
    case 'symlink':
      return `Created symlink '${path}' ${arrow} '${source}'.`;
    case 'unlink':
      return `Removed '${path}'.`;
    default:
      return `Unit ${path}: ${type}.`;
  }
}

function asJson([type, path, source]: Change): JsonValue {
  return { type, path, source: source === '' ? null : source };
}
