import type { Context } from '../context.js';
import { tellControl } from '../control.js';
import { killMachine } from './kill.js';

/** SIGINT: asks the first process of a container to reboot, systemd(1), "Signals". */
const rebootSignal = 2;

export async function run(context: Context, names: readonly string[]): Promise<void> {
  for (const name of names) {
    if (await tellControl(context, name, 'Reboot')) continue;
    await killMachine(context, { name, whom: 'leader', signal: rebootSignal }, `Could not reboot machine '${name}'`);
  }
}
