import type { ByteStream } from '../../ports/stream.js';
import type { MethodCall } from '../../wire/varlink/call.js';
import { ServerConnection, type Outcome, type Peer } from './server-connection.js';

export interface VarlinkServerOptions {
  dispatch(call: MethodCall, peer: Peer, fds: readonly number[]): Outcome | Promise<Outcome>;
  /** Whether methods take descriptors. */
  readonly takesDescriptors?: boolean;
  closeDescriptor(fd: number): void;
  failed(call: MethodCall, error: unknown): void;
}

/** As systemd's servers have them: nobody can take all connections alone. */
const connectionLimit = 4096;
const connectionLimitPerUser = 1024;

/** The connections of one or more listening sockets that serve the same methods. */
export class VarlinkServer implements Disposable {
  readonly #options: VarlinkServerOptions;
  readonly #connections = new Set<ServerConnection>();
  readonly #perUser = new Map<number, number>();

  constructor(options: VarlinkServerOptions) {
    this.#options = options;
  }

  get connections(): number {
    return this.#connections.size;
  }

  /** Takes over a client that has connected. */
  accept(stream: ByteStream): void {
    const { uid, pid } = stream.peer;
    const ofUser = this.#perUser.get(uid) ?? 0;
    // A peer in a PID namespace that is not below ours cannot be told from another.
    const unknown = pid === 0;
    if (unknown || this.#connections.size >= connectionLimit || ofUser >= connectionLimitPerUser) {
      stream.close();
      return;
    }
    this.#perUser.set(uid, ofUser + 1);
    const connection: ServerConnection = new ServerConnection({
      ...this.#options,
      stream,
      closed: () => this.#forget(connection, uid),
    });
    this.#connections.add(connection);
    connection.start();
  }

  [Symbol.dispose](): void {
    for (const connection of [...this.#connections]) connection.close();
  }

  #forget(connection: ServerConnection, uid: number): void {
    this.#connections.delete(connection);
    const left = (this.#perUser.get(uid) ?? 1) - 1;
    if (left === 0) this.#perUser.delete(uid);
    else this.#perUser.set(uid, left);
  }
}
