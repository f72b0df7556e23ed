import { watch as watchFile, type FSWatcher } from 'node:fs';
import { constants } from 'node:os';
import path from 'node:path';
import { Failure, isFailure, systemFailure } from '../../domain/failure.js';
import type { Log } from '../../ports/log.js';
import type { ScopeJob, ScopeRequest, UnitPlace, UnitWatcher, Units } from '../../ports/units.js';
import { parseCgroup } from '../kernel/processes.js';
import { isPidfdAlive } from '../kernel/pidfd.js';
import { readProcFile } from '../kernel/proc-file.js';
import { errnoNameOf, failureOf } from '../kernel/system-error.js';
import { isUnitName, placeOfCgroup } from './cgroup-path.js';
import { settingsOf, type CgroupSettings } from './cgroup-properties.js';
import {
  enableControllers, findCgroupBase, isPopulated, makeCgroup, removeCgroup, signalCgroup, writeCgroupFile, type CgroupBase,
} from './cgroup-tree.js';

const sliceName = 'machine.slice';

/** Milliseconds from the stop signal to SIGKILL: systemd's DefaultTimeoutStopSec, systemd-system.conf(5). */
const defaultGraceTime = 90_000;

/** Milliseconds between looks at all watched cgroups, for the case that a notice of the kernel was lost. */
const sweepInterval = 10_000;

const { SIGTERM, SIGKILL, SIGCONT } = constants.signals;

interface WatchedCgroup {
  readonly watchers: Set<{ readonly watcher: UnitWatcher }>;
  /** undefined where the kernel gives no more watches: then the sweep has to do. */
  readonly notices: FSWatcher | undefined;
}

type StopSettings = Pick<CgroupSettings, 'stopSignals' | 'stopTimeout'>;

/**
 * Units without a service manager: a scope is the cgroup machine.slice/NAME.scope in the cgroup v2 tree. It stands in the
 * same place as systemd's would. What a scope's properties ask for when it is stopped is forgotten when this process
 * ends; its cgroup and its limits stay.
 */
export class CgroupUnits implements Units {
  readonly kind = 'cgroup';
  readonly #base: CgroupBase;
  readonly #log: Log;
  readonly #graceTime: number;
  readonly #slice: string;
  readonly #watched = new Map<string, WatchedCgroup>();
  readonly #stopSettings = new Map<string, StopSettings>();
  /** Timers of units that will be killed if they do not stop. */
  readonly #stopping = new Map<string, NodeJS.Timeout>();
  #sweep: NodeJS.Timeout | undefined;

  /** `graceTime` is in milliseconds. */
  constructor(base: CgroupBase, log: Log, graceTime = defaultGraceTime) {
    this.#base = base;
    this.#log = log;
    this.#graceTime = graceTime;
    this.#slice = path.join(base.directory, sliceName);
  }

  /** undefined where this process may not make cgroups. */
  static find(log: Log): CgroupUnits | undefined {
    const base = findCgroupBase();
    return base && new CgroupUnits(base, log);
  }

  placeOf(cgroup: string): UnitPlace | undefined {
    const slice = `${this.#base.path}/${sliceName}/`;
    return cgroup.startsWith(slice) ? placeOfCgroup(cgroup.slice(slice.length)) : undefined;
  }

  async startScope(request: ScopeRequest): Promise<ScopeJob> {
    const settings = settingsOf(request.properties);
    const directory = this.#directoryOf(request.unit);
    const undo: (() => void)[] = [];
    try {
      this.#makeScope(request.unit, directory);
      undo.push(() => void removeCgroup(directory));
      this.#setLimits(request.unit, directory, settings);
      for (const pid of settings.pids) this.#move(pid, directory, undo);
      this.#moveLeader(request.leader, directory, undo);
    } catch (error) {
      for (const step of undo.reverse()) step();
      throw isFailure(error) ? error : failureOf(error, `Cannot make ${request.unit}`);
    }
    this.#stopSettings.set(request.unit, settings);
    return { job: '', done: Promise.resolve() };
  }

  async killAll(unit: string, subgroup: string, signal: number): Promise<void> {
    try {
      signalCgroup(this.#directoryOf(unit, subgroup), signal);
    } catch (error) {
      if (isFailure(error)) throw error;
      throw failureOf(error, `Cannot send signal ${signal} to the processes of ${unit}`);
    }
  }

  async stop(unit: string): Promise<string> {
    const directory = this.#directoryOf(unit);
    if (isPopulated(directory) !== true || this.#stopping.has(unit)) return '';
    const { stopSignals, stopTimeout } = this.#stopSettings.get(unit) ?? { stopSignals: [SIGTERM], stopTimeout: undefined };
    for (const signal of [...stopSignals, SIGCONT]) await this.killAll(unit, '', signal); // a frozen process would not hear
    const grace = stopTimeout ?? this.#graceTime;
    if (grace !== Infinity) this.#stopping.set(unit, setTimeout(() => this.#killLate(unit, directory), grace));
    return '';
  }

  async isActive(unit: string): Promise<boolean> {
    return isPopulated(this.#directoryOf(unit)) === true;
  }

  watch(unit: string, watcher: UnitWatcher): Disposable {
    const watched = this.#watched.get(unit) ?? { watchers: new Set(), notices: this.#listen(unit) };
    const watch = { watcher };
    this.#watched.set(unit, watched);
    watched.watchers.add(watch);
    this.#sweep ??= setInterval(() => this.#lookAtAll(), sweepInterval).unref();
    setImmediate(() => this.#look(unit)); // it may have ended before
    return {
      [Symbol.dispose]: () => {
        watched.watchers.delete(watch);
        if (watched.watchers.size === 0 && this.#watched.get(unit) === watched) this.#forget(unit, watched);
      },
    };
  }

  release(unit: string): void {
    const directory = this.#directoryOf(unit);
    if (isPopulated(directory) === false) this.#remove(unit, directory);
  }

  [Symbol.dispose](): void {
    for (const [unit, watched] of this.#watched) this.#forget(unit, watched);
    for (const timer of this.#stopping.values()) clearTimeout(timer);
    this.#stopping.clear();
  }

  #makeScope(unit: string, directory: string): void {
    enableControllers(this.#base.directory);
    makeCgroup(this.#slice);
    enableControllers(this.#slice);
    if (makeCgroup(directory)) return;
    // What a crash has left behind is empty.
    if (isPopulated(directory) === true || !removeCgroup(directory) || !makeCgroup(directory)) {
      throw systemFailure('EEXIST', `Unit ${unit} is there already`);
    }
  }

  #setLimits(unit: string, directory: string, { limits, unenforced }: CgroupSettings): void {
    for (const { file, text } of limits) {
      try {
        writeCgroupFile(directory, file, text);
      } catch (error) {
        if (errnoNameOf(error) !== 'ENOENT') throw failureOf(error, `Cannot set ${file} of ${unit} to ${text}`);
        this.#log.warning(`${unit} has no ${file}: this kernel or the cgroups above it lack the controller`);
      }
    }
    for (const name of unenforced) this.#log.warning(`${unit}: property ${name} is not enforced without systemd`);
  }

  #moveLeader(leader: ScopeRequest['leader'], directory: string, undo: (() => void)[]): void {
    this.#move(leader.pid, directory, undo);
    // The kernel takes only numbers here: if the process has ended, it may be another one that has been moved.
    if (leader.pidfd === undefined || isPidfdAlive(leader.pidfd)) return;
    throw systemFailure('ESRCH', `Process ${leader.pid} has ended`);
  }

  #move(pid: number, directory: string, undo: (() => void)[]): void {
    const from = this.#cgroupDirectoryOf(pid);
    try {
      writeCgroupFile(directory, 'cgroup.procs', `${pid}`);
    } catch (error) {
      throw failureOf(error, `Cannot move process ${pid}`);
    }
    if (from !== undefined) undo.push(() => this.#moveBack(pid, from));
  }

  #moveBack(pid: number, directory: string): void {
    try {
      writeCgroupFile(directory, 'cgroup.procs', `${pid}`);
    } catch (error) {
      const code = errnoNameOf(error);
      if (code === undefined) throw error;
      if (code !== 'ESRCH') this.#log.warning(`Process ${pid} cannot be moved back to ${directory}: ${code}`);
    }
  }

  /** undefined if the process has ended, or its cgroup is outside of what this process's cgroup namespace shows. */
  #cgroupDirectoryOf(pid: number): string | undefined {
    const text = readProcFile(`/proc/${pid}/cgroup`);
    const cgroup = text === undefined ? undefined : parseCgroup(text);
    if (cgroup === undefined || cgroup.startsWith('/..')) return undefined;
    const { directory, path: ownPath } = this.#base;
    return path.join(directory.slice(0, directory.length - ownPath.length), cgroup);
  }

  #killLate(unit: string, directory: string): void {
    this.#stopping.delete(unit);
    this.#log.warning(`${unit} did not stop in time: it is killed`);
    try {
      signalCgroup(directory, SIGKILL);
    } catch (error) {
      if (errnoNameOf(error) === undefined) throw error;
      this.#log.warning(`${unit} cannot be killed: ${errnoNameOf(error)}`);
    }
  }

  /** Notices of the kernel that processes have come or gone: it sends one when `populated` changes. */
  #listen(unit: string): FSWatcher | undefined {
    try {
      const notices = watchFile(path.join(this.#directoryOf(unit), 'cgroup.events'), { persistent: false });
      notices.on('change', () => this.#look(unit));
      notices.on('error', (error) => this.#log.warning(`${unit} is looked at from time to time only: ${error.message}`));
      return notices;
    } catch (error) {
      const code = errnoNameOf(error);
      if (code === undefined) throw error;
      if (code !== 'ENOENT') this.#log.warning(`${unit} is looked at from time to time only: ${code}`);
      return undefined;
    }
  }

  #lookAtAll(): void {
    for (const unit of this.#watched.keys()) this.#look(unit);
  }

  #look(unit: string): void {
    const watched = this.#watched.get(unit);
    const directory = this.#directoryOf(unit);
    if (watched === undefined || isPopulated(directory) === true) return;
    this.#forget(unit, watched);
    this.#remove(unit, directory);
    for (const { watcher } of watched.watchers) watcher.gone(unit);
  }

  #forget(unit: string, watched: WatchedCgroup): void {
    watched.notices?.close();
    this.#watched.delete(unit);
    if (this.#watched.size > 0) return;
    clearInterval(this.#sweep);
    this.#sweep = undefined;
  }

  #remove(unit: string, directory: string): void {
    removeCgroup(directory);
    this.#stopSettings.delete(unit);
    clearTimeout(this.#stopping.get(unit));
    this.#stopping.delete(unit);
  }

  /** Throws Failure 'invalid-argument' for what could lead out of the slice. */
  #directoryOf(unit: string, subgroup = ''): string {
    const components = subgroup === '' ? [] : subgroup.split('/');
    if (!isUnitName(unit) || components.some((component) => component === '' || component === '.' || component === '..')) {
      throw new Failure('invalid-argument', `There can be no cgroup ${subgroup} of a unit ${unit}`);
    }
    return path.join(this.#slice, unit, ...components);
  }
}
