import type { Context } from '../context.js';
import { CommandFailure } from '../failure.js';
import { openSession } from '../open-session.js';

/** What programs in the machine need to know of this terminal. */
const terminalVariables = ['TERM', 'COLORTERM', 'NO_COLOR'];

export async function run(context: Context, [specification = '', path = '', ...rest]: readonly string[]): Promise<void> {
  const { registry, settings } = context;
  if (registry.target.transport === 'remote') throw new CommandFailure('Shell only supported on local machines.');
  const { user, machine } = readSpecification(specification, settings.uid ?? '');
  const environment = shellEnvironment(settings.environment, process.env);
  const args = path === '' ? [] : [path, ...rest];
  await openSession(context, {
    machine, returns: false, failure: 'Failed to get shell PTY',
    open: () => registry.callForDescriptors('OpenMachineShell', { name: machine, user, path, args, environment }),
  });
}

/** '[USER@]NAME'; nothing at all is this host. Throws CommandFailure. */
export function readSpecification(text: string, defaultUser: string): { readonly user: string; readonly machine: string } {
  const at = text.indexOf('@');
  if (at === 0) throw new CommandFailure('Failed to parse machine specification: Invalid argument');
  const machine = text.slice(at + 1);
  return { user: at < 0 ? defaultUser : text.slice(0, at), machine: machine === '' ? '.host' : machine };
}

function shellEnvironment(wanted: readonly string[], own: NodeJS.ProcessEnv): string[] {
  const missing = terminalVariables.filter((name) => own[name] !== undefined && !wanted.some((other) => other.startsWith(`${name}=`)));
  return [...wanted, ...missing.map((name) => `${name}=${own[name] ?? ''}`)];
}
