import type { UserId } from '../domain/users.js';

/** Who makes a call, as the transport vouches for it. */
export interface Caller {
  /** undefined where the transport cannot tell, in which case nothing privileged is allowed. */
  readonly uid: UserId | undefined;
  readonly pid: number | undefined;
  /** A bus name for a D-Bus caller, otherwise undefined. */
  readonly busName: string | undefined;
}

export interface AuthorizationRequest {
  /** A polkit action id: 'org.freedesktop.machine1.manage-machines'. */
  readonly action: string;
  /** Passed to polkit's agent and rules. */
  readonly details: Readonly<Record<string, string>>;
  /** The caller agreed that the user may be asked. */
  readonly interactive: boolean;
}

export type Verdict = 'allowed' | 'denied' | 'interactive-authentication-required';

/** Decides whether a caller may do something: polkit where it runs, root alone where it does not. */
export interface Authority {
  check(caller: Caller, request: AuthorizationRequest): Promise<Verdict>;
}
