import { systemFailure } from '../../domain/failure.js';
import type { ProcessIdentity } from '../../domain/machine.js';
import type { Guests, NetworkAddress } from '../guests.js';

/** What there is to see behind one process. */
export interface FakeGuest {
  /** undefined: it shares the host's network. */
  readonly addresses?: readonly NetworkAddress[];
  /** undefined: it has no os-release. */
  readonly osRelease?: ReadonlyMap<string, string>;
  /** A symbolic errno that every look at it fails with. */
  readonly errno?: string;
}

/** Guests by the PID of their leader; others have ended. */
export class FakeGuests implements Guests {
  readonly guests = new Map<number, FakeGuest>();
  /** Addresses of the host. */
  readonly host: NetworkAddress[] = [];
  /** Addresses behind interfaces of the host. */
  readonly behind = new Map<number, readonly NetworkAddress[]>();

  async addresses(leader: ProcessIdentity): Promise<readonly NetworkAddress[] | undefined> {
    return this.#look(leader).addresses;
  }

  async hostAddresses(): Promise<readonly NetworkAddress[]> {
    return this.host;
  }

  async neighbours(interfaces: readonly number[]): Promise<readonly NetworkAddress[]> {
    return interfaces.flatMap((index) => this.behind.get(index) ?? []);
  }

  async osRelease(leader: ProcessIdentity): Promise<ReadonlyMap<string, string> | undefined> {
    return this.#look(leader).osRelease;
  }

  #look(leader: ProcessIdentity): FakeGuest {
    const guest = this.guests.get(leader.pid);
    const errno = guest === undefined ? 'ESRCH' : guest.errno;
    if (errno !== undefined) throw systemFailure(errno, `Cannot look into the guest of process ${leader.pid}`);
    return guest as FakeGuest;
  }
}
