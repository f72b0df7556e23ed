import { systemFailure } from '../../domain/failure.js';
import type { VarlinkCall } from './service.js';

/**
 * Lists have several replies, after which no other protocol can begin. Throws Failure 'system' EUCLEAN, as the original
 * does, for a call that asks for one.
 */
export function refuseUpgrade(call: Pick<VarlinkCall, 'upgrade'>): void {
  if (call.upgrade) throw systemFailure('EUCLEAN', 'A list cannot be followed by another protocol');
}
