import type { Machine } from '../../domain/machine.js';
import type { Authority } from '../../ports/authority.js';
import type { Machines } from '../../service/machines.js';
import { refuseForImage, refuseForMachine } from '../../service/unavailable.js';
import type { IncomingCall } from './incoming.js';

// Handlers of methods that are declared but cannot be carried out by this version.

interface Services {
  readonly machines: Machines;
  readonly authority: Authority;
}

/** A method of the Manager about a machine that is named. */
export function unavailableForNamedMachine({ machines, authority }: Services) {
  return (_: unknown, { name }: { readonly name: string }, call: IncomingCall): Promise<never> =>
    refuseForMachine(authority, call, machines.byName(name));
}

/** A method of a machine's object. */
export function unavailableForMachine({ authority }: Services) {
  return (machine: Machine, _: unknown, call: IncomingCall): Promise<never> => refuseForMachine(authority, call, machine);
}

/** A method of the Manager about an image that is named, or about all of them. */
export function unavailableForImages({ authority }: Services) {
  return (_: unknown, input: object, call: IncomingCall): Promise<never> =>
    refuseForImage(authority, call, 'name' in input && typeof input.name === 'string' ? input.name : undefined);
}
