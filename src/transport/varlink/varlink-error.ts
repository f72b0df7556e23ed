import type { JsonObject } from '../../wire/varlink/json.js';

/**
 * An error that a Varlink service answered a call with, or that this side made in its place. `varlinkName` is the
 * error's name with its interface ('io.systemd.Machine.NoSuchMachine'), `parameters` what came with it; the message is
 * for people.
 */
export class VarlinkError extends Error {
  override readonly name = 'VarlinkError';
  readonly varlinkName: string;
  readonly parameters: JsonObject;

  constructor(varlinkName: string, parameters: JsonObject = {}, message = describe(varlinkName, parameters)) {
    super(message);
    this.varlinkName = varlinkName;
    this.parameters = parameters;
  }
}

/** The interface io.systemd has these names for what never crosses the wire. */
export const localErrors = {
  disconnected: 'io.systemd.Disconnected',
  timedOut: 'io.systemd.TimedOut',
  protocol: 'io.systemd.Protocol',
} as const;

function describe(name: string, parameters: JsonObject): string {
  const details = Object.entries(parameters).flatMap(([key, value]) =>
    typeof value === 'string' || typeof value === 'number' ? [`${key}: ${value}`] : [],
  );
  return details.length === 0 ? name : `${name} (${details.join(', ')})`;
}
