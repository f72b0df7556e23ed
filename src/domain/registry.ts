import { Failure, systemFailure } from './failure.js';
import type { Machine, MachineState, ProcessIdentity } from './machine.js';

/** Where a process is, as far as finding its machine needs it. */
export interface ProcessView {
  /** The unit and subgroup that hold the process; undefined if it is in none, or gone. */
  placeOf(pid: number): { readonly unit: string; readonly subgroup: string } | undefined;
  /** undefined or 0 ends the search. */
  parentOf(pid: number): number | undefined;
}

/**
 * The machines that are known, and the ways to find them. No two of them share a name, a leader, or a whole unit (a
 * machine that lives in a subgroup does not claim the unit). `.host` is not among them: see service/machines.
 */
export class Registry {
  readonly #byName = new Map<string, Machine>();
  readonly #byLeader = new Map<number, string>();
  readonly #byUnit = new Map<string, string>();

  get size(): number {
    return this.#byName.size;
  }

  /** In the order of their registration. */
  all(): IterableIterator<Machine> {
    return this.#byName.values();
  }

  find(name: string): Machine | undefined {
    return this.#byName.get(name);
  }

  byLeader(leader: ProcessIdentity): Machine | undefined {
    const name = this.#byLeader.get(leader.pid);
    const machine = name === undefined ? undefined : this.#byName.get(name);
    return machine !== undefined && sameProcess(machine.leader, leader) ? machine : undefined;
  }

  /** The machine that has all of this unit. */
  byUnit(unit: string): Machine | undefined {
    const name = this.#byUnit.get(unit);
    return name === undefined ? undefined : this.#byName.get(name);
  }

  /**
   * The machine that a process belongs to: the one it leads, the one that has its whole unit, or its parent's. A unit
   * whose machine lives in a subgroup (an nspawn service that also holds the supervisor) says nothing by itself.
   */
  byProcess(pid: number, view: ProcessView): Machine | undefined {
    const seen = new Set<number>();
    for (let current: number | undefined = pid; current !== undefined && current > 0; current = view.parentOf(current)) {
      if (seen.has(current)) return undefined; // PIDs were reused while we looked
      seen.add(current);
      const led = this.#byLeader.get(current);
      if (led !== undefined) return this.#byName.get(led);
      const place = view.placeOf(current);
      const inUnit = place === undefined ? undefined : this.byUnit(place.unit);
      if (inUnit !== undefined) return inUnit;
    }
    return undefined;
  }

  /** Throws Failure 'machine-exists' if the name is taken, 'system' (EEXIST) if the leader or the unit is. */
  add(machine: Machine): void {
    this.refuseName(machine.name);
    if (this.#byLeader.has(machine.leader.pid)) {
      throw systemFailure('EEXIST', 'File exists');
    }
    this.#claimUnit(machine);
    this.#byName.set(machine.name, machine);
    this.#byLeader.set(machine.leader.pid, machine.name);
  }

  /** Throws Failure 'machine-exists' if a machine has that name. */
  refuseName(name: string): void {
    if (this.#byName.has(name)) throw new Failure('machine-exists', `Machine '${name}' already exists`);
  }

  setState(name: string, state: MachineState): Machine {
    const machine = this.#require(name);
    const changed = { ...machine, state };
    this.#byName.set(name, changed);
    return changed;
  }

  remove(name: string): void {
    const machine = this.#byName.get(name);
    if (machine === undefined) return;
    this.#byName.delete(name);
    this.#byLeader.delete(machine.leader.pid);
    if (this.#byUnit.get(machine.unit) === name) this.#byUnit.delete(machine.unit);
  }

  #require(name: string): Machine {
    const machine = this.#byName.get(name);
    if (machine === undefined) throw new Error(`no machine ${name} in the registry`);
    return machine;
  }

  #claimUnit(machine: Machine): void {
    if (machine.unit === '' || machine.subgroup !== '') return;
    if (this.#byUnit.has(machine.unit)) throw systemFailure('EEXIST', 'File exists');
    this.#byUnit.set(machine.unit, machine.name);
  }
}

/** Pidfd inodes tell processes apart that had the same PID one after the other. */
export function sameProcess(one: ProcessIdentity, other: ProcessIdentity): boolean {
  if (one.pid !== other.pid) return false;
  if (one.pidfdId === undefined || other.pidfdId === undefined) return true;
  return one.pidfdId === other.pidfdId;
}
