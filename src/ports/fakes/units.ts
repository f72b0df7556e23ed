import { Failure, systemFailure } from '../../domain/failure.js';
import type { ScopeJob, ScopeRequest, UnitPlace, UnitWatcher, Units } from '../units.js';
import type { FakeProcesses } from './processes.js';

interface FakeUnit {
  /** Subgroups by PID; the unit ends with the last of them. */
  readonly members: Map<number, string>;
  /** Settles the job that makes it, while that is under way. */
  finish: ((failure: Failure | undefined) => void) | undefined;
}

const fatalSignals = new Set([2, 9, 15]);

/** Units of a service manager that starts and stops them in the next turn of the loop, or when it is told to. */
export class FakeUnits implements Units {
  readonly kind = 'systemd';
  /** Scopes that were asked for, signals that were sent and units that were stopped and released, in order. */
  readonly requests: ScopeRequest[] = [];
  readonly signals: { readonly unit: string; readonly subgroup: string; readonly signal: number }[] = [];
  readonly stopped: string[] = [];
  readonly released: string[] = [];
  /** Names of properties that no scope can have. */
  readonly refusedProperties = new Set<string>();
  /** Jobs wait for finishJob. */
  holdsJobs = false;
  readonly #processes: FakeProcesses;
  readonly #units = new Map<string, FakeUnit>();
  readonly #watches = new Map<string, Set<{ readonly watcher: UnitWatcher }>>();
  #lastJob = 0;

  constructor(processes: FakeProcesses) {
    this.#processes = processes;
  }

  /** Puts a process into a unit, which comes to be if it is not there. */
  enter(unit: string, pid: number, subgroup = ''): void {
    const { members } = this.#units.get(unit) ?? this.#make(unit);
    members.set(pid, subgroup);
    this.#processes.setCgroup(pid, `/machine.slice/${unit}${subgroup === '' ? '' : `/${subgroup}`}`);
    this.#processes.open(pid).onExit(() => {
      members.delete(pid);
      if (members.size === 0 && this.#units.get(unit)?.members === members) this.end(unit);
    });
  }

  /** The job of a scope ends, badly if there is a failure: then the scope is not there. */
  finishJob(unit: string, failure?: Failure): void {
    const found = this.#units.get(unit);
    const finish = found?.finish;
    if (found === undefined || finish === undefined) throw new Error(`unit ${unit} is not being started`);
    found.finish = undefined;
    if (failure !== undefined) this.#units.delete(unit);
    finish(failure);
  }

  /** A unit ends, whatever becomes of its processes, and so does the job that makes it. */
  end(unit: string): void {
    const found = this.#units.get(unit);
    if (found === undefined) return;
    this.#units.delete(unit);
    found.finish?.(new Failure('system', `The job of unit ${unit} was canceled`, { busError: 'test.JobFailed' }));
    this.#tellGone(unit);
  }

  placeOf(cgroup: string): UnitPlace | undefined {
    const components = cgroup.split('/').filter((component) => component !== '' && !component.endsWith('.slice'));
    const [unit, ...subgroup] = components;
    return unit?.includes('.') === true ? { unit, subgroup: subgroup.join('/') } : undefined;
  }

  async startScope(request: ScopeRequest): Promise<ScopeJob> {
    const { unit, leader, properties } = request;
    this.requests.push(request);
    if (this.#units.has(unit)) throw new Failure('system', `Unit ${unit} exists`, { busError: 'test.UnitExists' });
    if (!this.#isThere(leader.pid)) throw systemFailure('ESRCH', `No process ${leader.pid}`);
    const refused = properties.find(({ name }) => this.refusedProperties.has(name));
    if (refused !== undefined) throw new Failure('system', `No property ${refused.name}`, { busError: 'test.NoProperty' });

    const made = this.#make(unit);
    const done = new Promise<void>((resolve, reject) => {
      made.finish = (failure) => {
        if (failure !== undefined) return reject(failure);
        if (!this.#isThere(leader.pid)) {
          this.#units.delete(unit);
          return reject(systemFailure('ESRCH', `No process ${leader.pid}`));
        }
        this.enter(unit, leader.pid);
        resolve();
      };
    });
    if (!this.holdsJobs) {
      setImmediate(() => {
        if (this.#units.get(unit) === made && made.finish !== undefined) this.finishJob(unit);
      });
    }
    return { job: this.#newJob(), done };
  }

  async killAll(unit: string, subgroup: string, signal: number): Promise<void> {
    const found = this.#units.get(unit);
    if (found === undefined) throw systemFailure('ENOENT', `Unit ${unit} is not there`);
    this.signals.push({ unit, subgroup, signal });
    if (!fatalSignals.has(signal)) return;
    for (const [pid, group] of [...found.members]) if (isWithin(group, subgroup)) this.#end(pid);
  }

  async stop(unit: string): Promise<string> {
    const found = this.#units.get(unit);
    if (found === undefined) return '';
    this.stopped.push(unit);
    setImmediate(() => {
      for (const pid of found.members.keys()) this.#end(pid);
      if (this.#units.get(unit) === found) this.end(unit);
    });
    return this.#newJob();
  }

  async isActive(unit: string): Promise<boolean> {
    return this.#units.has(unit);
  }

  watch(unit: string, watcher: UnitWatcher): Disposable {
    const watches = this.#watches.get(unit) ?? new Set();
    const watch = { watcher };
    this.#watches.set(unit, watches.add(watch));
    setImmediate(() => {
      if (!this.#units.has(unit)) this.#tellGone(unit);
    });
    return { [Symbol.dispose]: () => void watches.delete(watch) };
  }

  release(unit: string): void {
    this.released.push(unit);
  }

  [Symbol.dispose](): void {
    this.#watches.clear();
  }

  #isThere(pid: number): boolean {
    return this.#processes.cgroupOf(pid) !== undefined;
  }

  /** A member may have ended in this very turn, and not been noticed yet. */
  #end(pid: number): void {
    if (this.#isThere(pid)) this.#processes.exit(pid);
  }

  #make(unit: string): FakeUnit {
    const made: FakeUnit = { members: new Map(), finish: undefined };
    this.#units.set(unit, made);
    return made;
  }

  #tellGone(unit: string): void {
    const watches = this.#watches.get(unit) ?? [];
    this.#watches.delete(unit);
    for (const { watcher } of watches) watcher.gone(unit);
  }

  #newJob(): string {
    return `/org/freedesktop/systemd1/job/${++this.#lastJob}`;
  }
}

function isWithin(group: string, subgroup: string): boolean {
  return subgroup === '' || group === subgroup || group.startsWith(`${subgroup}/`);
}
