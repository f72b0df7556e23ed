import type { Machine } from '../domain/machine.js';

export interface StoredMachine {
  readonly machine: Machine;
  /** The bus path of a job on the unit that was under way when this was written, or ''. */
  readonly job: string;
}

export interface LoadResult {
  readonly machines: readonly StoredMachine[];
  /** Machines of `intend` that were neither saved nor removed: the daemon ended before it knew what came of them. */
  readonly intended: readonly Machine[];
  /** Files that could not be understood, each already set aside, with the reason. */
  readonly damaged: readonly { readonly file: string; readonly reason: string }[];
}

/** The state files of /run/systemd/machines, which libsystemd and others read. */
export interface Store {
  /** Written whole or not at all. Throws Failure 'system'. */
  save(stored: StoredMachine): void;
  /**
   * Notes a machine whose scope is about to be asked for, where only `load` sees it; `save` and `remove` end that. Without
   * it, a scope would be nobody's if this process ended before it heard that there is one. Throws Failure 'system'.
   */
  intend(machine: Machine): void;
  /** Removes the machine's file and its unit link; a missing one is no error. */
  remove(machine: Machine): void;
  load(): LoadResult;
  /** Whether all of its unit was the machine's when it was saved; systemd-machined 262 does not keep the subgroup of others. */
  hadWholeUnit(machine: Machine): boolean;
}
