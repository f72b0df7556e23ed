import { Failure } from '../domain/failure.js';
import type { Authority, AuthorizationRequest, Caller, Verdict } from '../ports/authority.js';
import { busErrors, isBusError } from '../transport/dbus/bus-error.js';
import { bus } from '../transport/dbus/bus.js';
import type { BusConnection } from '../transport/dbus/connection.js';
import { variant, type Variant } from '../wire/dbus/value.js';
import { isPidfdAlive } from './kernel/pidfd.js';
import { readProcFile } from './kernel/proc-file.js';
import { failureOf } from './kernel/system-error.js';

// The interface org.freedesktop.PolicyKit1.Authority: polkit's reference manual, "D-Bus API Reference".
const polkit = {
  destination: 'org.freedesktop.PolicyKit1',
  path: '/org/freedesktop/PolicyKit1/Authority',
  interface: 'org.freedesktop.PolicyKit1.Authority',
} as const;
const allowUserInteraction = 1;
const nameOwnerChanged = {
  sender: bus.destination, path: bus.path, interface: bus.interface, member: 'NameOwnerChanged',
};

/** polkit decides at once unless it asks the user; a minute and more is what typing a password may take. */
const decisionTime = 25_000;
const authenticationTime = 120_000;
/**
 * Open questions of one user. The bus lets a connection wait for some thousand replies only, which one user's unanswered
 * password prompts must not use up for all others.
 */
const questionsPerUser = 64;

type Subject = readonly [kind: string, details: ReadonlyMap<string, Variant>];

/** Asks polkit(8), over the system bus, which starts it if need be. */
export class PolkitAuthority implements Authority {
  readonly #bus: Pick<BusConnection, 'call' | 'subscribe'>;
  readonly #questions = new Map<number, number>();
  #lastCancellation = 0;

  constructor(connection: Pick<BusConnection, 'call' | 'subscribe'>) {
    this.#bus = connection;
  }

  isPrivileged(uid: number | undefined): boolean {
    return uid === 0;
  }

  async check(caller: Caller, request: AuthorizationRequest): Promise<Verdict> {
    const { uid } = caller;
    if (this.isPrivileged(uid)) return 'allowed';
    if (uid === undefined) return 'denied';
    const open = this.#questions.get(uid) ?? 0;
    if (open >= questionsPerUser) {
      const message = `User ${uid} has ${open} authorizations under way: wait until one of them has ended.`;
      throw new Failure('too-many-operations', message);
    }
    this.#questions.set(uid, open + 1);
    try {
      return await (caller.busName === undefined
        ? this.#askForProcess(uid, caller, request)
        : this.#askForBusName(caller.busName, request));
    } catch (error) {
      return verdictOf(error);
    } finally {
      this.#forget(uid);
    }
  }

  #forget(uid: number): void {
    const left = (this.#questions.get(uid) ?? 1) - 1;
    if (left > 0) this.#questions.set(uid, left);
    else this.#questions.delete(uid);
  }

  async #askForBusName(busName: string, request: AuthorizationRequest): Promise<Verdict> {
    const subject: Subject = ['system-bus-name', new Map([['name', variant('s', busName)]])];
    if (!request.interactive) return this.#ask(subject, request);
    const cancellation = this.#nextCancellation();
    const rule = { ...nameOwnerChanged, args: new Map([[0, busName]]) };
    const departure = await this.#bus.subscribe({ rule }, () => this.#cancel(cancellation));
    try {
      return await this.#ask(subject, request, cancellation);
    } finally {
      departure[Symbol.dispose]();
    }
  }

  /** Sends before it returns: until then the caller's pidfd is surely the caller's. */
  async #askForProcess(uid: number, caller: Caller, request: AuthorizationRequest): Promise<Verdict> {
    if (caller.gone?.aborted === true) return 'denied'; // and its pidfd is closed
    const subject = processSubject(uid, caller);
    if (subject === undefined) return 'denied';
    if (!request.interactive) return this.#ask(subject, request);
    const cancellation = this.#nextCancellation();
    const cancel = (): void => this.#cancel(cancellation);
    caller.gone?.addEventListener('abort', cancel);
    try {
      return await this.#ask(subject, request, cancellation);
    } finally {
      caller.gone?.removeEventListener('abort', cancel);
    }
  }

  /** Lets the user be asked if there is a `cancellation`, by which the question can be withdrawn. */
  async #ask(subject: Subject, request: AuthorizationRequest, cancellation = ''): Promise<Verdict> {
    const interactive = cancellation !== '';
    const details = new Map(Object.entries(request.details));
    try {
      const [[authorized, challenge]] = await this.#bus.call({
        ...polkit,
        member: 'CheckAuthorization',
        signature: '(sa{sv})sa{ss}us',
        body: [subject, request.action, details, interactive ? allowUserInteraction : 0, cancellation],
        replySignature: '(bba{ss})',
        timeout: interactive ? authenticationTime : decisionTime,
      });
      if (authorized) return 'allowed';
      return challenge ? 'interactive-authentication-required' : 'denied';
    } catch (error) {
      if (interactive && isBusError(error, busErrors.noReply)) this.#cancel(cancellation);
      throw error;
    }
  }

  /** Takes the password prompt away. It fails where polkit has just answered, which is as good. */
  #cancel(cancellation: string): void {
    const member = 'CancelCheckAuthorization';
    const call = { ...polkit, member, signature: 's', body: [cancellation], noAutoStart: true } as const;
    this.#bus.call(call).catch(() => undefined);
  }

  #nextCancellation(): string {
    return `machined-${++this.#lastCancellation}`;
  }
}

/** What polkit's failure means for the caller. Throws the Failure that the caller is to see. */
function verdictOf(error: unknown): Verdict {
  if (!isBusError(error)) throw failureOf(error, 'The process that calls cannot be looked at.');
  // an action that it has no description of, a caller that has just gone, a cancelled check
  if (refusals.some((prefix) => error.busName.startsWith(prefix))) return 'denied';
  // it is not installed: root alone may do everything, and this is not root
  if (error.busName === busErrors.serviceUnknown || error.busName === busErrors.nameHasNoOwner) return 'denied';
  const errno = errnoOf[error.busName] ?? 'EIO';
  throw new Failure('system', error.message, { errno, busError: error.busName, cause: error });
}

/** polkit's own errors, and those of the library it is made with when it cannot look at the caller. */
const refusals = ['org.freedesktop.PolicyKit1.Error.', 'org.gtk.GDBus.UnmappedGError.'];

/** For callers that speak errno: what the bus and systemd answer when polkit does not, or cannot be started. */
const errnoOf: Readonly<Record<string, string>> = {
  [busErrors.noReply]: 'ETIMEDOUT',
  'org.freedesktop.DBus.Error.TimedOut': 'ETIMEDOUT',
  'org.freedesktop.systemd1.UnitMasked': 'ERFKILL',
  [busErrors.disconnected]: 'ECONNRESET',
};

/**
 * A process in polkit's terms, by its pidfd for polkit 124 and later, and by its PID and start time for older ones,
 * which do not look at the pidfd. undefined if it has ended.
 */
function processSubject(uid: number, { pid, pidfd }: Caller): Subject | undefined {
  if (pid === undefined) return undefined;
  const startTime = startTimeOf(pid);
  // in this order: a process that is there after its start time was read has been the same all along
  if (startTime === undefined || (pidfd !== undefined && !isPidfdAlive(pidfd))) return undefined;
  const details = new Map<string, Variant>([
    ['pid', variant('u', pid)],
    ['start-time', variant('t', startTime)],
    ['uid', variant('i', uid | 0)], // signed there: an id from 2^31 on is negative
  ]);
  if (pidfd !== undefined) details.set('pidfd', variant('h', pidfd));
  return ['unix-process', details];
}

/** Field 22 of proc_pid_stat(5), clock ticks since boot. The second field is a name, which may contain anything. */
function startTimeOf(pid: number): bigint | undefined {
  const text = readProcFile(`/proc/${pid}/stat`);
  if (text === undefined) return undefined;
  const fromThird = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return BigInt(fromThird[19] as string);
}
