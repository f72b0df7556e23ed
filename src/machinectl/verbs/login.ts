import type { Context } from '../context.js';
import { CommandFailure } from '../failure.js';
import { openSession } from '../open-session.js';

export async function run(context: Context, [name = '.host']: readonly string[]): Promise<void> {
  const { registry, settings } = context;
  if (settings.environment.length > 0 || settings.uid !== undefined) {
    throw new CommandFailure("--setenv= and --uid= are not supported for 'login'. Use 'shell' instead.");
  }
  if (registry.target.transport === 'remote') throw new CommandFailure('Login only supported on local machines.');
  const machine = name === '' ? '.host' : name;
  await openSession(context, {
    machine, returns: true, failure: 'Failed to get login PTY', open: () => registry.callForDescriptors('OpenMachineLogin', { name: machine }),
  });
}
