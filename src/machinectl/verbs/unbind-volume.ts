import type { Context } from '../context.js';
import { connectControl, controlFailure, machineInstance } from '../control.js';
import { CommandFailure } from '../failure.js';
import { refuseElsewhere } from '../own-socket.js';
import { isVolumeName } from '../volume.js';

export async function run(context: Context, [machine = '', name = '']: readonly string[]): Promise<void> {
  refuseElsewhere(context);
  if (!isVolumeName(name)) throw new CommandFailure(`Invalid unbind-volume name '${name}', expected '<provider>:<volume>'.`);
  using control = await connectControl(context, machine);
  try {
    await control.call(machineInstance, 'RemoveStorage', { name });
  } catch (error) {
    throw controlFailure('RemoveStorage', `RemoveStorage failed for '${name}'`, error);
  }
}
