import type { Context } from './context.js';
import { CommandFailure } from './failure.js';
import type { Settings } from './settings.js';

/** Where the sockets of this scope are. */
export function runtimeDirectory({ scope }: Settings): string {
  return scope === 'user' ? (process.env['XDG_RUNTIME_DIR'] ?? '/run') : '/run';
}

/** Throws CommandFailure unless the command line means this host, without another way to it. */
export function refuseElsewhere({ registry, settings, invokedAs }: Context): void {
  const isLocal = registry.target.transport === 'local' && settings.machine === undefined;
  if (!isLocal) throw new CommandFailure(`${invokedAs} is only supported on the local transport.`);
}

/** Where the daemon serves what the original does not have. Throws CommandFailure for machines of other hosts. */
export function ownSocket({ registry, settings, invokedAs }: Context): string {
  if (registry.target.transport !== 'local') throw new CommandFailure(`${invokedAs} is only supported on the local host.`);
  return `${runtimeDirectory(settings)}/machined/io.machined`;
}
