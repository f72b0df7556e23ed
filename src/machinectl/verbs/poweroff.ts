import type { Context } from '../context.js';
import { tellControl } from '../control.js';
import { killMachine } from './kill.js';

/** SIGRTMIN+4: asks the first process of a container to power off, systemd(1), "Signals". */
const powerOffSignal = 38;

export async function run(context: Context, names: readonly string[]): Promise<void> {
  for (const name of names) {
    if (await tellControl(context, name, 'PowerOff')) continue;
    await killMachine(context, { name, whom: 'leader', signal: powerOffSignal });
  }
}
