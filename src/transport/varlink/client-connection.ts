import type { ByteStream } from '../../ports/stream.js';
import { call as callMessage, parseReply, type ErrorReply, type Reply } from '../../wire/varlink/call.js';
import { encodeFrame, FrameError, FrameReader } from '../../wire/varlink/framing.js';
import type { JsonObject } from '../../wire/varlink/json.js';
import { localErrors, VarlinkError } from './varlink-error.js';

export interface ClientConnectionOptions {
  /** Closes a received descriptor that nobody took. */
  closeDescriptor(fd: number): void;
}

export interface CallOptions {
  /** Milliseconds in which the reply, with `more` the last of them, must have come; without it, or with 0, for ever. */
  readonly timeout?: number | undefined;
  /** Ends the waiting: the call rejects with the signal's reason, and its reply is dropped when it comes. */
  readonly signal?: AbortSignal | undefined;
  /** Descriptors that go with the call; they stay the caller's, and may be closed when the first reply has come. */
  readonly descriptors?: readonly number[] | undefined;
}

/** One of several replies. */
export interface PartialAnswer {
  readonly parameters: JsonObject;
  /** Characters of the message. */
  readonly length: number;
}

export interface Answer {
  readonly parameters: JsonObject;
  /** The receiver owns them. */
  readonly fds: readonly number[];
}

/** Characters of replies that wait to be taken before the server is made to wait. */
const highWaterMark = 1 << 20;
/** Descriptors that may come before the end of a message: what one message of the kernel's holds (SCM_MAX_FD). */
const descriptorLimit = 253;

/** A call that was sent; the first one is the one that the next reply answers. */
interface PendingCall {
  readonly more: boolean;
  /** Nobody waits for it any more. */
  abandoned: boolean;
  reply(reply: Reply, fds: readonly number[], length: number): void;
  fail(error: Error): void;
}

/**
 * The client's end of a Varlink connection. Calls may be sent ahead of the replies to earlier ones: a server carries
 * them out in order.
 *
 * Calls reject with VarlinkError: what the service answered, or `localErrors`. A server that sends what is no reply, or
 * a reply to nothing, is disconnected.
 */
export class ClientConnection implements Disposable {
  /** Resolves when the connection is over: with the reason, or with undefined after `close`. */
  readonly closed: Promise<Error | undefined>;

  readonly #stream: ByteStream;
  readonly #options: ClientConnectionOptions;
  readonly #reader = new FrameReader();
  readonly #pending: PendingCall[] = [];
  #heldDescriptors = 0;
  #unreadLength = 0;
  #paused = false;
  #failure: Error | undefined;
  #resolveClosed: (reason: Error | undefined) => void = () => undefined;

  /** Owns the stream from here on. */
  constructor(stream: ByteStream, options: ClientConnectionOptions) {
    this.#stream = stream;
    this.#options = options;
    this.closed = new Promise((resolve) => (this.#resolveClosed = resolve));
    stream.start({
      data: (bytes, fds) => this.#receive(bytes, fds),
      end: () => this.#finish(disconnected('The service has ended the connection'), 'failed'),
      closed: (error) => this.#finish(disconnected(error?.message ?? 'The service has closed the connection'), 'failed'),
    });
  }

  /** Calls that have not been answered, those that nobody waits for included. */
  get pendingCalls(): number {
    return this.#pending.length;
  }

  /** Whether a reply will come that nobody waits for: calls from now on may have to wait for it first. */
  get isObstructed(): boolean {
    return this.#pending.some(({ abandoned }) => abandoned);
  }

  get isOpen(): boolean {
    return this.#failure === undefined;
  }

  /** Calls a method that answers once. */
  async call(method: string, parameters: object = {}, options: CallOptions = {}): Promise<JsonObject> {
    const answer = await this.callForDescriptors(method, parameters, options);
    this.#closeDescriptors(answer.fds);
    return answer.parameters;
  }

  /** Like `call`, and the descriptors of the reply are the caller's from here on. */
  callForDescriptors(method: string, parameters: object = {}, options: CallOptions = {}): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const deadline = new Deadline(method, options);
      deadline.check();
      const pending: PendingCall = {
        more: false,
        abandoned: false,
        reply: ({ parameters: values }, fds) => {
          stopWaiting();
          resolve({ parameters: values, fds });
        },
        fail: (error) => {
          stopWaiting();
          reject(error);
        },
      };
      const stopWaiting = deadline.watch((reason) => {
        pending.abandoned = true;
        reject(reason);
      });
      this.#send(method, parameters, pending, options.descriptors);
    });
  }

  /**
   * Calls a method with `more`: yields every reply; descriptors that come along are closed. To stop early is to abandon the call, whose further
   * replies are dropped, if it ever ends.
   */
  async *callMany(method: string, parameters: object = {}, options: CallOptions = {}): AsyncGenerator<PartialAnswer, void, undefined> {
    const deadline = new Deadline(method, options);
    const replies: PartialAnswer[] = [];
    let ended = false;
    let failure: Error | undefined;
    let wake: () => void = () => undefined;
    const pending: PendingCall = {
      more: true,
      abandoned: false,
      reply: ({ parameters: values, continues }, fds, length) => {
        this.#closeDescriptors(fds);
        replies.push({ parameters: values, length });
        this.#hold(length);
        ended = !continues;
        wake();
      },
      fail: (error) => {
        failure = error;
        wake();
      },
    };
    deadline.check();
    this.#send(method, parameters, pending, options.descriptors);
    try {
      for (;;) {
        deadline.check();
        const reply = replies.shift();
        if (reply !== undefined) {
          this.#release(reply.length);
          yield reply;
        } else if (failure !== undefined) {
          throw failure;
        } else if (ended) {
          return;
        } else {
          await new Promise<void>((resolve, reject) => {
            const stopWaiting = deadline.watch(reject);
            wake = () => {
              stopWaiting();
              resolve();
            };
          });
        }
      }
    } finally {
      pending.abandoned = true;
      for (const { length } of replies.splice(0)) this.#release(length);
    }
  }

  /** Calls a method whose outcome does not matter: the service sends no reply, not even an error. */
  tell(method: string, parameters: object = {}): void {
    if (this.#failure === undefined) this.#stream.write(encodeFrame(callMessage(method, parameters, { oneway: true })));
  }

  /** Ends the connection; calls that still wait reject. */
  close(): void {
    this.#finish(disconnected('The connection was closed'), 'closed');
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #send(method: string, parameters: object, pending: PendingCall, descriptors: readonly number[] | undefined): void {
    if (this.#failure !== undefined) return pending.fail(this.#failure);
    this.#pending.push(pending);
    this.#stream.write(encodeFrame(callMessage(method, parameters, { more: pending.more })), descriptors);
  }

  #receive(bytes: Uint8Array, fds: readonly number[]): void {
    if (this.#failure !== undefined) return this.#closeDescriptors(fds);
    this.#heldDescriptors += fds.length;
    try {
      this.#reader.push(bytes, fds);
      for (let frame = this.#reader.next(); frame !== undefined; frame = this.#reader.next()) {
        this.#heldDescriptors -= frame.fds.length;
        this.#take(frame.text, frame.fds);
        if (!this.isOpen) return;
      }
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      return this.#violated(error.message);
    }
    if (this.#heldDescriptors > descriptorLimit) this.#violated('More descriptors came than a message can have');
  }

  #take(text: string, fds: readonly number[]): void {
    const message = parseReply(text);
    const pending = this.#pending[0];
    const problem = message.kind === 'protocol-error' ? message.reason : problemWith(message, pending);
    if (message.kind === 'protocol-error' || pending === undefined || problem !== undefined) {
      this.#closeDescriptors(fds);
      return this.#violated(problem ?? 'A reply came to no call');
    }
    if (message.kind === 'error' || !message.continues) this.#pending.shift();
    if (pending.abandoned) return this.#closeDescriptors(fds);
    if (message.kind === 'reply') return pending.reply(message, fds, text.length);
    this.#closeDescriptors(fds);
    pending.fail(new VarlinkError(message.error, message.parameters));
  }

  #hold(length: number): void {
    this.#unreadLength += length;
    if (this.#paused || this.#unreadLength <= highWaterMark) return;
    this.#paused = true;
    this.#stream.pause();
  }

  #release(length: number): void {
    this.#unreadLength -= length;
    if (!this.#paused || this.#unreadLength > highWaterMark / 2) return;
    this.#paused = false;
    if (this.isOpen) this.#stream.resume();
  }

  #violated(reason: string): void {
    this.#finish(new VarlinkError(localErrors.protocol, {}, `The service does not speak Varlink: ${reason}`), 'failed');
  }

  #finish(error: VarlinkError, how: 'closed' | 'failed'): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    this.#stream.close();
    this.#closeDescriptors(this.#reader.abandon());
    for (const pending of this.#pending.splice(0)) if (!pending.abandoned) pending.fail(error);
    this.#resolveClosed(how === 'closed' ? undefined : error);
  }

  #closeDescriptors(fds: readonly number[]): void {
    for (const fd of fds) this.#options.closeDescriptor(fd);
  }
}

function problemWith(message: Reply | ErrorReply, pending: PendingCall | undefined): string | undefined {
  if (pending === undefined) return 'A reply came to no call';
  const continues = message.kind === 'reply' && message.continues;
  return continues && !pending.more ? 'Several replies came where one was asked for' : undefined;
}

function disconnected(message: string): VarlinkError {
  return new VarlinkError(localErrors.disconnected, {}, message);
}

/** When the caller of a method has waited long enough. */
class Deadline {
  readonly #method: string;
  readonly #signal: AbortSignal | undefined;
  readonly #timeout: number;
  readonly #end: number;

  constructor(method: string, { timeout = 0, signal }: CallOptions) {
    this.#method = method;
    this.#signal = signal;
    this.#timeout = timeout;
    this.#end = timeout === 0 ? Number.POSITIVE_INFINITY : Date.now() + timeout;
  }

  /** Throws if it has been reached. */
  check(): void {
    this.#signal?.throwIfAborted();
    if (Date.now() >= this.#end) throw this.#error();
  }

  /** Calls back when it is reached, unless the returned function is called before. */
  watch(reached: (reason: Error) => void): () => void {
    const stop = (): void => {
      clearTimeout(timer);
      this.#signal?.removeEventListener('abort', onAbort);
    };
    const expire = (reason: Error): void => {
      stop();
      reached(reason);
    };
    const onAbort = (): void => expire(this.#signal?.reason as Error);
    const limited = this.#end !== Number.POSITIVE_INFINITY;
    const timer = limited ? setTimeout(() => expire(this.#error()), this.#end - Date.now()) : undefined;
    this.#signal?.addEventListener('abort', onAbort);
    return stop;
  }

  #error(): VarlinkError {
    return new VarlinkError(localErrors.timedOut, {}, `${this.#method} was not answered within ${this.#timeout} ms`);
  }
}
