import type { UserId } from '../domain/users.js';

/** Who makes a call, as the transport vouches for it. */
export interface Caller {
  /** undefined where the transport cannot tell, in which case nothing privileged is allowed. */
  readonly uid: UserId | undefined;
  readonly pid: number | undefined;
  /** A bus name for a D-Bus caller, otherwise undefined. */
  readonly busName: string | undefined;
  /** The caller's pidfd where the kernel gives one, open until `gone`: its PID alone may come to mean another process. */
  readonly pidfd?: number | undefined;
  /** Aborted when the caller has disconnected: nobody waits for the verdict any more. */
  readonly gone?: AbortSignal | undefined;
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
  /** Who may do everything, without being asked about: root, and in a registry of a user's own that user. */
  isPrivileged(uid: UserId | undefined): boolean;
  /**
   * Whoever is privileged is always allowed, a caller without a uid never is; neither is asked about. Asking a user may
   * take minutes. Throws Failure 'system' where the question cannot be answered, and 'too-many-operations' where a user
   * has too many questions open already.
   */
  check(caller: Caller, request: AuthorizationRequest): Promise<Verdict>;
}
