import { machineInterface } from '../../contract/dbus/machine.js';
import type { Context } from '../context.js';
import { failureOf, type MachineProperties } from '../registry.js';
import { showProperties } from '../show-properties.js';

export async function run(context: Context, names: readonly string[]): Promise<void> {
  await showProperties(context, names, machineInterface, (name) => readMachine(context, name));
}

async function readMachine({ registry }: Context, name: string): Promise<MachineProperties> {
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
