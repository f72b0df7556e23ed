import { Failure } from '../domain/failure.js';
import type { Machine } from '../domain/machine.js';
import type { Authority } from '../ports/authority.js';
import { authorize, type Call } from './call.js';

/**
 * Refuses what is declared but cannot be done by this version, in the order in which it would be refused otherwise:
 * whoever may not do it learns just that. Throws Failure 'not-supported', 'access-denied', ….
 */
export async function refuseForMachine(authority: Authority, call: Call, machine: Machine): Promise<never> {
  await authorize(authority, call, { name: machine.name, owner: machine.owner });
  throw notAvailable();
}

/** The same for what is about an image, or about all images (`name` is undefined). */
export async function refuseForImage(authority: Authority, call: Call, name: string | undefined): Promise<never> {
  await authorize(authority, call, name === undefined ? {} : { name });
  throw notAvailable();
}

function notAvailable(): Failure {
  return new Failure('not-supported', 'Not available in this version');
}
