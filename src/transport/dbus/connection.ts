import type { ByteStream } from '../../ports/stream.js';
import { ValueError, WireError } from '../../wire/dbus/errors.js';
import { MessageReader } from '../../wire/dbus/message-reader.js';
import { encodeMessage, type Message } from '../../wire/dbus/message.js';
import type { ReceivedCall, ReceivedError, ReceivedMessage, ReceivedReturn, ReceivedSignal } from '../../wire/dbus/received.js';
import { SaslClient } from '../../wire/dbus/sasl.js';
import type { FromSignature } from '../../wire/dbus/signature.js';
import { BusError, busErrors, isBusError } from './bus-error.js';
import { bus } from './bus.js';
import { readAnswer, type Outcome } from './outcome.js';
import { Subscriptions, type SignalHandler, type Subscription } from './subscriptions.js';

export interface BusConnectionOptions {
  /** The user that this process proves to be: its effective one. */
  readonly uid: number;
  /** Milliseconds in which the bus must have let this process in; 25 s if not given. */
  readonly openingLimit?: number;
  /** False for a stream that passes no descriptors: then the bus is not asked to. */
  readonly passDescriptors?: boolean;
  /** Closes a received descriptor that nobody took. */
  closeDescriptor(fd: number): void;
}

export interface CallRequest<Arguments extends string = '', Answer extends string = string> {
  readonly destination: string;
  readonly path: string;
  readonly interface: string;
  readonly member: string;
  readonly signature?: Arguments;
  readonly body?: FromSignature<Arguments>;
  /** What the answer must look like; without it, anything will do. */
  readonly replySignature?: Answer;
  /** Milliseconds, 0 for no limit. */
  readonly timeout?: number;
  /** The destination shall not be started for this call. */
  readonly noAutoStart?: boolean;
  /** The caller is ready to wait while the user is asked for authorization. */
  readonly allowInteractive?: boolean;
}

export interface SignalRequest<Arguments extends string = ''> {
  readonly path: string;
  readonly interface: string;
  readonly member: string;
  readonly signature?: Arguments;
  readonly body?: FromSignature<Arguments>;
  /** Absent: everybody who has a match rule for it. */
  readonly destination?: string;
}

export interface NameFlags {
  /** Another connection may take the name over. */
  readonly allowReplacement?: boolean;
  /** Take it over, if its owner allows that. */
  readonly replaceExisting?: boolean;
  /** Wait in line for it if it is taken. */
  readonly queue?: boolean;
}

/** Milliseconds; what libdbus and sd-bus wait for an answer, too. */
const defaultTimeout = 25_000;
/** Bytes of answers that are gathered before they go out without waiting for the end of the turn. */
const corkLimit = 64 * 1024;
/** A bus disconnects who sends more (max_message_size in dbus-daemon(1), which the system bus leaves at its default). */
const busMessageLimit = 32 * 1024 * 1024;
const largestSerial = 0xffffffff;
/** Calls that wait for an answer; a bus refuses more than 128 (max_replies_per_connection in dbus-daemon(1)). */
const maximumPendingCalls = 120;

interface PendingCall {
  readonly settle: (outcome: Outcome) => void;
  readonly timer: ReturnType<typeof setTimeout> | undefined;
}

/**
 * A client's connection to a message bus: calls and their answers, signals, names, and calls that others make.
 *
 * File descriptors in what is sent stay the caller's, who may close them as soon as the method has returned. Received
 * ones are closed once their message has been dealt with, unless they were taken: see `callForDescriptors` and
 * `takeDescriptors`.
 *
 * What is sent within one turn of the event loop goes out together at its end, in the order in which it was sent.
 */
export class BusConnection implements Disposable {
  /** Called for every method call. Answer it with `reply` or `replyError`, exactly once, whether or not it asks for that. */
  onMethodCall: (call: ReceivedCall) => void = (call) => this.#refuseCall(call);
  /** Resolves when the connection is over: with the reason, or with undefined after `close`. */
  readonly closed: Promise<Error | undefined>;

  readonly #stream: ByteStream;
  readonly #options: BusConnectionOptions;
  readonly #reader = new MessageReader();
  readonly #pending = new Map<number, PendingCall>();
  readonly #subscriptions = new Subscriptions({
    ask: (member, argument, settle) => this.#askBus(member, argument, settle),
    tell: (member, argument) => this.tell({ ...bus, member, signature: 's', body: [argument] }),
  });
  /** Sends the calls that are to follow as soon as others are answered. */
  readonly #deferred = new Set<() => void>();
  /** Calls that came with descriptors, and have not been answered. */
  readonly #callsWithDescriptors = new Set<ReceivedCall>();
  #handshake: Handshake | undefined;
  #corked: Buffer[] = [];
  #corkedBytes = 0;
  #waitingBytes = 0;
  #lastSerial = 0;
  #uniqueName = '';
  #passesDescriptors = false;
  #over = false;
  #resolveClosed: (reason: Error | undefined) => void = () => undefined;

  private constructor(stream: ByteStream, options: BusConnectionOptions) {
    this.#stream = stream;
    this.#options = options;
    this.closed = new Promise((resolve) => (this.#resolveClosed = resolve));
  }

  /**
   * Introduces this process to the bus. Owns the stream from here on, also if it fails. Rejects with an Error that says
   * why the bus would not have it.
   */
  static async open(stream: ByteStream, options: BusConnectionOptions): Promise<BusConnection> {
    const connection = new BusConnection(stream, options);
    try {
      await connection.#authenticate();
      const [name] = await connection.call({ ...bus, member: 'Hello', replySignature: 's', timeout: options.openingLimit ?? defaultTimeout });
      connection.#uniqueName = name;
      return connection;
    } catch (error) {
      connection.close();
      throw error;
    }
  }

  /** The name that the bus gave this connection: ':1.42'. */
  get uniqueName(): string {
    return this.#uniqueName;
  }

  /** Bytes that were sent but wait in this process, because the bus does not read. */
  get queuedBytes(): number {
    return this.#waitingBytes + this.#corkedBytes;
  }

  /**
   * Calls a method; resolves with the values of the answer. Rejects with BusError: what the destination or the bus
   * answered, `noReply` when nothing came within the time limit since it was sent, `disconnected`, or
   * `inconsistentMessage` for an answer of another signature.
   * A ValueError tells of a request that nobody could send, which is a bug.
   */
  async call<Arguments extends string = '', Answer extends string = string>(
    request: CallRequest<Arguments, Answer>,
  ): Promise<FromSignature<Answer>> {
    const answer = await this.callForDescriptors(request);
    this.#closeDescriptors(answer.fds);
    return answer.body;
  }

  /** Like `call`, and the descriptors of the answer are the caller's from here on. */
  callForDescriptors<Arguments extends string = '', Answer extends string = string>(
    request: CallRequest<Arguments, Answer>,
  ): Promise<{ readonly body: FromSignature<Answer>; readonly fds: readonly number[] }> {
    return new Promise((resolve, reject) => {
      this.#send(request, (outcome) => {
        const body = readAnswer(outcome, request.replySignature);
        const fds = outcome instanceof Error ? [] : outcome.fds;
        if (!(body instanceof Error)) return resolve({ body: body as FromSignature<Answer>, fds });
        this.#closeDescriptors(fds);
        reject(body);
      });
    });
  }

  /** Calls a method whose outcome does not matter: nothing is reported, neither success nor failure. */
  tell<Arguments extends string = ''>(request: CallRequest<Arguments>): void {
    const { destination, path, interface: interfaceName, member, signature, body } = request;
    this.#transmit({
      messageType: 'call', serial: this.#nextSerial(), noReply: true, destination, path, interface: interfaceName, member,
      signature, body,
    });
  }

  /** Answers a call. Sends nothing if the caller wants no answer. Throws ValueError if the values do not fit, a bug. */
  reply(call: ReceivedCall, signature = '', body: readonly unknown[] = []): void {
    const { serial: replySerial, sender: destination } = call;
    const serial = this.#nextSerial();
    this.#answer(call, { messageType: 'return', serial, replySerial, destination, noReply: true, signature, body });
  }

  /** Answers a call with an error. Sends nothing if the caller wants no answer. */
  replyError(call: ReceivedCall, errorName: string, message: string): void {
    const { serial: replySerial, sender: destination } = call;
    const serial = this.#nextSerial();
    const text = { signature: 's', body: [message] };
    this.#answer(call, { messageType: 'error', serial, replySerial, destination, noReply: true, errorName, ...text });
  }

  /** The descriptors of a call, which are the caller's from here on; none at a second time. */
  takeDescriptors(call: ReceivedCall): readonly number[] {
    return this.#callsWithDescriptors.delete(call) ? call.fds : [];
  }

  emit<Arguments extends string = ''>(signal: SignalRequest<Arguments>): void {
    const { destination, path, interface: interfaceName, member, signature, body } = signal;
    const serial = this.#nextSerial();
    this.#transmit({
      messageType: 'signal', serial, noReply: true, destination, path, interface: interfaceName, member, signature, body,
    });
  }

  /**
   * Calls the handler for every signal that matches, from when the promise resolves until the result is disposed of.
   * A sender that is a well-known name stands for its owner at that moment, so that nobody else can speak for it.
   * Rejects with BusError.
   */
  subscribe<Arguments extends string = string>(
    subscription: Subscription<Arguments>,
    handler: (body: FromSignature<Arguments>, signal: ReceivedSignal) => void,
  ): Promise<Disposable> {
    return this.#subscriptions.add(subscription, handler as SignalHandler);
  }

  /** Rejects with BusError, if this process may not own it. */
  async requestName(name: string, flags: NameFlags = {}): Promise<'owned' | 'queued' | 'taken'> {
    const bits =
      (flags.allowReplacement === true ? 1 : 0) | (flags.replaceExisting === true ? 2 : 0) | (flags.queue === true ? 0 : 4);
    const [result] = await this.call({
      ...bus, member: 'RequestName', signature: 'su', body: [name, bits], replySignature: 'u',
    });
    if (result === 2) return 'queued';
    return result === 3 ? 'taken' : 'owned'; // 1: it is ours now, 4: it was already
  }

  async releaseName(name: string): Promise<void> {
    await this.call({ ...bus, member: 'ReleaseName', signature: 's', body: [name], replySignature: 'u' });
  }

  /** Sends what is queued and ends the connection; calls that still wait reject. */
  close(): void {
    if (this.#over) return;
    this.#flush();
    this.#finish(undefined);
    this.#stream.end();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #authenticate(): Promise<void> {
    return new Promise((resolve, reject) => {
      const limit = this.#options.openingLimit ?? defaultTimeout;
      const timer = setTimeout(() => this.#fail(new Error('The bus did not answer the handshake in time')), limit);
      const sasl = new SaslClient(this.#options.uid, { passDescriptors: this.#options.passDescriptors ?? true });
      const settle = (error: Error | undefined): void => {
        clearTimeout(timer);
        this.#handshake = undefined;
        if (error === undefined) resolve();
        else reject(error);
      };
      this.#handshake = { sasl, settle };
      this.#stream.start({
        data: (bytes, fds) => this.#onData(bytes, fds),
        end: () => this.#fail(new Error('The bus has ended the connection')),
        closed: (error) => this.#fail(error ?? new Error('The bus has closed the connection')),
        drained: () => (this.#waitingBytes = 0),
      });
      this.#waitingBytes = this.#stream.write(sasl.start());
    });
  }

  #onData(bytes: Uint8Array, fds: readonly number[]): void {
    if (this.#over) return this.#closeDescriptors(fds);
    try {
      if (this.#handshake === undefined) this.#read(bytes, fds);
      else this.#advance(this.#handshake, bytes, fds);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      this.#fail(error);
    }
  }

  #advance(handshake: Handshake, bytes: Uint8Array, fds: readonly number[]): void {
    if (fds.length > 0) {
      this.#closeDescriptors(fds);
      throw new WireError('The bus sent descriptors during the handshake');
    }
    const progress = handshake.sasl.push(bytes);
    if (progress.state === 'rejected') return this.#fail(new Error(`The bus refused the connection: ${progress.reason}`));
    if (progress.send.length > 0) this.#waitingBytes = this.#stream.write(progress.send);
    if (progress.state === 'continuing') return;
    this.#passesDescriptors = progress.fdsNegotiated;
    handshake.settle(undefined);
    if (progress.leftover.length > 0) this.#read(progress.leftover, []);
  }

  #read(bytes: Uint8Array, fds: readonly number[]): void {
    try {
      this.#reader.push(bytes, fds);
      for (let message = this.#reader.next(); message !== undefined && !this.#over; message = this.#reader.next()) {
        this.#dispatch(message);
      }
    } finally {
      this.#closeDescriptors(this.#reader.takeUnclaimedFds());
    }
  }

  #dispatch(message: ReceivedMessage): void {
    switch (message.messageType) {
      case 'call':
        if (message.fds.length > 0) this.#callsWithDescriptors.add(message);
        return this.onMethodCall(message);
      case 'signal':
        this.#subscriptions.deliver(message);
        return this.#closeDescriptors(message.fds);
      case 'return':
      case 'error':
        this.#settle(message);
    }
  }

  /** An answer that nobody waits for came after its time limit. */
  #settle(answer: ReceivedReturn | ReceivedError): void {
    const pending = this.#pending.get(answer.replySerial);
    if (pending === undefined) return this.#closeDescriptors(answer.fds);
    this.#pending.delete(answer.replySerial);
    clearTimeout(pending.timer);
    pending.settle(answer);
    this.#sendDeferred();
  }

  #sendDeferred(): void {
    for (const send of this.#deferred) {
      if (this.#pending.size >= maximumPendingCalls) return;
      this.#deferred.delete(send);
      send();
    }
  }

  #askBus(member: string, argument: string, settle: (outcome: Outcome) => void): void {
    this.#send({ ...bus, member, signature: 's', body: [argument] }, (outcome) => {
      if (!(outcome instanceof Error)) this.#closeDescriptors(outcome.fds);
      settle(outcome);
    });
  }

  /** `settle` is called before the next message is looked at, unlike what waits for a promise. */
  #send<Arguments extends string>(request: CallRequest<Arguments>, settle: PendingCall['settle']): void {
    if (this.#over) return settle(new BusError(busErrors.disconnected, 'The connection to the bus is over'));
    if (this.#pending.size >= maximumPendingCalls) {
      this.#deferred.add(() => this.#send(request, settle));
      return;
    }
    const serial = this.#nextSerial();
    try {
      this.#transmit({
        messageType: 'call', serial, destination: request.destination, path: request.path, interface: request.interface,
        member: request.member, signature: request.signature, body: request.body,
        noAutoStart: request.noAutoStart, allowInteractive: request.allowInteractive,
      });
    } catch (error) {
      // Told as every other failure is, and not thrown: this may be a call that waited for others to be answered.
      if (!(error instanceof BusError || error instanceof ValueError)) throw error;
      return settle(error);
    }
    const { timeout = defaultTimeout } = request;
    const timer = timeout === 0 ? undefined : setTimeout(() => this.#expire(serial, request), timeout);
    this.#pending.set(serial, { settle, timer });
  }

  #expire(serial: number, { destination, member }: { readonly destination: string; readonly member: string }): void {
    const pending = this.#pending.get(serial);
    this.#pending.delete(serial);
    pending?.settle(new BusError(busErrors.noReply, `${destination} did not answer ${member} in time`));
    this.#sendDeferred();
  }

  #refuseCall(call: ReceivedCall): void {
    this.replyError(call, busErrors.unknownMethod, `There is no object ${call.path} with a method ${call.member}`);
  }

  #answer(call: ReceivedCall, answer: Message): void {
    try {
      if (!call.noReply) this.#transmit(answer);
    } catch (error) {
      if (!isBusError(error) || answer.messageType === 'error') throw error;
      this.replyError(call, error.busName, error.message);
    } finally {
      // Not before: the answer may well carry a descriptor of the call.
      if (call.fds.length > 0 && this.#callsWithDescriptors.delete(call)) this.#closeDescriptors(call.fds);
    }
  }

  #nextSerial(): number {
    do {
      this.#lastSerial = this.#lastSerial === largestSerial ? 1 : this.#lastSerial + 1;
    } while (this.#pending.has(this.#lastSerial));
    return this.#lastSerial;
  }

  /** Throws BusError if the bus would not take the message, ValueError if nobody would. */
  #transmit(message: Message): void {
    if (this.#over) return;
    const { bytes, fds } = encodeMessage(message);
    if (bytes.length > busMessageLimit) throw new BusError(busErrors.limitsExceeded, 'The message is too long for a bus');
    if (fds.length === 0) return this.#cork(bytes);
    if (!this.#passesDescriptors) throw new ValueError('This bus passes no file descriptors');
    this.#flush();
    this.#waitingBytes = this.#stream.write(bytes, fds);
  }

  #cork(bytes: Buffer): void {
    // After the microtasks of this turn: what is answered elsewhere does not wait for a write to the bus.
    if (this.#corked.length === 0) process.nextTick(() => this.#flush());
    this.#corked.push(bytes);
    this.#corkedBytes += bytes.length;
    if (this.#corkedBytes >= corkLimit) this.#flush();
  }

  #flush(): void {
    const [first, second] = this.#corked;
    if (first === undefined || this.#over) return;
    const bytes = second === undefined ? first : Buffer.concat(this.#corked, this.#corkedBytes);
    this.#corked = [];
    this.#corkedBytes = 0;
    this.#waitingBytes = this.#stream.write(bytes);
  }

  /** The bus is gone, or speaks nonsense. */
  #fail(reason: Error): void {
    if (this.#over) return;
    this.#finish(reason);
    this.#stream.close();
  }

  #finish(reason: Error | undefined): void {
    this.#over = true;
    this.#corked = [];
    this.#corkedBytes = 0;
    this.#handshake?.settle(reason ?? new Error('The connection was closed'));
    this.#subscriptions.clear();
    for (const call of this.#callsWithDescriptors) this.#closeDescriptors(call.fds);
    this.#callsWithDescriptors.clear();
    this.#reader.end();
    this.#closeDescriptors(this.#reader.takeUnclaimedFds());
    const error = new BusError(busErrors.disconnected, reason?.message ?? 'The connection to the bus was closed');
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const { timer, settle } of pending) {
      clearTimeout(timer);
      settle(error);
    }
    this.#sendDeferred();
    this.#resolveClosed(reason);
  }

  #closeDescriptors(fds: readonly number[]): void {
    for (const fd of fds) this.#options.closeDescriptor(fd);
  }
}

interface Handshake {
  readonly sasl: SaslClient;
  readonly settle: (error: Error | undefined) => void;
}
