import path from 'node:path';
import { Failure, isFailure, systemFailure } from '../../domain/failure.js';
import type { ScopeJob, ScopeRequest, UnitPlace, UnitProperty, UnitWatcher, Units } from '../../ports/units.js';
import { BusError, busErrors, isBusError } from '../../transport/dbus/bus-error.js';
import { bus } from '../../transport/dbus/bus.js';
import type { BusConnection } from '../../transport/dbus/connection.js';
import { escapeLabel } from '../../wire/dbus/object-path.js';
import type { ReceivedSignal } from '../../wire/dbus/received.js';
import { variant, type Variant } from '../../wire/dbus/value.js';
import { readProcFile } from '../kernel/proc-file.js';
import { failureOf } from '../kernel/system-error.js';
import { placeOfCgroup } from './cgroup-path.js';
import { findCgroupMount, isPopulated, signalCgroup } from './cgroup-tree.js';

// Interface and signals: org.freedesktop.systemd1(5). Which properties a machine's scope gets, and which error a caller
// sees, is what systemd-machined 262 was seen to do.

const systemd = 'org.freedesktop.systemd1';
const manager = { destination: systemd, path: '/org/freedesktop/systemd1', interface: `${systemd}.Manager` } as const;
const unitInterface = `${systemd}.Unit`;
const unitPaths = `${manager.path}/unit`;

const noSuchUnit = `${systemd}.NoSuchUnit`;
const unitExists = `${systemd}.UnitExists`;
const jobFailed = `${systemd}.JobFailed`;
const transactionIsDestructive = `${systemd}.TransactionIsDestructive`;
const propertyReadOnly = 'org.freedesktop.DBus.Error.PropertyReadOnly';
const pidfds = 'PIDFDs';

/** Unknown properties of one scope that are put up with: each costs another call. */
const maximumUnknownProperties = 16;

/**
 * Milliseconds. Units that are newly watched are looked at once, for what happened before: soon enough to be noticed, and
 * late enough that many registrations share one question to systemd.
 */
const firstLookDelay = 50;

/** Units asked for in one call, so that neither side is kept busy for long. */
const unitsPerQuestion = 500;

/** A scope that systemd has been asked for and that is not there yet. */
interface StartingScope {
  readonly unit: string;
  /** Its leader's PID. */
  readonly leader: number;
  /** '' until systemd has answered. */
  job: string;
  /** Results of this unit's jobs that ended before it was known which one is ours. */
  readonly results: Map<string, string>;
  /** The unit's ActiveState as far as it was told: until the job is done, 'inactive' means nothing. */
  activeState: string;
  /** Answers to questions up to this one are older than what is known. */
  lastStaleQuestion: number;
  readonly finish: (failure: Failure | undefined) => void;
}

interface WatchedUnit {
  readonly unit: string;
  lastStaleQuestion: number;
  readonly watchers: Set<{ readonly watcher: UnitWatcher }>;
}

/** As ListUnitsByNames tells it. */
interface UnitState {
  readonly unit: string;
  readonly activeState: string;
  /** The path of the job that is under way, or ''. */
  readonly job: string;
}

/**
 * Units of systemd, over its bus. Works only while it is attached to a connection; watches outlive the loss of one, and
 * are looked at anew with the next. Why all of systemd's units are listened to: docs/decisions/0006-unit-watching.md.
 */
export class SystemdUnits implements Units {
  readonly kind = 'systemd';
  #connection: BusConnection | undefined;
  #subscriptions: Disposable[] = [];
  /** The cgroup of the manager itself, below which its units are: '' for the host's, '/user.slice/…' for a user's. */
  #ownCgroup = '';
  /** These two by the object path of the unit. */
  readonly #starting = new Map<string, StartingScope>();
  readonly #watched = new Map<string, WatchedUnit>();
  /** How many questions for states have been asked. */
  #questions = 0;
  /** Watched since this turn of the loop: they may have ended before. */
  readonly #unseen = new Set<string>();
  /** Units that systemd keeps in memory for us, on this connection. */
  readonly #referenced = new Set<string>();
  /** Whether systemd takes a leader's pidfd (StartTransientUnit's PIDFDs, since systemd 253). */
  #takesPidfds = true;
  readonly #warn: (message: string) => void;

  constructor(warn: (message: string) => void = () => undefined) {
    this.#warn = warn;
  }

  /**
   * Uses this connection, which stays the caller's, until it is over or another is attached. Resolves once nothing that
   * happens to a unit is missed, and all watched units have been looked at. Rejects with BusError.
   */
  async attach(connection: BusConnection): Promise<void> {
    this.#detach();
    this.#connection = connection;
    void connection.closed.then(() => {
      if (this.#connection === connection) this.#detach();
    });
    const ownCgroup = connection.call({
      ...manager, interface: 'org.freedesktop.DBus.Properties', member: 'Get',
      signature: 'ss', body: [manager.interface, 'ControlGroup'], replySignature: 'v',
    });
    this.#subscriptions = await Promise.all([
      connection.subscribe({ rule: managerRule('JobRemoved'), signature: 'uoss' }, ([, job, unit, result]) => {
        this.#onJobRemoved(unit, job, result);
      }),
      connection.subscribe({ rule: managerRule('UnitRemoved'), signature: 'so' }, ([unit]) => this.#onUnitRemoved(unit)),
      connection.subscribe({ rule: managerRule('Reloading'), signature: 'b' }, ([active]) => {
        if (!active) this.#lookAgain(this.#unitsOfInterest());
      }),
      connection.subscribe({ rule: ownerRule, signature: 'sss' }, ([, , owner]) => {
        if (owner !== '') this.#onSystemdReturned();
      }),
      connection.subscribe(
        { rule: unitRule, signature: 'sa{sv}as', concerns: (signal) => this.#isOfInterest(signal) },
        ([, changed, invalidated], signal) => {
          const state = changed.get('ActiveState');
          if (state !== undefined) this.#onActiveState(signal.path, String(state.value));
          else if (invalidated.includes('ActiveState')) this.#lookAgain(this.#unitsOfInterest(signal.path));
        },
      ),
    ]);
    await connection.call({ ...manager, member: 'Subscribe', replySignature: '' });
    this.#ownCgroup = String((await ownCgroup)[0].value).replace(/\/$/, '');
    await this.#check(this.#unitsOfInterest());
  }

  placeOf(cgroup: string): UnitPlace | undefined {
    const ours = this.#ownCgroup === '' || cgroup.startsWith(`${this.#ownCgroup}/`);
    return ours ? placeOfCgroup(cgroup.slice(this.#ownCgroup.length)) : undefined;
  }

  async startScope(request: ScopeRequest): Promise<ScopeJob> {
    const { unit, leader } = request;
    const objectPath = pathOf(unit);
    if (this.#starting.has(objectPath)) throw new Failure('system', `Unit ${unit} is being started`, { busError: unitExists });
    const { starting, done } = newStart(unit, leader.pid);
    this.#starting.set(objectPath, starting);
    try {
      starting.job = await this.#startTransientUnit(request);
      starting.lastStaleQuestion = this.#questions;
    } catch (error) {
      this.#starting.delete(objectPath);
      throw refusal(error);
    }
    this.#referenced.add(unit);
    const result = starting.results.get(starting.job);
    if (result !== undefined) this.#finishStart(starting, result);
    return { job: starting.job, done };
  }

  async killAll(unit: string, subgroup: string, signal: number): Promise<void> {
    try {
      await this.#kill(unit, subgroup, signal);
    } catch (error) {
      if (isBusError(error, noSuchUnit)) throw systemFailure('ENOENT', error.message, error);
      throw refusal(error);
    }
  }

  async stop(unit: string): Promise<string> {
    try {
      const request = { ...manager, member: 'StopUnit', signature: 'ss', body: [unit, 'fail'], replySignature: 'o' } as const;
      const [job] = await this.#bus.call(request);
      return job;
    } catch (error) {
      if (isBusError(error, noSuchUnit)) return '';
      // The unit has another job, which would have to be cancelled.
      if (isBusError(error, transactionIsDestructive)) throw systemFailure('EDEADLK', error.message, error);
      throw refusal(error);
    }
  }

  async isActive(unit: string): Promise<boolean> {
    if (this.#starting.has(pathOf(unit))) return true;
    try {
      const [state] = await this.#statesOf([unit]);
      return state !== undefined && !hasEnded(state.activeState);
    } catch (error) {
      throw refusal(error);
    }
  }

  watch(unit: string, watcher: UnitWatcher): Disposable {
    const objectPath = pathOf(unit);
    const watched = this.#watched.get(objectPath) ?? { unit, lastStaleQuestion: this.#questions, watchers: new Set() };
    const watch = { watcher };
    this.#watched.set(objectPath, watched);
    watched.watchers.add(watch);
    this.#seeLater(unit);
    return {
      [Symbol.dispose]: () => {
        watched.watchers.delete(watch);
        if (watched.watchers.size === 0 && this.#watched.get(objectPath) === watched) this.#watched.delete(objectPath);
      },
    };
  }

  release(unit: string): void {
    if (!this.#referenced.delete(unit)) return;
    this.#connection?.tell({ ...manager, member: 'UnrefUnit', signature: 's', body: [unit] });
  }

  [Symbol.dispose](): void {
    this.#watched.clear();
    this.#detach();
  }

  /** Whoever waits for a job is told that nobody knows how it ends. */
  #detach(): void {
    this.#connection = undefined;
    for (const subscription of this.#subscriptions) subscription[Symbol.dispose]();
    this.#subscriptions = [];
    this.#referenced.clear();
    const starting = [...this.#starting.values()];
    this.#starting.clear();
    for (const { finish } of starting) finish(new Failure('not-available', 'The connection to systemd was lost'));
  }

  get #bus(): BusConnection {
    if (this.#connection === undefined) throw new Failure('not-available', 'There is no connection to systemd');
    return this.#connection;
  }

  /**
   * A property that this systemd does not know is left out, with a warning: clients send what a newer one would take.
   * (systemd-machined leaves out all of the caller's then, without a word.)
   */
  async #startTransientUnit({ unit, description, leader, properties }: ScopeRequest): Promise<string> {
    let left = properties;
    for (let attempt = 0; ; attempt++) {
      const byPidfd = leader.pidfd !== undefined && this.#takesPidfds;
      try {
        const [job] = await this.#bus.call({
          ...manager, member: 'StartTransientUnit', signature: 'ssa(sv)a(sa(sv))',
          body: [unit, 'fail', this.#scopeProperties(description, leader, left), []], replySignature: 'o',
        });
        return job;
      } catch (error) {
        const name = unknownPropertyIn(error);
        if (name === undefined || attempt === maximumUnknownProperties) throw error;
        if (name === pidfds && byPidfd) this.#takesPidfds = false;
        else if (left.every((property) => property.name !== name)) throw error;
        else this.#warn(`${unit}: systemd has no property ${name}, which is left out`);
        left = left.filter((property) => property.name !== name);
      }
    }
  }

  #scopeProperties(
    description: string,
    { pid, pidfd }: ScopeRequest['leader'],
    properties: readonly UnitProperty[],
  ): readonly NamedVariant[] {
    const byPidfd = pidfd !== undefined && this.#takesPidfds;
    return [
      ['Slice', variant('s', 'machine.slice')],
      ['Description', variant('s', description)],
      byPidfd ? [pidfds, variant('ah', [pidfd])] : ['PIDs', variant('au', [pid])],
      ['Delegate', variant('b', true)],
      ['CollectMode', variant('s', 'inactive-or-failed')],
      ['AddRef', variant('b', true)],
      ['TasksMax', variant('t', 16384n)],
      ...properties.map(({ name, signature, value }): NamedVariant => [name, { signature, value }]),
    ];
  }

  async #kill(unit: string, subgroup: string, signal: number): Promise<void> {
    if (subgroup === '') {
      await this.#bus.call({
        ...manager, member: 'KillUnit', signature: 'ssi', body: [unit, 'all', signal], replySignature: '',
      });
      return;
    }
    try {
      await this.#bus.call({
        ...manager, member: 'KillUnitSubgroup', signature: 'sssi', body: [unit, 'cgroup', subgroup, signal],
        replySignature: '',
      });
    } catch (error) {
      if (!isBusError(error, busErrors.unknownMethod)) throw error;
      await this.#killSubgroup(unit, subgroup, signal);
    }
  }

  /** For systemd before 258, which cannot kill a part of a unit. */
  async #killSubgroup(unit: string, subgroup: string, signal: number): Promise<void> {
    const cgroup = await this.#cgroupOf(unit);
    try {
      signalCgroup(path.join(cgroup, subgroup), signal);
    } catch (error) {
      throw failureOf(error, `Cannot send signal ${signal} to ${subgroup} of ${unit}`);
    }
  }

  /** The directory of its cgroup. */
  async #cgroupOf(unit: string): Promise<string> {
    const type = unit.slice(unit.lastIndexOf('.') + 1);
    const [{ value: cgroup }] = await this.#bus.call({
      destination: systemd, path: pathOf(unit), interface: 'org.freedesktop.DBus.Properties', member: 'Get',
      signature: 'ss', body: [`${systemd}.${type.charAt(0).toUpperCase()}${type.slice(1)}`, 'ControlGroup'],
      replySignature: 'v',
    });
    const mount = findCgroupMount();
    if (mount === undefined || typeof cgroup !== 'string') throw new Failure('not-supported', `${unit} has no cgroup here`);
    return path.join(mount, cgroup);
  }

  async #statesOf(units: readonly string[]): Promise<readonly UnitState[]> {
    const [states] = await this.#bus.call({
      ...manager, member: 'ListUnitsByNames', signature: 'as', body: [units], replySignature: 'a(ssssssouso)',
    });
    return states.map(([unit, , , activeState, , , , jobNumber, , job]) => ({ unit, activeState, job: jobNumber === 0 ? '' : job }));
  }

  /** Together with others, which may be thousands when the registry starts. */
  #seeLater(unit: string): void {
    if (this.#unseen.size === 0) setTimeout(() => this.#see(), firstLookDelay).unref();
    this.#unseen.add(unit);
  }

  #see(): void {
    const units = [...this.#unseen].filter((unit) => this.#watched.has(pathOf(unit)));
    this.#unseen.clear();
    this.#lookAgain(units);
  }

  #unitsOfInterest(objectPath?: string): readonly string[] {
    const entries = objectPath === undefined
      ? [...this.#watched.values(), ...this.#starting.values()]
      : [this.#watched.get(objectPath), this.#starting.get(objectPath)];
    return [...new Set(entries.flatMap((entry) => (entry === undefined ? [] : [entry.unit])))];
  }

  #isOfInterest(signal: ReceivedSignal): boolean {
    return this.#watched.has(signal.path) || this.#starting.has(signal.path);
  }

  #onActiveState(objectPath: string, activeState: string): void {
    const starting = this.#starting.get(objectPath);
    if (starting !== undefined) starting.activeState = activeState;
    else if (hasEnded(activeState)) this.#tellGone(objectPath);
  }

  #onJobRemoved(unit: string, job: string, result: string): void {
    const starting = this.#starting.get(pathOf(unit));
    if (starting === undefined) return;
    if (starting.job === '') starting.results.set(job, result);
    else if (starting.job === job) this.#finishStart(starting, result);
  }

  /** It may be back by now; and systemd says this, too, of units that it loads for a moment to answer a question. */
  #onUnitRemoved(unit: string): void {
    this.#lookAgain(this.#unitsOfInterest(pathOf(unit)));
  }

  /** systemd was executed anew, or has come (back) to the bus: it does not know any more that it has a subscriber. */
  #onSystemdReturned(): void {
    this.#connection?.tell({ ...manager, member: 'Subscribe' });
    this.#lookAgain(this.#unitsOfInterest());
  }

  #finishStart(starting: StartingScope, result: string): void {
    const { unit } = starting;
    this.#starting.delete(pathOf(unit));
    if (result !== 'done') {
      this.release(unit);
      const message = `Start job for unit ${unit} failed with '${result}'`;
      return starting.finish(new Failure('system', message, { busError: jobFailed }));
    }
    if (isRunning(starting.leader)) starting.finish(undefined);
    else void this.#finishWithoutLeader(starting);
    const watched = this.#watched.get(pathOf(unit));
    if (watched !== undefined) watched.lastStaleQuestion = this.#questions;
    // It may have ended right away, which could not be told from its not having begun.
    if (hasEnded(starting.activeState)) this.#lookAgain([unit]);
  }

  /**
   * Its leader may have ended, and left others in it. If it ended before it could be moved, though, nothing was ever in
   * the scope, and systemd, which waits to hear that its last process is gone, would keep it for good.
   */
  async #finishWithoutLeader({ unit, leader, finish }: StartingScope): Promise<void> {
    try {
      if (isPopulated(await this.#cgroupOf(unit)) === true) return finish(undefined);
      await this.stop(unit);
      this.release(unit);
      finish(systemFailure('ESRCH', `No such process: ${leader} ended before it was in ${unit}`));
    } catch (error) {
      finish(refusal(error));
    }
  }

  #tellGone(objectPath: string): void {
    const watched = this.#watched.get(objectPath);
    if (watched === undefined) return;
    this.#watched.delete(objectPath);
    for (const { watcher } of watched.watchers) watcher.gone(watched.unit);
  }

  /** A failure is none: without systemd or the bus there is nothing to see, and both are looked at anew when they return. */
  #lookAgain(units: readonly string[]): void {
    this.#check(units).catch((error: unknown) => {
      if (!(error instanceof BusError) && !isFailure(error, 'not-available')) throw error;
    });
  }

  async #check(units: readonly string[]): Promise<void> {
    for (let start = 0; start < units.length; start += unitsPerQuestion) {
      const question = ++this.#questions;
      const states = await this.#statesOf(units.slice(start, start + unitsPerQuestion));
      for (const state of states) this.#compare(state, question);
    }
  }

  /** An answer is read in a later microtask than signals are: what these have told since it was asked counts for more. */
  #compare({ unit, activeState, job }: UnitState, question: number): void {
    const objectPath = pathOf(unit);
    const starting = this.#starting.get(objectPath);
    const known = starting ?? this.#watched.get(objectPath);
    if (known === undefined || question <= known.lastStaleQuestion) return;
    if (starting === undefined) {
      if (hasEnded(activeState)) this.#tellGone(objectPath);
    } else if (starting.job !== '' && job !== starting.job) {
      // Its job has ended unheard.
      this.#finishStart(starting, hasEnded(activeState) ? 'failed' : 'done');
    }
  }
}

type NamedVariant = readonly [name: string, value: Variant];

const managerRule = (member: string) => ({ sender: systemd, path: manager.path, interface: manager.interface, member });

const unitRule = {
  sender: systemd, pathNamespace: unitPaths, interface: 'org.freedesktop.DBus.Properties', member: 'PropertiesChanged',
  args: new Map([[0, unitInterface]]),
};

const ownerRule = {
  sender: bus.destination, path: bus.path, interface: bus.interface, member: 'NameOwnerChanged',
  args: new Map([[0, systemd]]),
};

function pathOf(unit: string): string {
  return `${unitPaths}/${escapeLabel(unit)}`;
}

/** A process that was waited for is gone, one that was not is a zombie. */
function isRunning(pid: number): boolean {
  const status = readProcFile(`/proc/${pid}/status`);
  return status !== undefined && !/^State:\t[ZX]/m.test(status);
}

/** The property that systemd does not know, as it says in "Cannot set property X, or unknown property." */
function unknownPropertyIn(error: unknown): string | undefined {
  if (!isBusError(error, propertyReadOnly)) return undefined;
  return /^Cannot set property (.*), or unknown property\.$/s.exec(error.message)?.[1];
}

/** 'reloading', 'refreshing', 'maintenance' and the states on the way there and back are all alive. */
function hasEnded(activeState: string): boolean {
  return activeState === 'inactive' || activeState === 'failed';
}

function newStart(unit: string, leader: number): { readonly starting: StartingScope; readonly done: Promise<void> } {
  let finish: StartingScope['finish'] = () => undefined;
  const done = new Promise<void>((resolve, reject) => {
    finish = (failure) => (failure === undefined ? resolve() : reject(failure));
  });
  const starting = { unit, leader, job: '', results: new Map(), activeState: 'inactive', lastStaleQuestion: 0, finish };
  return { starting, done };
}

/** What systemd refuses is told to the caller as it is. */
function refusal(error: unknown): Failure {
  if (isFailure(error)) return error;
  if (error instanceof BusError) return new Failure('system', error.message, { busError: error.busName, cause: error });
  throw error;
}
