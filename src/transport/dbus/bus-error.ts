/**
 * An error that a D-Bus service answered a call with, or that the bus or this connection answered in its place.
 * `busName` is the error's name ('org.freedesktop.DBus.Error.NoReply'); the message is for people.
 */
export class BusError extends Error {
  override readonly name = 'BusError';
  readonly busName: string;

  constructor(busName: string, message: string) {
    super(message);
    this.busName = busName;
  }
}

export function isBusError(error: unknown, busName?: string): error is BusError {
  return error instanceof BusError && (busName === undefined || error.busName === busName);
}

/** Errors that every D-Bus program may meet. D-Bus Specification, "Message Bus Messages", and dbus-protocol.h's list. */
export const busErrors = {
  disconnected: 'org.freedesktop.DBus.Error.Disconnected',
  /** Nothing came within the time limit, or whoever should have answered has gone. */
  noReply: 'org.freedesktop.DBus.Error.NoReply',
  serviceUnknown: 'org.freedesktop.DBus.Error.ServiceUnknown',
  nameHasNoOwner: 'org.freedesktop.DBus.Error.NameHasNoOwner',
  unknownMethod: 'org.freedesktop.DBus.Error.UnknownMethod',
  /** The answer is not of the signature that it should have, or its bytes are no values. */
  inconsistentMessage: 'org.freedesktop.DBus.Error.InconsistentMessage',
  limitsExceeded: 'org.freedesktop.DBus.Error.LimitsExceeded',
} as const;
