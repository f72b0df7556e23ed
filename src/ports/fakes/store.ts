import { systemFailure, type Failure } from '../../domain/failure.js';
import type { Machine } from '../../domain/machine.js';
import { scopeName } from '../../domain/registration.js';
import type { LoadResult, Store, StoredMachine } from '../store.js';

/** Keeps machines in memory. */
export class FakeStore implements Store {
  /** What would be found in the state files now, by name. */
  readonly stored = new Map<string, StoredMachine>();
  /** Those of `intend`, by name. */
  readonly intended = new Map<string, Machine>();
  /** Files that the next load() finds damaged and sets aside. */
  damaged: { readonly file: string; readonly reason: string }[] = [];
  /** Names of machines in a subgroup that the files do not tell, as systemd-machined 262 leaves them. */
  readonly withoutSubgroup = new Set<string>();
  #failure: Failure | undefined;

  /** From now on nothing can be written, as on a full file system (ENOSPC, for example); undefined: all is well again. */
  failWith(errno: string | undefined): void {
    this.#failure = errno === undefined ? undefined : systemFailure(errno, 'Cannot write the state file');
  }

  save(stored: StoredMachine): void {
    if (this.#failure !== undefined) throw this.#failure;
    this.intended.delete(stored.machine.name);
    this.stored.set(stored.machine.name, stored);
  }

  intend(machine: Machine): void {
    if (this.#failure !== undefined) throw this.#failure;
    this.intended.set(machine.name, machine);
  }

  remove(machine: Machine): void {
    this.intended.delete(machine.name);
    this.stored.delete(machine.name);
  }

  load(): LoadResult {
    const damaged = this.damaged;
    this.damaged = [];
    const intended = [...this.intended.values()].map((machine) => asLoaded({ machine, job: '' }).machine);
    return { machines: [...this.stored.values()].map(asLoaded), intended, damaged };
  }

  hadWholeUnit(machine: Machine): boolean {
    return machine.unit !== '' && machine.subgroup === '' && !this.withoutSubgroup.has(machine.name);
  }
}

/** What a state file does not say: a machine that was being opened has been opened, or has failed to, in the meantime. */
function asLoaded({ machine, job }: StoredMachine): StoredMachine {
  const state = machine.state === 'closing' ? 'closing' : 'running';
  return { machine: { ...machine, state, allocatedUnit: machine.unit === scopeName(machine.name) }, job };
}
