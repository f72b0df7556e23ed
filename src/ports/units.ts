/** A property of a scope as StartTransientUnit takes it: `value` in the D-Bus codec's representation of `signature`. */
export interface UnitProperty {
  readonly name: string;
  readonly signature: string;
  readonly value: unknown;
}

export interface ScopeRequest {
  /** 'machine-NAME.scope', already escaped. */
  readonly unit: string;
  readonly description: string;
  /** Moved into the scope; named by its pidfd where there is one, so that a reused PID cannot be moved instead. */
  readonly leader: { readonly pid: number; readonly pidfd: number | undefined };
  /** The caller's own, passed on after ours: they win. */
  readonly properties: readonly UnitProperty[];
}

export interface ScopeJob {
  /** The job's object path; '' where there are no jobs. */
  readonly job: string;
  /** Resolves when the scope is there with the leader in it; rejects with a Failure if the job did not succeed. */
  readonly done: Promise<void>;
}

/** Where a process is: the unit that the service manager gave it, and the cgroup below that unit's ('' for the unit's own). */
export interface UnitPlace {
  readonly unit: string;
  readonly subgroup: string;
}

export interface UnitWatcher {
  /** The unit has ended, or is gone: its machine ends with it. */
  gone(unit: string): void;
}

/**
 * The units that machines live in. Three bindings: systemd over its bus, plain cgroup v2, and none at all (a registry
 * that tracks by pidfd alone). Every failure is a Failure: what systemd refuses keeps its bus error name.
 */
export interface Units extends Disposable {
  readonly kind: 'systemd' | 'cgroup' | 'none';
  /** Turns a process's cgroup path into its unit; undefined where it is in none (or there are no units here). */
  placeOf(cgroup: string): UnitPlace | undefined;
  /**
   * Begins to make the scope; resolves as soon as the service manager has accepted it (then the machine is announced),
   * rejects if it refuses. A rejection, of this or of `done`, leaves nothing behind.
   */
  startScope(request: ScopeRequest): Promise<ScopeJob>;
  /** Sends `signal` to every process of the unit; of its subgroup alone, if that is not ''. */
  killAll(unit: string, subgroup: string, signal: number): Promise<void>;
  /** Begins to stop the unit; resolves when that is under way, with the job's object path ('' where there are no jobs). */
  stop(unit: string): Promise<string>;
  /** Whether it is there and has not ended. */
  isActive(unit: string): Promise<boolean>;
  /** From now on `gone` is called for this unit, once; disposing ends that. */
  watch(unit: string, watcher: UnitWatcher): Disposable;
  /** A reference taken by startScope is given back, so that the service manager can forget a unit that has ended. */
  release(unit: string): void;
}
