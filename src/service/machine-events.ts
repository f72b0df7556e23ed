import type { Machine } from '../domain/machine.js';
import type { Machines } from './machines.js';

export type MachineEvent =
  | { readonly kind: 'present' | 'added' | 'changed' | 'removed'; readonly machine: Machine }
  /** All machines that were there have been told. */
  | { readonly kind: 'ready' };

/**
 * The machines that there are, and then what becomes of them, until its return() is called. Whoever takes the events
 * slowly misses what is over by then (a machine that came and went), but never gets a wrong picture, and costs no more
 * memory than what there is to know.
 */
export class MachineEvents implements AsyncIterator<MachineEvent, undefined> {
  readonly #machines: Machines;
  readonly #observation: Disposable;
  /** What the taker knows. */
  readonly #told = new Map<string, Machine>();
  /** Names of machines that may be others than those that were told. */
  readonly #due: Set<string>;
  #isReady = false;
  #isOver = false;
  #wake: (() => void) | undefined;

  constructor(machines: Machines) {
    this.#machines = machines;
    this.#due = new Set(Array.from(machines.all(), ({ name }) => name));
    const note = ({ name }: Machine) => this.#note(name);
    this.#observation = machines.observe({ machineNew: note, machineChanged: note, machineRemoved: note });
  }

  async next(): Promise<IteratorResult<MachineEvent, undefined>> {
    while (!this.#isOver) {
      const event = this.#take();
      if (event !== undefined) return { done: false, value: event };
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    return { done: true, value: undefined };
  }

  // not a generator: its return() would wait for the next event before it lets go of the observation
  async return(): Promise<IteratorResult<MachineEvent, undefined>> {
    this.#isOver = true;
    this.#observation[Symbol.dispose]();
    this.#wake?.();
    return { done: true, value: undefined };
  }

  #note(name: string): void {
    if (this.#machines.find(name) === undefined && !this.#told.has(name)) this.#due.delete(name);
    else this.#due.add(name);
    this.#wake?.();
  }

  #take(): MachineEvent | undefined {
    for (const name of this.#due) {
      const event = this.#eventOf(name);
      if (event !== undefined) return event;
      this.#due.delete(name);
    }
    if (this.#isReady) return undefined;
    this.#isReady = true;
    return { kind: 'ready' };
  }

  #eventOf(name: string): MachineEvent | undefined {
    const before = this.#told.get(name);
    const now = this.#machines.find(name);
    if (before === now) return undefined;
    if (before !== undefined && now?.leader !== before.leader) {
      this.#told.delete(name); // another one of its name, if there is one, comes next
      return { kind: 'removed', machine: before };
    }
    if (now === undefined) return undefined;
    this.#told.set(name, now);
    if (before !== undefined) return { kind: 'changed', machine: now };
    return { kind: this.#isReady ? 'added' : 'present', machine: now };
  }
}
