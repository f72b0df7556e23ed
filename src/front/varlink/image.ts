import { imageVarlink } from '../../contract/varlink/image.js';
import { isFailure } from '../../domain/failure.js';
import type { Authority } from '../../ports/authority.js';
import { refuseForImage } from '../../service/unavailable.js';
import { bindVarlink, MethodError, type BoundVarlinkInterface, type VarlinkCall } from './service.js';

/** io.systemd.MachineImage. */
export function imageInterface(authority: Authority): BoundVarlinkInterface {
  const unavailable = (input: object, call: VarlinkCall) =>
    refuse(authority, 'name' in input && typeof input.name === 'string' ? input.name : undefined, call);
  return bindVarlink(imageVarlink, {
    List: unavailable,
    Update: unavailable,
    Clone: unavailable,
    Remove: unavailable,
    SetPoolLimit: unavailable,
    CleanPool: unavailable,
  });
}

/** The interface has a NotSupported of its own. */
async function refuse(authority: Authority, name: string | undefined, call: VarlinkCall): Promise<never> {
  try {
    return await refuseForImage(authority, call, name);
  } catch (error) {
    if (!isFailure(error, 'not-supported')) throw error;
    throw new MethodError('io.systemd.MachineImage.NotSupported');
  }
}
