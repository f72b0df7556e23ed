import { machineInterface } from '../../contract/dbus/machine.js';
import { managerInterface } from '../../contract/dbus/manager.js';
import type { Context } from '../context.js';
import type { JsonValue } from '../json.js';
import { printProperties, propertiesAsJson } from '../properties.js';
import { failureOf } from '../registry.js';

export async function run(context: Context, names: readonly string[]): Promise<void> {
  const { settings, output } = context;
  if (names.length === 0) return showManager(context);
  const machines: JsonValue[] = [];
  for (const [index, name] of names.entries()) {
    const properties = await readMachine(context, name);
    if (settings.json !== 'off') {
      machines.push(propertiesAsJson(machineInterface, properties, settings));
    } else {
      if (index > 0) output.print('\n');
      printProperties(machineInterface, properties, settings, output);
    }
  }
  if (settings.json !== 'off') output.printJson(machines, settings.json);
}

async function showManager({ registry, settings, output }: Context): Promise<void> {
  try {
    const properties = await registry.poolProperties();
    if (settings.json === 'off') return printProperties(managerInterface, properties, settings, output);
    output.printJson(propertiesAsJson(managerInterface, properties, settings), settings.json);
  } catch (error) {
    throw failureOf('Could not get properties', error);
  }
}

async function readMachine({ registry }: Context, name: string) {
  let path;
  try {
    ({ machine: path } = await registry.call('GetMachine', { name }));
  } catch (error) {
    throw failureOf('Could not get path to machine', error);
  }
  try {
    return await registry.machineProperties(path);
  } catch (error) {
    throw failureOf('Could not get properties', error);
  }
}
