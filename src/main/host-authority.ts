import { PolkitAuthority } from '../host/polkit.js';
import { RootAuthority } from '../host/root-authority.js';
import type { Authority, AuthorizationRequest, Caller, Verdict } from '../ports/authority.js';
import type { UserId } from '../domain/users.js';
import type { BusConnection } from '../transport/dbus/connection.js';
import type { BusLink } from './bus-link.js';

/** polkit for root's registry as long as there is a bus to ask it on; otherwise root, or the registry's own user, alone. */
export class HostAuthority implements Authority {
  readonly #owner: number;
  readonly #link: BusLink;
  readonly #root: RootAuthority;
  #polkit: { readonly connection: BusConnection; readonly authority: PolkitAuthority } | undefined;

  constructor(owner: number, link: BusLink) {
    this.#owner = owner;
    this.#link = link;
    this.#root = new RootAuthority(owner);
  }

  isPrivileged(uid: UserId | undefined): boolean {
    return this.#root.isPrivileged(uid);
  }

  async check(caller: Caller, request: AuthorizationRequest): Promise<Verdict> {
    const connection = this.#link.current;
    if (connection === undefined || this.#owner !== 0) return this.#root.check(caller);
    if (this.#polkit?.connection !== connection) {
      this.#polkit = { connection, authority: new PolkitAuthority(connection) };
    }
    return this.#polkit.authority.check(caller, request);
  }
}
