import { imageVarlink } from '../../contract/varlink/image.js';
import { bindVarlink, MethodError, type BoundVarlinkInterface } from './service.js';

/** io.systemd.MachineImage. */
export function imageInterface(): BoundVarlinkInterface {
  return bindVarlink(imageVarlink, {
    List: later,
    Update: later,
    Clone: later,
    Remove: later,
    SetPoolLimit: later,
    CleanPool: later,
  });
}

function later(): never {
  throw new MethodError('io.systemd.MachineImage.NotSupported');
}
