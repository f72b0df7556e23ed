import type { MachinedError } from '../client/error.js';
import type { Context } from './context.js';
import { CommandFailure } from './failure.js';
import type { Settings } from './settings.js';
import { errnoText } from './system-errors.js';

/** Where the sockets of this scope are. */
export function runtimeDirectory({ scope }: Settings): string {
  return scope === 'user' ? (process.env['XDG_RUNTIME_DIR'] ?? '/run') : '/run';
}

/** Whether the command line means this host, without another way to it. Throws CommandFailure if there is no such way. */
export function isPlainlyHere({ registry, settings }: Context): boolean {
  return registry.target.transport === 'local' && settings.machine === undefined;
}

/** Throws CommandFailure unless the command line means this host. */
export function refuseElsewhere(context: Context): void {
  if (!isPlainlyHere(context)) throw new CommandFailure(`${context.invokedAs} is only supported on the local transport.`);
}

/** Why a call to what this project adds failed, in words for people. */
export function ownReason(error: MachinedError, machine: string, user = 'root'): string {
  switch (error.code) {
    case 'no-such-machine':
      return `No machine '${machine}' known`;
    case 'no-such-user':
      return `Machine '${machine}' has no user '${user}'`;
    case 'not-supported':
      return `This cannot be done to machine '${machine}'`;
    case 'invalid-argument':
      return `Invalid argument '${error.parameter ?? ''}'`;
    case 'access-denied':
      return 'Access denied';
    case 'authentication-required':
      return 'Access denied: a password would have to be asked for, and nobody can be asked here';
    case 'too-many-operations':
      return 'Too much is under way already';
    case 'system':
      return errnoText(error.errno ?? '');
    default:
      return error.message;
  }
}

/** Where the daemon serves what the original does not have. Throws CommandFailure for machines of other hosts. */
export function ownSocket({ registry, settings, invokedAs }: Context): string {
  if (registry.target.transport !== 'local') throw new CommandFailure(`${invokedAs} is only supported on the local host.`);
  return `${runtimeDirectory(settings)}/machined/io.machined`;
}
