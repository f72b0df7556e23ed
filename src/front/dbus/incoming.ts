import type { Call } from '../../service/call.js';
import type { ReceivedCall } from '../../wire/dbus/received.js';

/** A call on its way to a handler. */
export interface IncomingCall extends Call {
  readonly message: ReceivedCall;
}
