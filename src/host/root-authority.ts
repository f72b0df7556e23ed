import type { Authority, Caller, Verdict } from '../ports/authority.js';

/**
 * For a host without a bus, and so without polkit: root may do everything, and nobody else anything; in a registry of
 * a user's own, that user may as well.
 */
export class RootAuthority implements Authority {
  readonly #owner: number;

  /** `owner` is the effective uid of this process. */
  constructor(owner: number) {
    this.#owner = owner;
  }

  isPrivileged(uid: number | undefined): boolean {
    return uid === 0 || uid === this.#owner;
  }

  async check(caller: Caller): Promise<Verdict> {
    return this.isPrivileged(caller.uid) ? 'allowed' : 'denied';
  }
}
