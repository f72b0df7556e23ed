/**
 * A failure that a caller may expect: it has a kind, which each protocol translates into an error name of its own,
 * and a message that tells the caller what to do. Anything else that is thrown is a bug.
 */
export type FailureKind =
  | 'no-such-machine'
  | 'no-machine-for-pid'
  | 'machine-exists'
  | 'no-such-image'
  | 'no-such-user'
  | 'no-such-execution'
  | 'no-such-user-mapping'
  | 'no-such-group-mapping'
  | 'group-not-mapped'
  | 'user-in-host-range'
  | 'group-in-host-range'
  | 'no-private-networking'
  | 'no-os-release'
  | 'no-uid-shift'
  | 'no-ipc'
  | 'not-available'
  | 'not-supported'
  | 'not-a-container'
  | 'invalid-argument'
  | 'access-denied'
  | 'interactive-authentication-required'
  | 'too-many-operations'
  | 'no-such-operation'
  | 'system';

export interface FailureDetails {
  /** Varlink's name of the field that was wrong, for 'invalid-argument'. */
  readonly parameter?: string;
  /** Symbolic errno ('ESRCH') for 'system'. */
  readonly errno?: string;
  /** A bus error name that another service answered with and that is passed on as it is (systemd's, for a unit). */
  readonly busError?: string;
  readonly cause?: unknown;
}

export class Failure extends Error {
  override readonly name = 'Failure';
  readonly kind: FailureKind;
  readonly parameter: string | undefined;
  readonly errno: string | undefined;
  readonly busError: string | undefined;

  constructor(kind: FailureKind, message: string, details: FailureDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.kind = kind;
    this.parameter = details.parameter;
    this.errno = details.errno;
    this.busError = details.busError;
  }
}

/** A caller's argument is wrong. `parameter` is the Varlink name of the field. */
export function invalidArgument(parameter: string, message: string): Failure {
  return new Failure('invalid-argument', message, { parameter });
}

/** A system call, or something that speaks errno, failed in a way that the caller should see. */
export function systemFailure(errno: string, message: string, cause?: unknown): Failure {
  return new Failure('system', message, cause === undefined ? { errno } : { errno, cause });
}

export function isFailure(error: unknown, kind?: FailureKind): error is Failure {
  return error instanceof Failure && (kind === undefined || error.kind === kind);
}
