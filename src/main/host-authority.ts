import { systemFailure } from '../domain/failure.js';
import { PolkitAuthority } from '../host/polkit.js';
import { RootAuthority } from '../host/root-authority.js';
import type { Authority, AuthorizationRequest, Caller, Verdict } from '../ports/authority.js';
import type { UserId } from '../domain/users.js';
import type { BusConnection } from '../transport/dbus/connection.js';

interface Polkit {
  readonly connection: BusConnection;
  readonly authority: PolkitAuthority;
}

/**
 * polkit for root's registry, on a bus where there is one; otherwise root, or the registry's own user, alone. polkit is
 * asked on a connection of its own, made when it is first needed: passwords that people take their time to type must
 * not use up the calls that may be under way on the connection to systemd.
 */
export class HostAuthority implements Authority, Disposable {
  readonly #root: RootAuthority;
  readonly #connect: (() => Promise<BusConnection>) | undefined;
  #polkit: Promise<Polkit> | undefined;
  #disposed = false;

  /** `connect` is undefined where there is no bus that polkit could be on. */
  constructor(owner: UserId, connect: (() => Promise<BusConnection>) | undefined) {
    this.#root = new RootAuthority(owner);
    this.#connect = owner === 0 ? connect : undefined;
  }

  isPrivileged(uid: UserId | undefined): boolean {
    return this.#root.isPrivileged(uid);
  }

  async check(caller: Caller, request: AuthorizationRequest): Promise<Verdict> {
    if (this.#connect === undefined || this.isPrivileged(caller.uid)) return this.#root.check(caller);
    this.#polkit ??= this.#open(this.#connect);
    const { authority } = await this.#polkit;
    return authority.check(caller, request);
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    void this.#polkit?.then(
      ({ connection }) => connection.close(),
      () => undefined, // there was nothing to close
    );
  }

  async #open(connect: () => Promise<BusConnection>): Promise<Polkit> {
    try {
      const connection = await connect();
      if (this.#disposed) connection.close();
      void connection.closed.then(() => (this.#polkit = undefined));
      return { connection, authority: new PolkitAuthority(connection) };
    } catch (error) {
      this.#polkit = undefined; // the next one who asks tries again
      throw systemFailure('ENOTCONN', 'polkit cannot be asked: the system bus is away', error);
    }
  }
}
