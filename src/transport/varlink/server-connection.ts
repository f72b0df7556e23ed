import type { ByteStream, PeerCredentials } from '../../ports/stream.js';
import { errorReply, parseCall, reply, type MethodCall } from '../../wire/varlink/call.js';
import { FrameError, FrameReader, frameText } from '../../wire/varlink/framing.js';

/** What becomes of a call. */
export type Outcome =
  /** The descriptors go with the reply, and are closed then, whether or not it could be sent. */
  | { readonly kind: 'reply'; readonly parameters: object; readonly fds?: readonly number[] }
  | { readonly kind: 'error'; readonly error: string; readonly parameters: object }
  /** One reply now, and one when what has been begun is over, which ends the call; the promise does not reject. */
  | { readonly kind: 'ongoing'; readonly first: object; readonly last: Promise<object> }
  /** Several replies, the last of which ends the call; at least one. One that cannot be made ends the call with an error. */
  | {
      readonly kind: 'replies';
      readonly parameters: Iterable<object> | AsyncIterable<object>;
      /** What the caller is told of what was thrown; undefined: it was a bug. */
      readonly failure?: (error: unknown) => ErrorOutcome | undefined;
    }
  /** Replies as things happen, until the caller hangs up: none of them is the last. */
  | { readonly kind: 'stream'; readonly parameters: AsyncIterable<object> };

export type ErrorOutcome = Extract<Outcome, { readonly kind: 'error' }>;

/** One caller's connection, as the methods see it. */
export interface Peer {
  readonly credentials: PeerCredentials;
  /** Aborted when the connection is over: from then on the peer's pidfd is closed, and nobody waits for an answer. */
  readonly gone: AbortSignal;
}

export interface ServerConnectionOptions {
  readonly stream: ByteStream;
  /** `fds` came with the call, and are closed when the outcome is there. */
  dispatch(call: MethodCall, peer: Peer, fds: readonly number[]): Outcome | Promise<Outcome>;
  /** Whether methods take descriptors; otherwise those that come are closed at once. */
  readonly takesDescriptors?: boolean;
  /** Closes a descriptor that a client sent, or that was sent with a reply. */
  closeDescriptor(fd: number): void;
  /** The connection is over, for whatever reason. */
  closed(): void;
  /** A bug in a method. */
  failed(call: MethodCall, error: unknown): void;
}

/** Replies wait in memory only up to this; then whoever makes them waits for the client to read. */
const highWaterMark = 1 << 20;
/** Calls that a client may send ahead of their replies before it is made to wait, and their characters in all. */
const pipelineLimit = 1024;
const pipelineLengthLimit = 1 << 20;
/** Descriptors that a client may have here; one that sends more is disconnected. */
const descriptorLimit = 8;
/** Replies are gathered up to this many characters before they are handed to the kernel. */
const batchLength = 1 << 16;

const nothing: readonly number[] = [];

interface ReceivedCall {
  readonly call: MethodCall;
  readonly fds: readonly number[];
}

/**
 * The server's end of a Varlink connection: calls are carried out one after the other, in the order in which they came,
 * as the protocol demands. A message that is none ends the connection without an answer, as with systemd's servers.
 */
export class ServerConnection {
  readonly #options: ServerConnectionOptions;
  readonly #stream: ByteStream;
  readonly #reader = new FrameReader();
  readonly #calls: ReceivedCall[] = [];
  /** Descriptors that have come with calls and are not closed yet. */
  #held = 0;
  /** Characters of the calls that came since there was last none to be carried out. */
  #callsLength = 0;
  readonly #peer: Peer;
  /** Only made when somebody asks for it: most calls never do. */
  #departure: AbortController | undefined;
  #busy = false;
  #paused = false;
  #ended = false;
  #violated = false;
  #over = false;
  #batch = '';
  #waiting = 0;
  #drained: (() => void) | undefined;
  /** What makes the replies to the call that is under way, as long as there are more; endless: until the caller hangs up. */
  #current: { readonly iterator: AsyncIterator<object>; readonly endless: boolean } | undefined;

  constructor(options: ServerConnectionOptions) {
    this.#options = options;
    this.#stream = options.stream;
    const gone = () => (this.#departure ??= departure(this.#over)).signal;
    this.#peer = {
      credentials: options.stream.peer,
      get gone() {
        return gone();
      },
    };
  }

  start(): void {
    this.#stream.start({
      data: (bytes, fds) => this.#receive(bytes, fds),
      end: () => this.#inputEnded(),
      closed: () => this.#finish(),
      drained: () => this.#resumeReplies(),
    });
  }

  /** Ends it from this side, whatever is under way. */
  close(): void {
    if (this.#over) return;
    this.#stream.close();
    this.#finish();
  }

  #receive(bytes: Uint8Array, fds: readonly number[]): void {
    const taken = this.#takeIn(fds);
    if (taken === undefined) return this.#protocolViolated();
    try {
      this.#reader.push(bytes, taken);
      for (let frame = this.#reader.next(); frame !== undefined; frame = this.#reader.next()) {
        const call = parseCall(frame.text);
        if (call.kind === 'protocol-error') {
          this.#release(frame.fds);
          this.#protocolViolated();
          return;
        }
        this.#calls.push({ call, fds: frame.fds });
        this.#callsLength += frame.text.length;
      }
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      this.#protocolViolated();
      return;
    }
    if (!this.#busy) this.#work();
    else if (this.#calls.length > pipelineLimit || this.#callsLength > pipelineLengthLimit) this.#holdBack();
  }

  /** undefined: there are too many, and they are closed. */
  #takeIn(fds: readonly number[]): readonly number[] | undefined {
    if (fds.length === 0) return nothing;
    this.#held += fds.length;
    if (this.#options.takesDescriptors === true && this.#held <= descriptorLimit) return fds;
    this.#release(fds);
    return this.#options.takesDescriptors === true ? undefined : nothing;
  }

  #release(fds: readonly number[]): void {
    for (const fd of fds) this.#options.closeDescriptor(fd);
    this.#held -= fds.length;
  }

  /** A caller behind whose back an endless answer goes on would have to be held back for ever. */
  #holdBack(): void {
    if (this.#current?.endless === true) {
      this.close();
      return;
    }
    this.#paused = true;
    this.#stream.pause();
  }

  /** What came before the bad message is still answered; nothing after it is looked at. */
  #protocolViolated(): void {
    this.#stream.pause();
    this.#paused = true;
    this.#violated = true;
    if (this.#current?.endless === true) this.close(); // a paused stream does not tell when its client has gone
    else this.#inputEnded();
  }

  #inputEnded(): void {
    this.#ended = true;
    if (!this.#busy) this.#work();
  }

  /** Carries out calls until there are none, or one has to be waited for. */
  #work(): void {
    while (!this.#over) {
      const received = this.#calls.shift();
      if (received === undefined) break;
      const { call, fds } = received;
      let outcome: Outcome | Promise<Outcome>;
      try {
        outcome = this.#options.dispatch(call, this.#peer, fds);
      } catch (error) {
        this.#options.failed(call, error);
        outcome = internalError;
      }
      if (!(outcome instanceof Promise)) this.#release(fds);
      const pending = outcome instanceof Promise ? this.#settle(call, fds, outcome) : this.#answer(call, outcome);
      if (pending !== undefined) {
        this.#busy = true;
        this.#flush();
        void pending.then(() => this.#goOn());
        return;
      }
    }
    this.#flush();
    this.#idle();
  }

  #goOn(): void {
    this.#busy = false;
    if (!this.#over) this.#work();
  }

  #idle(): void {
    if (this.#over) return;
    this.#callsLength = 0;
    if (this.#ended) {
      this.#stream.end();
      this.#finish();
      return;
    }
    if (!this.#paused) return;
    this.#paused = false;
    this.#stream.resume();
  }

  async #settle(call: MethodCall, fds: readonly number[], outcome: Promise<Outcome>): Promise<void> {
    let settled: Outcome;
    try {
      settled = await outcome;
    } catch (error) {
      this.#options.failed(call, error);
      settled = internalError;
    }
    this.#release(fds);
    await this.#answer(call, settled);
  }

  /** Returns a promise only if the answer cannot be given at once. Never rejects. */
  #answer(call: MethodCall, outcome: Outcome): Promise<void> | undefined {
    switch (outcome.kind) {
      case 'reply':
        this.#reply(call, outcome.parameters, outcome.fds ?? nothing);
        return this.#room();
      case 'error':
        if (!call.oneway) this.#send(errorReply(outcome.error, outcome.parameters));
        return this.#room();
      case 'ongoing':
        return this.#answerTwice(call, outcome.first, outcome.last);
      case 'replies':
      case 'stream':
        return this.#answerMany(call, outcome);
    }
  }

  #reply(call: MethodCall, parameters: object, fds: readonly number[]): void {
    try {
      if (!call.oneway) this.#send(reply(parameters), fds);
    } finally {
      for (const fd of fds) this.#options.closeDescriptor(fd);
    }
  }

  async #answerTwice(call: MethodCall, first: object, last: Promise<object>): Promise<void> {
    if (!call.oneway) this.#send(reply(first, { continues: true }));
    this.#flush();
    const final = await last;
    if (!call.oneway) this.#send(reply(final));
  }

  async #answerMany(call: MethodCall, outcome: Extract<Outcome, { kind: 'replies' | 'stream' }>): Promise<void> {
    try {
      if (Symbol.iterator in outcome.parameters) await this.#sendAll(outcome.parameters);
      else await this.#sendAsTheyCome(outcome.parameters, outcome.kind === 'replies');
    } catch (error) {
      const known = outcome.kind === 'replies' ? outcome.failure?.(error) : undefined;
      if (known === undefined) this.#options.failed(call, error);
      const { error: name, parameters } = known ?? internalError;
      if (!call.oneway) this.#send(errorReply(name, parameters));
    }
  }

  async #sendAll(items: Iterable<object>): Promise<void> {
    let previous: object | undefined;
    for (const item of items) {
      if (previous !== undefined) this.#send(reply(previous, { continues: true }));
      previous = item;
      const full = this.#room();
      if (full !== undefined) await full;
      if (this.#over) return;
    }
    this.#send(reply(previous ?? {}));
  }

  async #sendAsTheyCome(items: AsyncIterable<object>, lastEnds: boolean): Promise<void> {
    if (this.#over) return;
    if (this.#violated && !lastEnds) return this.close();
    const iterator = items[Symbol.asyncIterator]();
    this.#current = { iterator, endless: !lastEnds };
    let previous: object | undefined;
    try {
      for (let next = await iterator.next(); next.done !== true && !this.#over; next = await iterator.next()) {
        if (lastEnds && previous !== undefined) this.#send(reply(previous, { continues: true }));
        if (!lastEnds) this.#send(reply(next.value, { continues: true }));
        previous = next.value;
        this.#flush();
        await this.#room();
      }
    } catch (error) {
      if (lastEnds && previous !== undefined) this.#send(reply(previous, { continues: true })); // it was not the last
      throw error;
    } finally {
      this.#current = undefined;
    }
    if (lastEnds) this.#send(reply(previous ?? {}));
  }

  #send(message: Parameters<typeof frameText>[0], fds: readonly number[] = nothing): void {
    if (this.#over) return;
    if (fds.length > 0) {
      this.#flush();
      this.#waiting = this.#stream.write(Buffer.from(frameText(message)), fds);
      return;
    }
    this.#batch += frameText(message);
    if (this.#batch.length >= batchLength) this.#flush();
  }

  #flush(): void {
    if (this.#batch === '' || this.#over) return;
    const bytes = encode(this.#batch);
    this.#batch = '';
    this.#waiting = this.#stream.write(bytes);
  }

  /** Resolves when the client has read enough that more may be sent; undefined if that is so already. */
  #room(): Promise<void> | undefined {
    if (this.#waiting < highWaterMark || this.#over) return undefined;
    return new Promise((resolve) => {
      this.#drained = resolve;
    });
  }

  #resumeReplies(): void {
    this.#waiting = 0;
    const drained = this.#drained;
    this.#drained = undefined;
    drained?.();
  }

  #finish(): void {
    if (this.#over) return;
    this.#over = true;
    for (const { fds } of this.#calls) this.#release(fds);
    this.#release(this.#reader.abandon());
    this.#calls.length = 0;
    this.#batch = '';
    this.#departure?.abort();
    void this.#current?.iterator.return?.();
    this.#current = undefined;
    this.#resumeReplies();
    this.#options.closed();
  }
}

/** Room for nearly every batch, so that long lists leave no garbage behind. */
const encoded = Buffer.alloc(4 * batchLength);

/** Valid until the next call. */
function encode(batch: string): Uint8Array {
  if (batch.length > encoded.length / 3) return Buffer.from(batch); // no character takes more than three bytes
  return encoded.subarray(0, encoded.write(batch));
}

function departure(hasLeft: boolean): AbortController {
  const controller = new AbortController();
  if (hasLeft) controller.abort();
  return controller;
}

const internalError = {
  kind: 'error',
  error: 'io.systemd.System',
  parameters: { origin: 'linux', errno: 5, errnoName: 'EIO' },
} as const;
