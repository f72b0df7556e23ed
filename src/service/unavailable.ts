import { Failure } from '../domain/failure.js';
import type { Authority } from '../ports/authority.js';
import { authorize, type Call } from './call.js';

/**
 * Refuses what is declared but cannot be done by this version, about an image or about all of them (`name` is undefined),
 * in the order in which it would be refused otherwise: whoever may not do it learns just that. Throws Failure
 * 'not-supported', 'access-denied', ….
 */
export async function refuseForImage(authority: Authority, call: Call, name: string | undefined): Promise<never> {
  await authorize(authority, call, name === undefined ? {} : { name });
  throw notAvailable();
}

function notAvailable(): Failure {
  return new Failure('not-supported', 'Not available in this version');
}
