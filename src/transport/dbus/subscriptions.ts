import { WireError } from '../../wire/dbus/errors.js';
import { formatMatchRule, matches, type MatchRule } from '../../wire/dbus/match-rule.js';
import { isUniqueName } from '../../wire/dbus/names.js';
import type { ReceivedSignal } from '../../wire/dbus/received.js';
import type { FromSignature } from '../../wire/dbus/signature.js';
import { busErrors, isBusError } from './bus-error.js';
import { bus } from './bus.js';
import { readAnswer, receivedBodyLimit, type Outcome } from './outcome.js';

/** Signals of a rule; those whose body is not of the signature are passed over. */
export interface Subscription<Arguments extends string = string> {
  readonly rule: MatchRule;
  readonly signature?: Arguments;
  /** Whether to look at a signal at all, by its header: cheaper than a handler, whose body has been decoded. */
  readonly concerns?: (signal: ReceivedSignal) => boolean;
}

export type SignalHandler = (body: readonly unknown[], signal: ReceivedSignal) => void;

/** Methods of the bus itself that take one string. */
export interface BusCalls {
  /** `settle` is called before the next message is looked at, unlike what waits for a promise. */
  ask(member: string, argument: string, settle: (outcome: Outcome) => void): void;
  /** For what cannot fail, or does not matter. */
  tell(member: string, argument: string): void;
}

interface Listener {
  readonly rule: MatchRule;
  readonly signature: string | undefined;
  readonly concerns: ((signal: ReceivedSignal) => boolean) | undefined;
  readonly handler: SignalHandler;
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

/** Who on this side hears which signals, the match rules on the bus for that, and who owns the names that they are of. */
export class Subscriptions {
  readonly #bus: BusCalls;
  readonly #listeners = new Set<Listener>();
  readonly #rules = new Map<string, SharedRule>();
  readonly #names = new Map<string, TrackedName>();

  constructor(calls: BusCalls) {
    this.#bus = calls;
  }

  /** See `BusConnection.subscribe`. */
  async add({ rule, signature, concerns }: Subscription, handler: SignalHandler): Promise<Disposable> {
    const signalRule: MatchRule = { ...rule, type: 'signal' };
    const name = trackedSender(signalRule);
    const listener = { rule: signalRule, signature, concerns, handler };
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

  deliver(signal: ReceivedSignal): void {
    if (signal.sender === bus.destination && signal.member === 'NameOwnerChanged') this.#onNameOwnerChanged(signal);
    for (const listener of this.#listeners) {
      const body = this.#bodyFor(listener, signal);
      if (body !== undefined) listener.handler(body, signal);
    }
  }

  /** The connection is over: nobody hears anything any more. */
  clear(): void {
    this.#listeners.clear();
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

  #addRule(rule: MatchRule): Promise<void> {
    const text = formatMatchRule(rule);
    const shared = this.#rules.get(text);
    if (shared !== undefined) {
      shared.uses++;
      return shared.added;
    }
    const added = this.#askToAdd(text);
    this.#rules.set(text, { uses: 1, added });
    return added;
  }

  #askToAdd(rule: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#bus.ask('AddMatch', rule, (outcome) => {
        const answer = readAnswer(outcome, '');
        if (answer instanceof Error) reject(answer);
        else resolve();
      });
    });
  }

  #releaseRule(rule: MatchRule): void {
    const text = formatMatchRule(rule);
    const shared = this.#rules.get(text);
    if (shared === undefined || --shared.uses > 0) return;
    this.#rules.delete(text);
    this.#bus.tell('RemoveMatch', text);
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

  /** Settled at once: a change of owner right behind the answer must not be overwritten by it. */
  #askOwner(name: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#bus.ask('GetNameOwner', name, (outcome) => {
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

function nothing(): void {
  // for promises whose value does not matter
}
