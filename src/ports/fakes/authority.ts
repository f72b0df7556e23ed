import type { Authority, AuthorizationRequest, Caller, Verdict } from '../authority.js';

/** Decides as it was told to, and as polkit does by default otherwise: a user would have to authenticate. */
export class FakeAuthority implements Authority {
  /** What it was asked, root's requests left out, as they need no decision. */
  readonly asked: { readonly caller: Caller; readonly request: AuthorizationRequest }[] = [];
  readonly #decisions = new Map<string, Verdict>();

  /** From now on this is the verdict for an action, of whomever and with whatever details. */
  decide(action: string, verdict: Verdict): void {
    this.#decisions.set(action, verdict);
  }

  isPrivileged(uid: number | undefined): boolean {
    return uid === 0;
  }

  async check(caller: Caller, request: AuthorizationRequest): Promise<Verdict> {
    if (this.isPrivileged(caller.uid)) return 'allowed';
    if (caller.uid === undefined) return 'denied';
    this.asked.push({ caller, request });
    return this.#decisions.get(request.action) ?? 'interactive-authentication-required';
  }
}
