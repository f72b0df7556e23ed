// What the daemon and its helpers say to each other: one JSON value a line.
import type { ProcessIdentity } from '../../domain/machine.js';

export interface OsReleaseRequest {
  readonly pid: number;
  /** Decimal: JSON has no numbers of 64 bits. null where the kernel has none. */
  readonly pidfdId: string | null;
}

export type OsReleaseAnswer =
  /** null: there is no such file. */
  | { readonly fields: readonly (readonly [string, string])[] | null }
  /** A symbolic errno, and what happened. */
  | { readonly errno: string; readonly message: string };

export function requestFor({ pid, pidfdId }: ProcessIdentity): OsReleaseRequest {
  return { pid, pidfdId: pidfdId === undefined ? null : String(pidfdId) };
}

export function identityOf({ pid, pidfdId }: OsReleaseRequest): ProcessIdentity {
  return { pid, pidfdId: pidfdId === null ? undefined : BigInt(pidfdId) };
}
