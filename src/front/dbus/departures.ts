import { bus } from '../../transport/dbus/bus.js';
import type { BusConnection } from '../../transport/dbus/connection.js';

interface Watched {
  readonly departure: AbortController;
  readonly watch: Promise<Disposable>;
  uses: number;
}

/** A hold on somebody who is watched, for as long as that matters. */
export interface Presence extends Disposable {
  /** Aborted when the caller has left the bus, or the bus is gone. */
  readonly gone: AbortSignal;
}

/** Notices who leaves the bus. */
export class Departures implements Disposable {
  readonly #connection: BusConnection;
  readonly #watched = new Map<string, Watched>();

  constructor(connection: BusConnection) {
    this.#connection = connection;
  }

  /** For a unique name, which is never given to another connection. Rejects with BusError. */
  async watch(uniqueName: string): Promise<Presence> {
    const watched = this.#watched.get(uniqueName) ?? this.#begin(uniqueName);
    watched.uses++;
    const presence = {
      gone: watched.departure.signal,
      [Symbol.dispose]: () => this.#release(uniqueName, watched),
    };
    try {
      await watched.watch;
      return presence;
    } catch (error) {
      presence[Symbol.dispose]();
      throw error;
    }
  }

  [Symbol.dispose](): void {
    for (const { departure } of this.#watched.values()) departure.abort();
  }

  #begin(uniqueName: string): Watched {
    const departure = new AbortController();
    const watched = { departure, watch: this.#subscribe(uniqueName, departure), uses: 0 };
    this.#watched.set(uniqueName, watched);
    return watched;
  }

  async #subscribe(uniqueName: string, departure: AbortController): Promise<Disposable> {
    const args = new Map([[0, uniqueName]]);
    const rule = { sender: bus.destination, interface: bus.interface, member: 'NameOwnerChanged', args };
    const subscription = await this.#connection.subscribe({ rule, signature: 'sss' }, ([, , owner]) => {
      if (owner === '') departure.abort();
    });
    // it may have left before it was watched
    const [isThere] = await this.#connection.call({ ...bus, member: 'NameHasOwner', signature: 's', body: [uniqueName], replySignature: 'b' });
    if (!isThere) departure.abort();
    return subscription;
  }

  #release(uniqueName: string, watched: Watched): void {
    watched.uses--;
    if (watched.uses > 0 || this.#watched.get(uniqueName) !== watched) return;
    this.#watched.delete(uniqueName);
    watched.watch.then(
      (subscription) => subscription[Symbol.dispose](),
      () => undefined, // there is nothing to release
    );
  }
}
