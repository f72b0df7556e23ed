// What show and show-image have in common.
import type { InterfaceDeclaration } from '../contract/dbus/declare.js';
import { managerInterface } from '../contract/dbus/manager.js';
import type { Context } from './context.js';
import type { JsonValue } from './json.js';
import { printProperties, propertiesAsJson } from './properties.js';
import { failureOf } from './registry.js';

type Properties = Readonly<Record<string, unknown>>;

/** The properties of each, an empty line between; without a name, the registry's own. */
export async function showProperties(
  context: Context, names: readonly string[], declaration: InterfaceDeclaration, read: (name: string) => Promise<Properties>,
): Promise<void> {
  const { settings, output } = context;
  if (names.length === 0) return showManager(context);
  const objects: JsonValue[] = [];
  for (const [index, name] of names.entries()) {
    const properties = await read(name);
    if (settings.json !== 'off') {
      objects.push(propertiesAsJson(declaration, properties, settings));
    } else {
      if (index > 0) output.print('\n');
      printProperties(declaration, properties, settings, output);
    }
  }
  if (settings.json !== 'off') output.printJson(objects, settings.json);
}

async function showManager({ registry, settings, output }: Context): Promise<void> {
  let properties: Properties;
  try {
    properties = await registry.poolProperties();
  } catch (error) {
    throw failureOf('Could not get properties', error);
  }
  if (settings.json === 'off') printProperties(managerInterface, properties, settings, output);
  else output.printJson(propertiesAsJson(managerInterface, properties, settings), settings.json);
}
