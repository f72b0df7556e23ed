import { Failure } from '../../domain/failure.js';

/** Stands in for the handler of a method that is declared but cannot be carried out by this version. */
export function unavailable(method: string): () => never {
  return () => {
    throw new Failure('not-supported', `${method} is not available in this version`);
  };
}
