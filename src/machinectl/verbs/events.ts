import type { Context } from '../context.js';
import { followMachines } from '../machine-events.js';
import { formatTimestamp } from '../time.js';

/** A line for each machine that comes or goes, until the command is interrupted, or nobody reads them. */
export async function run({ registry, settings, output }: Context): Promise<void> {
  const following = followMachines(
    registry,
    ({ type, name }) => {
      const timestamp = BigInt(Date.now()) * 1000n;
      if (settings.json === 'off') output.print(`${formatTimestamp(timestamp)} ${type.padEnd('removed'.length)} ${name}\n`);
      else output.printJson({ timestamp, event: type, machine: name }, settings.json);
      output.flush();
    },
    () => undefined,
  );
  await Promise.race([following, output.unread]);
}
