// Varlink calls, typed by the declarations that the server is made of.
import type { ByteStream } from '../ports/stream.js';
import { ClientConnection, type CallOptions, type PartialAnswer } from '../transport/varlink/client-connection.js';
import { readReply } from '../wire/varlink/reply.js';
import type { JsonObject } from '../wire/varlink/json.js';
import type { Input, Interface, Output } from '../wire/varlink/schema.js';
import { machinedError, MachinedError, unreachable } from './error.js';
import { loadNative } from './native.js';
import { connectSocket } from './socket-stream.js';

export type { CallOptions } from '../transport/varlink/client-connection.js';

type MethodName<D extends Interface> = keyof D['methods'] & string;
type MethodOf<D extends Interface, M extends MethodName<D>> = D['methods'][M];

/** Connections that are kept for the next call, and that calls may have at a time. */
const idleLimit = 2;
const connectionLimit = 8;
/** Characters of all replies that are gathered in a list. */
const listLimit = 64 << 20;

/** A connection, or one that is being made, and the number of calls that use it. */
interface Shared {
  readonly connection: Promise<ClientConnection>;
  calls: number;
}

/**
 * The calls to one Varlink socket. A server carries out the calls of a connection one after the other, so that calls which
 * run at the same time get connections of their own, up to a limit; beyond it they are sent ahead (pipelined).
 *
 *     const client = new VarlinkClient('/run/systemd/machine/io.systemd.Machine');
 *     const machine = await client.call(machineVarlink, 'List', { name: 'web' });
 *
 * Everything rejects with MachinedError, or with the reason of the signal.
 */
export class VarlinkClient implements Disposable {
  readonly #address: string;
  readonly #shared = new Set<Shared>();
  readonly #open = new Set<ClientConnection>();
  #closed = false;

  /** Connects when it is first used. `address` is a path, or '@name' in the abstract namespace. */
  constructor(address: string) {
    this.#address = address;
  }

  /** Connects now, for the first call to come. Calls do that by themselves. */
  async connect(): Promise<void> {
    await this.#choose().connection;
  }

  /** Calls a method that answers once. */
  async call<D extends Interface, M extends MethodName<D>>(
    declaration: D,
    method: M,
    input: Input<MethodOf<D, M>>,
    options: CallOptions = {},
  ): Promise<Output<MethodOf<D, M>>> {
    const shared = this.#choose();
    shared.calls++;
    try {
      const connection = await shared.connection;
      return readOutput(declaration, method, await connection.call(`${declaration.name}.${method}`, input, options));
    } catch (error) {
      throw machinedError(error);
    } finally {
      shared.calls--;
      this.#review(shared);
    }
  }

  /** Calls a method that sends descriptors with its reply; the caller closes them. Loads the native library. */
  async callForDescriptors<D extends Interface, M extends MethodName<D>>(
    declaration: D,
    method: M,
    input: Input<MethodOf<D, M>>,
    options: CallOptions = {},
  ): Promise<{ readonly output: Output<MethodOf<D, M>>; readonly fds: readonly number[] }> {
    const native = await loadNative();
    using connection = await this.#connect(native.connectUnix, native.close);
    let fds: readonly number[] = [];
    try {
      const answer = await connection.callForDescriptors(`${declaration.name}.${method}`, input, options);
      fds = answer.fds;
      return { output: readOutput(declaration, method, answer.parameters), fds };
    } catch (error) {
      for (const fd of fds) native.close(fd);
      throw machinedError(error);
    }
  }

  /** Calls a method with `more`, on a connection of its own, which ends when the caller stops. */
  async *callMany<D extends Interface, M extends MethodName<D>>(
    declaration: D,
    method: M,
    input: Input<MethodOf<D, M>>,
    options: CallOptions = {},
  ): AsyncGenerator<Output<MethodOf<D, M>>, void, undefined> {
    for await (const { parameters } of this.#callMany(`${declaration.name}.${method}`, input, options)) {
      yield readOutput(declaration, method, parameters);
    }
  }

  /** Like `callMany`, for a call that takes descriptors along. Loads the native library. */
  async *callManyWithDescriptors<D extends Interface, M extends MethodName<D>>(
    declaration: D,
    method: M,
    input: Input<MethodOf<D, M>>,
    options: CallOptions & { readonly descriptors: readonly number[] },
  ): AsyncGenerator<Output<MethodOf<D, M>>, void, undefined> {
    const native = await loadNative();
    const connection = await this.#connect(native.connectUnix, native.close);
    for await (const { parameters } of replies(connection, `${declaration.name}.${method}`, input, options)) {
      yield readOutput(declaration, method, parameters);
    }
  }

  /** All replies to a call with `more` that has an end. */
  async callForAll<D extends Interface, M extends MethodName<D>>(
    declaration: D,
    method: M,
    input: Input<MethodOf<D, M>>,
    options: CallOptions = {},
  ): Promise<readonly Output<MethodOf<D, M>>[]> {
    const outputs: Output<MethodOf<D, M>>[] = [];
    let total = 0;
    for await (const { parameters, length } of this.#callMany(`${declaration.name}.${method}`, input, options)) {
      total += length;
      if (total > listLimit) throw new MachinedError('protocol', `${method} is answered without end`);
      outputs.push(readOutput(declaration, method, parameters));
    }
    return outputs;
  }

  /** Ends all connections; what is under way rejects. */
  close(): void {
    this.#closed = true;
    for (const connection of this.#open) connection.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async *#callMany(method: string, input: object, options: CallOptions): AsyncGenerator<PartialAnswer, void, undefined> {
    yield* replies(await this.#connect(connectSocket, noDescriptors), method, input, options);
  }

  /** The connection with the fewest calls; a new one if those are busy and there may be another. */
  #choose(): Shared {
    const [least] = [...this.#shared].sort((one, other) => one.calls - other.calls);
    if (least !== undefined && (least.calls === 0 || this.#shared.size >= connectionLimit)) return least;
    const shared: Shared = { connection: this.#connect(connectSocket, noDescriptors), calls: 0 };
    this.#shared.add(shared);
    shared.connection.then(
      ({ closed }) => closed.then(() => this.#shared.delete(shared)),
      () => this.#shared.delete(shared),
    );
    return shared;
  }

  /** After a call: behind one that was given up, no other would be answered; and few connections are worth keeping. */
  #review(shared: Shared): void {
    void shared.connection.then((connection) => {
      const surplus = shared.calls === 0 && this.#shared.size > idleLimit;
      if (surplus || connection.isObstructed) this.#shared.delete(shared);
      if (shared.calls === 0 && !this.#shared.has(shared)) connection.close();
    }, ignore);
  }

  async #connect(connect: (address: string) => Promise<ByteStream>, closeDescriptor: (fd: number) => void): Promise<ClientConnection> {
    if (this.#closed) throw new MachinedError('disconnected', 'This client was closed');
    let stream: ByteStream;
    try {
      stream = await connect(this.#address);
    } catch (error) {
      throw unreachable(this.#address, error);
    }
    const connection = new ClientConnection(stream, { closeDescriptor });
    this.#open.add(connection);
    void connection.closed.then(() => this.#open.delete(connection));
    if (this.#closed) connection.close();
    return connection;
  }
}

/** Owns the connection. */
async function* replies(
  connection: ClientConnection,
  method: string,
  input: object,
  options: CallOptions,
): AsyncGenerator<PartialAnswer, void, undefined> {
  using _owned = connection;
  try {
    yield* connection.callMany(method, input, options);
  } catch (error) {
    throw machinedError(error);
  }
}

function readOutput<D extends Interface, M extends MethodName<D>>(declaration: D, method: M, parameters: JsonObject): Output<MethodOf<D, M>> {
  const result = readReply(declaration, declaration.methods[method] as MethodOf<D, M>, parameters);
  if (result.ok) return result.values;
  throw new MachinedError('protocol', `${declaration.name}.${method} was answered without a proper '${result.parameter}'`);
}

/** On a socket of node:net, none can come. */
function noDescriptors(fd: number): never {
  throw new Error(`descriptor ${fd} came out of nowhere`);
}

function ignore(): void {
  // whoever called has been told
}
