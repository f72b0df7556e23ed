import type { Context } from './context.js';
import { CommandFailure } from './failure.js';
import type { Settings } from './settings.js';

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

/** Where the daemon serves what the original does not have. Throws CommandFailure for machines of other hosts. */
export function ownSocket({ registry, settings, invokedAs }: Context): string {
  if (registry.target.transport !== 'local') throw new CommandFailure(`${invokedAs} is only supported on the local host.`);
  return `${runtimeDirectory(settings)}/machined/io.machined`;
}
