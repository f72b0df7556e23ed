// A client of Varlink sockets, for tests: one call after the other.
import { connectUnix } from '../../src/host/kernel/unix-socket.js';
import type { ByteStream } from '../../src/ports/stream.js';
import { call, parseReply, type Reply } from '../../src/wire/varlink/call.js';
import { encodeFrame, FrameReader } from '../../src/wire/varlink/framing.js';
import type { JsonObject, WritableObject } from '../../src/wire/varlink/json.js';

/** The server answered with an error. */
export class VarlinkFailure extends Error {
  readonly error: string;
  readonly parameters: JsonObject;

  constructor(error: string, parameters: JsonObject) {
    super(`${error} ${JSON.stringify(parameters)}`);
    this.error = error;
    this.parameters = parameters;
  }
}

interface Waiting {
  readonly reply: (reply: Reply) => void;
  readonly fail: (error: Error) => void;
}

export class VarlinkClient implements Disposable {
  /** What has come with replies, for the test to close. */
  readonly fds: number[] = [];
  readonly #stream: ByteStream;
  readonly #reader = new FrameReader();
  readonly #waiting: Waiting[] = [];
  #over = false;

  private constructor(stream: ByteStream) {
    this.#stream = stream;
    stream.start({
      data: (bytes, fds) => {
        this.fds.push(...fds);
        this.#reader.push(bytes);
        for (let frame = this.#reader.next(); frame !== undefined; frame = this.#reader.next()) this.#take(frame.text);
      },
      end: () => this.#fail(new Error('the server has ended the connection')),
      closed: (error) => this.#fail(error ?? new Error('the server has closed the connection')),
    });
  }

  static async connect(path: string): Promise<VarlinkClient> {
    return new VarlinkClient(await connectUnix(path));
  }

  /** Resolves with the parameters of the reply; rejects with VarlinkFailure. */
  async call(method: string, parameters: object = {}, fds: readonly number[] = []): Promise<JsonObject> {
    const [only] = await this.exchange(call(method, parameters), fds);
    return only as JsonObject;
  }

  /** With the parameters of all replies. */
  callMore(method: string, parameters: object = {}, fds: readonly number[] = []): Promise<JsonObject[]> {
    return this.exchange(call(method, parameters, { more: true }), fds);
  }

  /** Calls back for every reply, for as long as the client is not disposed of. */
  listen(method: string, reply: (parameters: JsonObject) => void, parameters: object = {}): void {
    this.#waiting.push({ reply: ({ parameters }) => reply(parameters), fail: () => undefined });
    this.#stream.write(encodeFrame(call(method, parameters, { more: true })));
  }

  send(bytes: Uint8Array): void {
    this.#stream.write(bytes);
  }

  [Symbol.dispose](): void {
    this.#stream.close();
    this.#fail(new Error('the client has closed the connection'));
  }

  /** Sends any message, and resolves with the parameters of all replies. */
  exchange(message: WritableObject, fds: readonly number[] = []): Promise<JsonObject[]> {
    const replies: JsonObject[] = [];
    return new Promise((resolve, reject) => {
      if (this.#over) return reject(new Error('the connection is over'));
      this.#waiting.push({
        reply: (reply) => {
          replies.push(reply.parameters);
          if (!reply.continues) resolve(replies);
        },
        fail: reject,
      });
      this.#stream.write(encodeFrame(message), fds);
    });
  }

  #take(text: string): void {
    const message = parseReply(text);
    const first = this.#waiting[0];
    if (first === undefined || message.kind === 'protocol-error') return this.#fail(new Error(`unexpected: ${text}`));
    if (message.kind === 'reply') {
      if (!message.continues) this.#waiting.shift();
      first.reply(message);
      return;
    }
    this.#waiting.shift();
    first.fail(new VarlinkFailure(message.error, message.parameters));
  }

  #fail(error: Error): void {
    this.#over = true;
    this.#stream.close();
    for (const { fail } of this.#waiting.splice(0)) fail(error);
  }
}
