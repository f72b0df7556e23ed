import { isMachinedError } from '../../client/error.js';
import { VarlinkClient } from '../../client/varlink.js';
import { ownMachineVarlink } from '../../contract/varlink/own-machine.js';
import type { Context } from '../context.js';
import { CommandFailure } from '../failure.js';
import { ownReason, ownSocket } from '../own-socket.js';

export async function run(context: Context, [name = '', destination = '']: readonly string[]): Promise<void> {
  using client = new VarlinkClient(ownSocket(context));
  try {
    await client.call(ownMachineVarlink, 'Unbind', { name, destination, allowInteractiveAuthentication: await context.registry.allowQuestions() });
  } catch (error) {
    if (isMachinedError(error, 'unreachable')) throw new CommandFailure(`unbind takes this project's daemon. ${error.message}`);
    if (isMachinedError(error)) throw new CommandFailure(`Failed to unbind: ${ownReason(error, name)}`);
    throw error;
  }
}
