import { imageInterface } from '../../contract/dbus/image.js';
import { managerInterface } from '../../contract/dbus/manager.js';
import type { Context } from '../context.js';
import { readImage } from '../images.js';
import type { JsonValue } from '../json.js';
import { printProperties, propertiesAsJson } from '../properties.js';
import { failureOf } from '../registry.js';

export async function run(context: Context, names: readonly string[]): Promise<void> {
  const { registry, settings, output } = context;
  if (names.length === 0) return showPool(context);
  const images: JsonValue[] = [];
  for (const [index, name] of names.entries()) {
    const properties = await readImage(registry, name);
    if (settings.json !== 'off') {
      images.push(propertiesAsJson(imageInterface, properties, settings));
    } else {
      if (index > 0) output.print('\n');
      printProperties(imageInterface, properties, settings, output);
    }
  }
  if (settings.json !== 'off') output.printJson(images, settings.json);
}

async function showPool({ registry, settings, output }: Context): Promise<void> {
  try {
    const properties = await registry.poolProperties();
    if (settings.json === 'off') return printProperties(managerInterface, properties, settings, output);
    output.printJson(propertiesAsJson(managerInterface, properties, settings), settings.json);
  } catch (error) {
    throw failureOf('Could not get properties', error);
  }
}
