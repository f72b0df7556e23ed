import type { FromSignature } from './signature.js';

/** A value that carries its own type: one single complete type, and a value as `FromSignature` maps it. */
export interface Variant {
  readonly signature: string;
  readonly value: unknown;
}

/** variant('s', 'x'), variant('a(su)', [['x', 1]]). */
export function variant<S extends string>(signature: S, value: FromSignature<S>[0]): Variant {
  return { signature, value };
}
