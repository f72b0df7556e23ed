import type { Log } from '../ports/log.js';
import type { BusConnection } from '../transport/dbus/connection.js';

/** What hangs on the connection of the moment, and is made anew with each. */
export type Attachment = (connection: BusConnection) => Promise<Disposable>;

const reconnectDelay = 250; // milliseconds; a bus that was restarted is soon back

/**
 * The connection to the bus, which comes back when the bus was restarted. Between two connections there is none:
 * `current` is undefined then, Varlink clients are served on, and no machine is lost.
 */
export class BusLink implements Disposable {
  readonly #connect: () => Promise<BusConnection>;
  readonly #log: Log;
  readonly #attachments: Attachment[] = [];
  #attached: Disposable[] = [];
  #current: BusConnection | undefined;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  /** Takes over the first connection; `connect` makes the next ones. Without a bus there is neither. */
  constructor(first: BusConnection | undefined, connect: () => Promise<BusConnection>, log: Log) {
    this.#connect = connect;
    this.#log = log;
    if (first !== undefined) this.#adopt(first);
  }

  get current(): BusConnection | undefined {
    return this.#current;
  }

  /** Attaches something to this connection, where there is one, and to each that follows. Rejects if that fails now. */
  async serve(attachment: Attachment): Promise<void> {
    this.#attachments.push(attachment);
    if (this.#current !== undefined) this.#attached.push(await attachment(this.#current));
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#detach();
    this.#current?.close();
    this.#current = undefined;
  }

  #adopt(connection: BusConnection): void {
    this.#current = connection;
    void connection.closed.then((reason) => this.#lost(connection, reason));
  }

  #lost(connection: BusConnection, reason: Error | undefined): void {
    if (this.#closed || this.#current !== connection) return;
    this.#log.warning(`Lost the bus: ${reason?.message ?? 'closed'}. Trying to come back.`);
    this.#current = undefined;
    this.#detach();
    this.#retry();
  }

  #retry(): void {
    if (this.#closed) return;
    this.#timer = setTimeout(() => void this.#reconnect(), reconnectDelay);
  }

  async #reconnect(): Promise<void> {
    let connection: BusConnection | undefined;
    try {
      connection = await this.#connect();
      if (this.#closed) {
        connection.close();
        return;
      }
      this.#adopt(connection);
      for (const attachment of this.#attachments) this.#attached.push(await attachment(connection));
      this.#log.notice('Back on the bus.');
    } catch (error) {
      this.#log.debug(`No bus yet: ${error instanceof Error ? error.message : String(error)}`);
      if (this.#current === connection) this.#current = undefined;
      this.#detach();
      connection?.close();
      this.#retry();
    }
  }

  #detach(): void {
    const attached = this.#attached;
    this.#attached = [];
    for (const one of attached) one[Symbol.dispose]();
  }
}
