import { defined } from '../../client/convert.js';
import { isMachinedError } from '../../client/error.js';
import { loadNative, onlyDescriptor } from '../../client/native.js';
import { VarlinkClient } from '../../client/varlink.js';
import type { Context } from '../context.js';
import { callReason, connectControl, controlFailure, machineInstance } from '../control.js';
import { CommandFailure } from '../failure.js';
import { refuseElsewhere, runtimeDirectory } from '../own-socket.js';
import { storageProvider } from '../storage-provider.js';
import { errnoText } from '../system-errors.js';
import { parseVolume, volumeName, VolumeSyntaxError, type VolumeRequest } from '../volume.js';

export async function run(context: Context, [machine = '', text = '']: readonly string[]): Promise<void> {
  refuseElsewhere(context);
  const request = readVolume(text);
  // First, so that no volume is made for a machine that cannot have it.
  using control = await connectControl(context, machine);
  const { close } = await loadNative();
  const volume = await acquire(context, request);
  const name = volumeName(request);
  try {
    const input = defined({ fileDescriptorIndex: 0, name, config: request.config });
    const { fds } = await control.callForDescriptors(machineInstance, 'AddStorage', input, { descriptors: [volume] });
    fds.forEach(close);
  } catch (error) {
    throw controlFailure('AddStorage', `AddStorage failed for '${name}'`, error);
  } finally {
    close(volume);
  }
}

function readVolume(text: string): VolumeRequest {
  try {
    return parseVolume(text);
  } catch (error) {
    if (!(error instanceof VolumeSyntaxError)) throw error;
    throw new CommandFailure(`Failed to parse bind-volume argument '${text}': ${errnoText(error.errno)}`);
  }
}

/** The volume's descriptor, which the caller closes. Throws CommandFailure. */
async function acquire(context: Context, request: VolumeRequest): Promise<number> {
  const { provider, volume, createMode, template, readOnly, requestAs, createSize } = request;
  const input = defined({
    name: volume, createMode, template, readOnly, requestAs, createSizeBytes: createSize,
    allowInteractiveAuthentication: await context.registry.allowQuestions(),
  });
  using client = new VarlinkClient(`${runtimeDirectory(context.settings)}/systemd/io.systemd.StorageProvider/${provider}`);
  try {
    const { output, fds } = await client.callForDescriptors(storageProvider, 'Acquire', input);
    return await onlyDescriptor(fds, output.fileDescriptorIndex);
  } catch (error) {
    if (!isMachinedError(error)) throw error;
    throw new CommandFailure(`Failed to acquire storage volume '${volumeName(request)}' from provider: ${callReason(error)}`);
  }
}
