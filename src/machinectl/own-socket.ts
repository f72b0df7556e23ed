import type { Context } from './context.js';
import { CommandFailure } from './failure.js';

/** Where the daemon serves what the original does not have. Throws CommandFailure for machines of other hosts. */
export function ownSocket({ registry, settings, invokedAs }: Context): string {
  if (registry.target.transport !== 'local') throw new CommandFailure(`${invokedAs} is only supported on the local host.`);
  const runtime = settings.scope === 'user' ? (process.env['XDG_RUNTIME_DIR'] ?? '/run') : '/run';
  return `${runtime}/machined/io.machined`;
}
