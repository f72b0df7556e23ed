import type { ByteStream } from '../../ports/stream.js';
import { ValueError, WireError } from '../../wire/dbus/errors.js';
import { formatMatchRule, matches, type MatchRule } from '../../wire/dbus/match-rule.js';
import { MessageReader } from '../../wire/dbus/message-reader.js';
import { encodeMessage, type Message } from '../../wire/dbus/message.js';
import { isUniqueName } from '../../wire/dbus/names.js';
import type { ReceivedCall, ReceivedError, ReceivedMessage, ReceivedReturn, ReceivedSignal } from '../../wire/dbus/received.js';
import { SaslClient } from '../../wire/dbus/sasl.js';
import type { FromSignature } from '../../wire/dbus/signature.js';
import { BusError, busErrors, isBusError } from './bus-error.js';

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

/** Signals of a rule; those whose body is not of the signature are passed over. */
export interface Subscription<Arguments extends string = string> {
  readonly rule: MatchRule;
  readonly signature?: Arguments;
  /** Whether to look at a signal at all, by its header: cheaper than a handler, whose body has been decoded. */
  readonly concerns?: (signal: ReceivedSignal) => boolean;
}

export interface NameFlags {
  /** Another connection may take the name over. */
  readonly allowReplacement?: boolean;
  /** Take it over, if its owner allows that. */
  readonly replaceExisting?: boolean;
  /** Wait in line for it if it is taken. */
  readonly queue?: boolean;
}

export const bus = {
  destination: 'org.freedesktop.DBus',
  path: '/org/freedesktop/DBus',
  interface: 'org.freedesktop.DBus',
} as const;

/** Milliseconds; what libdbus and sd-bus wait for an answer, too. */
const defaultTimeout = 25_000;
/** Bytes of answers that are gathered before they go out without waiting for the end of the turn. */
const corkLimit = 64 * 1024;
/** A bus disconnects who sends more (max_message_size in dbus-daemon(1), which the system bus leaves at its default). */
const busMessageLimit = 32 * 1024 * 1024;
/** Bytes of a body; no service that is called here has more to say, and decoded values take a multiple of it. */
const receivedBodyLimit = 16 * 1024 * 1024;
const largestSerial = 0xffffffff;
/** Calls that wait for an answer; a bus refuses more than 128 (max_replies_per_connection in dbus-daemon(1)). */
const maximumPendingCalls = 120;

/** A BusError of this side or a ValueError: the call was not sent, or is given up. */
type Outcome = ReceivedReturn | ReceivedError | BusError | ValueError;

interface PendingCall {
  readonly settle: (outcome: Outcome) => void;
  readonly timer: ReturnType<typeof setTimeout> | undefined;
}

interface Listener {
  readonly rule: MatchRule;
  readonly signature: string | undefined;
  readonly concerns: ((signal: ReceivedSignal) => boolean) | undefined;
  readonly handler: (body: readonly unknown[], signal: ReceivedSignal) => void;
}

/** A match rule on the bus, shared by all subscriptions with the same text. */
interface SharedRule {
  uses: number;
  readonly added: Promise<void>;
}

/** Who owns a well-known name that subscriptions are to hear from: messages carry unique names only. */
interface TrackedName {
  uses: number;
  owner: string | undefined;
  readonly known: Promise<void>;
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
  /** Sends the calls that are to follow as soon as others are answered. */
  readonly #deferred = new Set<() => void>();
  readonly #listeners = new Set<Listener>();
  readonly #rules = new Map<string, SharedRule>();
  readonly #names = new Map<string, TrackedName>();
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
   * answered, `noReply` when nothing came within the time limit since it was sent, `disconnected`, `inconsistentMessage` for an answer of another signature.
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
    this.#transmit({ messageType: 'signal', serial: this.#nextSerial(), noReply: true, ...signal });
  }

  /**
   * Calls the handler for every signal that matches, from when the promise resolves until the result is disposed of.
   * A sender that is a well-known name stands for its owner at that moment, so that nobody else can speak for it.
   * Rejects with BusError.
   */
  async subscribe<Arguments extends string = string>(
    { rule, signature, concerns }: Subscription<Arguments>,
    handler: (body: FromSignature<Arguments>, signal: ReceivedSignal) => void,
  ): Promise<Disposable> {
    const signalRule: MatchRule = { ...rule, type: 'signal' };
    const name = trackedSender(signalRule);
    const listener = { rule: signalRule, signature, concerns, handler: handler as Listener['handler'] };
    this.#listeners.add(listener);
    const release = (): void => {
      if (!this.#listeners.delete(listener)) return;
      this.#releaseRule(signalRule);
      if (name !== undefined) this.#releaseName(name);
    };
    try {
      // The owner first: the bus works in order, so no signal of the rule comes before it is known.
      const owner = name === undefined ? undefined : this.#trackName(name);
      await Promise.all([owner, this.#addRule(signalRule)]);
    } catch (error) {
      release();
      throw error;
    }
    return { [Symbol.dispose]: release };
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
        this.#deliver(message);
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

  #deliver(signal: ReceivedSignal): void {
    if (signal.sender === bus.destination && signal.member === 'NameOwnerChanged') this.#onNameOwnerChanged(signal);
    for (const listener of this.#listeners) {
      const body = this.#bodyFor(listener, signal);
      if (body !== undefined) listener.handler(body, signal);
    }
  }

  /** undefined if the signal is none for this listener. */
  #bodyFor(listener: Listener, signal: ReceivedSignal): readonly unknown[] | undefined {
    if (listener.signature !== undefined && listener.signature !== signal.signature) return undefined;
    if (signal.bodyLength > receivedBodyLimit) return undefined;
    if (listener.concerns?.(signal) === false) return undefined;
    try {
      return matches(listener.rule, signal, this.#ownerOf) ? signal.body() : undefined;
    } catch (error) {
      if (error instanceof WireError) return undefined;
      throw error;
    }
  }

  readonly #ownerOf = (name: string): string | undefined => this.#names.get(name)?.owner;

  #onNameOwnerChanged(signal: ReceivedSignal): void {
    if (signal.signature !== 'sss') return;
    const [name, , owner] = signal.body() as FromSignature<'sss'>;
    const tracked = this.#names.get(name);
    if (tracked !== undefined) tracked.owner = owner === '' ? undefined : owner;
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

  #addRule(rule: MatchRule): Promise<void> {
    const text = formatMatchRule(rule);
    const shared = this.#rules.get(text);
    if (shared !== undefined) {
      shared.uses++;
      return shared.added;
    }
    const added = this.call({ ...bus, member: 'AddMatch', signature: 's', body: [text], replySignature: '' }).then(nothing);
    this.#rules.set(text, { uses: 1, added });
    return added;
  }

  #releaseRule(rule: MatchRule): void {
    const text = formatMatchRule(rule);
    const shared = this.#rules.get(text);
    if (shared === undefined || --shared.uses > 0) return;
    this.#rules.delete(text);
    this.tell({ ...bus, member: 'RemoveMatch', signature: 's', body: [text] });
  }

  #trackName(name: string): Promise<void> {
    const tracked = this.#names.get(name);
    if (tracked !== undefined) {
      tracked.uses++;
      return tracked.known;
    }
    const known = Promise.all([this.#addRule(ownerRule(name)), this.#askOwner(name)]).then(nothing);
    this.#names.set(name, { uses: 1, owner: undefined, known });
    return known;
  }

  /** Not by `call`: a change of owner right behind the answer must not be overwritten by it. */
  #askOwner(name: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const request = { ...bus, member: 'GetNameOwner', signature: 's', body: [name] } as const;
      this.#send(request, (outcome) => {
        const answer = readAnswer(outcome, 's');
        if (isBusError(answer, busErrors.nameHasNoOwner)) return resolve();
        if (answer instanceof Error) return reject(answer);
        const tracked = this.#names.get(name);
        if (tracked !== undefined) tracked.owner = (answer as FromSignature<'s'>)[0];
        resolve();
      });
    });
  }

  #releaseName(name: string): void {
    const tracked = this.#names.get(name);
    if (tracked === undefined || --tracked.uses > 0) return;
    this.#names.delete(name);
    this.#releaseRule(ownerRule(name));
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
    this.#listeners.clear();
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

function ownerRule(name: string): MatchRule {
  return {
    type: 'signal', sender: bus.destination, path: bus.path, interface: bus.interface, member: 'NameOwnerChanged',
    args: new Map([[0, name]]),
  };
}

/** The rule's sender, if it is a name that can change hands. */
function trackedSender({ sender }: MatchRule): string | undefined {
  return sender === undefined || sender === bus.destination || isUniqueName(sender) ? undefined : sender;
}

/** The values of an answer, or the error that it is or that is wrong with it. */
function readAnswer(outcome: Outcome, expected: string | undefined): readonly unknown[] | BusError | ValueError {
  if (outcome instanceof Error) return outcome;
  if (outcome.bodyLength > receivedBodyLimit) return new BusError(busErrors.limitsExceeded, 'The answer is too long');
  if (outcome.messageType === 'error') return new BusError(outcome.errorName, errorText(outcome));
  if (expected !== undefined && outcome.signature !== expected) {
    const text = `The answer has signature '${outcome.signature}' instead of '${expected}'`;
    return new BusError(busErrors.inconsistentMessage, text);
  }
  try {
    return outcome.body();
  } catch (error) {
    if (error instanceof WireError) return new BusError(busErrors.inconsistentMessage, error.message);
    throw error;
  }
}

/** An error's first string is its text. D-Bus Specification, "Errors". */
function errorText(error: ReceivedError): string {
  if (!error.signature.startsWith('s')) return error.errorName;
  try {
    return error.body()[0] as string;
  } catch (failure) {
    if (failure instanceof WireError) return error.errorName;
    throw failure;
  }
}

function nothing(): void {
  // for promises whose value does not matter
}
