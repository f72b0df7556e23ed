import type { Operation, OperationEnd, Operations } from '../domain/operations.js';

export type OperationEvent =
  | { readonly kind: 'present' | 'added' | 'progress'; readonly operation: Operation }
  | { readonly kind: 'ended'; readonly operation: Operation; readonly end: OperationEnd }
  /** All that were under way have been told. */
  | { readonly kind: 'ready' };

/** How many that nobody has been told of may wait to be told as ended. */
const mostEnded = 256;

/**
 * The operations that there are, and then what becomes of them, until its return() is called. Of an operation, only its
 * latest state waits to be taken; when many wait, one that has come and gone meanwhile is not told at all.
 */
export class OperationEvents implements AsyncIterator<OperationEvent, undefined> {
  readonly #observation: Disposable;
  /** What is to be told, by the operation. */
  readonly #due = new Map<number, Exclude<OperationEvent, { kind: 'ready' }>>();
  /** The operations that the taker knows. */
  readonly #told = new Set<number>();
  #isReady = false;
  #isOver = false;
  #wake: (() => void) | undefined;

  constructor(operations: Operations) {
    for (const operation of operations.all()) this.#due.set(operation.id, { kind: 'present', operation });
    this.#observation = operations.observe({
      added: (operation) => this.#note({ kind: 'added', operation }),
      progressed: (operation) => this.#note({ kind: this.#kindBefore(operation) ?? 'progress', operation }),
      ended: (operation, end) => this.#noteEnd(operation, end),
    });
  }

  async next(): Promise<IteratorResult<OperationEvent, undefined>> {
    while (!this.#isOver) {
      const event = this.#take();
      if (event !== undefined) return { done: false, value: event };
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    return { done: true, value: undefined };
  }

  // not a generator: its return() would wait for the next event before it lets go of the observation
  async return(): Promise<IteratorResult<OperationEvent, undefined>> {
    this.#isOver = true;
    this.#observation[Symbol.dispose]();
    this.#wake?.();
    return { done: true, value: undefined };
  }

  /** One that has not been told yet is still new with what is known of it now. */
  #kindBefore({ id }: Operation): 'present' | 'added' | undefined {
    const before = this.#due.get(id)?.kind;
    return before === 'present' || before === 'added' ? before : undefined;
  }

  #noteEnd(operation: Operation, end: OperationEnd): void {
    const isTold = this.#told.has(operation.id) || this.#due.size <= mostEnded;
    if (isTold) this.#note({ kind: 'ended', operation, end });
    else this.#due.delete(operation.id);
  }

  #note(event: Exclude<OperationEvent, { kind: 'ready' }>): void {
    this.#due.set(event.operation.id, event);
    this.#wake?.();
  }

  #take(): OperationEvent | undefined {
    const [event] = this.#due.values();
    const isPast = event !== undefined && (this.#isReady || event.kind !== 'added');
    if (isPast) return this.#tell(event);
    if (this.#isReady) return undefined;
    this.#isReady = true;
    return { kind: 'ready' };
  }

  #tell(event: Exclude<OperationEvent, { kind: 'ready' }>): OperationEvent {
    const { id } = event.operation;
    this.#due.delete(id);
    if (event.kind === 'ended') this.#told.delete(id);
    else this.#told.add(id);
    return event;
  }
}
