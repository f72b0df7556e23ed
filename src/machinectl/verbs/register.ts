import type { Context } from '../context.js';
import { CommandFailure } from '../failure.js';
import { failureOf } from '../registry.js';

/** A machine of what runs already: the process and all of its unit. It is gone when that process ends. */
export async function run({ registry, settings, output }: Context, [name = '', leader = '']: readonly string[]): Promise<void> {
  if (!/^[1-9]\d*$/.test(leader)) throw new CommandFailure(`'${leader}' is no PID.`);
  const { machineClass, quiet } = settings;
  try {
    await registry.call('RegisterMachine', {
      name, id: new Uint8Array(), service: 'machinectl', class: machineClass, leader: Number(leader), root_directory: '',
    });
  } catch (error) {
    throw failureOf('Could not register machine', error);
  }
  if (!quiet) output.log('info', `Registered ${name}. It is forgotten when process ${leader} ends, or by: machinectl unregister ${name}`);
}
