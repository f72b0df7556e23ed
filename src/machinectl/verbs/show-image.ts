import { imageInterface } from '../../contract/dbus/image.js';
import type { Context } from '../context.js';
import { readImage } from '../images.js';
import { showProperties } from '../show-properties.js';

export async function run(context: Context, names: readonly string[]): Promise<void> {
  await showProperties(context, names, imageInterface, (name) => readImage(context.registry, name));
}
