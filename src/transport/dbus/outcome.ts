import { WireError, type ValueError } from '../../wire/dbus/errors.js';
import type { ReceivedError, ReceivedReturn } from '../../wire/dbus/received.js';
import { BusError, busErrors } from './bus-error.js';

/** Bytes of a body; no service that is called here has more to say, and decoded values take a multiple of it. */
export const receivedBodyLimit = 16 * 1024 * 1024;

/** What came of a call. A BusError of this side or a ValueError: it was not sent, or is given up. */
export type Outcome = ReceivedReturn | ReceivedError | BusError | ValueError;

/** The values of an answer, or the error that it is or that is wrong with it. */
export function readAnswer(outcome: Outcome, expected: string | undefined): readonly unknown[] | BusError | ValueError {
  if (outcome instanceof Error) return outcome;
  if (outcome.bodyLength > receivedBodyLimit) return new BusError(busErrors.limitsExceeded, 'The answer is too long');
  if (outcome.messageType === 'error') return new BusError(outcome.errorName, errorText(outcome));
  if (expected !== undefined && outcome.signature !== expected) {
    const text = `The answer has signature '${outcome.signature}' instead of '${expected}'`;
    return new BusError(busErrors.inconsistentMessage, text);
  }
  try {
    return outcome.body();
  } catch (error) {
    if (error instanceof WireError) return new BusError(busErrors.inconsistentMessage, error.message);
    throw error;
  }
}

/** An error's first string is its text. D-Bus Specification, "Errors". */
function errorText(error: ReceivedError): string {
  if (!error.signature.startsWith('s')) return error.errorName;
  try {
    return error.body()[0] as string;
  } catch (failure) {
    if (failure instanceof WireError) return error.errorName;
    throw failure;
  }
}
