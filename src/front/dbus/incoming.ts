import type { Call } from '../../service/call.js';
import type { ReceivedCall } from '../../wire/dbus/received.js';

/** A call on its way to a handler. */
export interface IncomingCall extends Call {
  readonly message: ReceivedCall;
  /** The descriptor goes with the reply, and is closed then, or when the call has failed. Returns its value of type h. */
  passDescriptor(fd: number): number;
}
