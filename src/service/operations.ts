import { cancelAuthorizations } from '../contract/authorization.js';
import type { Operation, OperationEnd, OperationObserver, Operations } from '../domain/operations.js';
import type { Authority } from '../ports/authority.js';
import { authorize, type Call } from './call.js';

/** Shows operations to everybody, and cancels them for their owners and whoever else may. */
export class OperationDesk {
  readonly #operations: Operations;
  readonly #authority: Authority;

  constructor(operations: Operations, authority: Authority) {
    this.#operations = operations;
    this.#authority = authority;
  }

  /** Those that are under way, the oldest first. */
  all(): readonly Operation[] {
    return this.#operations.all();
  }

  observe(observer: OperationObserver): Disposable {
    return this.#operations.observe(observer);
  }

  /** What happens from now on, for a client that may be slow to read it. */
  watch(): OperationNews {
    return new OperationNews(this.#operations);
  }

  /**
   * Asks for the end of an operation; the call that began it fails with ECANCELED when everything is taken back. Throws
   * Failure 'no-such-operation', 'not-supported' (it has no way back), 'access-denied', 'interactive-authentication-required'.
   */
  async cancel(call: Call, id: number): Promise<void> {
    const { kind, subject, owner } = this.#operations.byId(id);
    const authorization = cancelAuthorizations[kind === 'copy-from' || kind === 'copy-to' ? 'copy' : 'image'];
    const asked: Call = { authorization, interactive: call.interactive, caller: () => call.caller() };
    await authorize(this.#authority, asked, {
      ...(subject === undefined ? {} : { name: subject.name }),
      ...(owner.uid === undefined ? {} : { owner: owner.uid }),
    });
    this.#operations.cancel(id);
  }
}

export interface OperationEvent {
  readonly event: 'added' | 'progress' | 'ended';
  readonly operation: Operation;
  /** How it has ended. */
  readonly end: OperationEnd | undefined;
}

/** How many that have ended may wait to be read. */
const mostEnded = 256;

/**
 * Events of operations, to be read by one reader. While nobody reads, an operation has one event: its latest state. Those
 * that begin and end meanwhile are left out if there are too many.
 */
export class OperationNews implements AsyncIterableIterator<OperationEvent> {
  /** What has not been read, by the operation. */
  readonly #waiting = new Map<number, OperationEvent>();
  /** Operations that the reader knows, or has been about to know. */
  readonly #known = new Set<number>();
  readonly #observation: Disposable;
  #reader: (() => void) | undefined;
  #closed = false;

  constructor(operations: Operations) {
    for (const { id } of operations.all()) this.#known.add(id);
    this.#observation = operations.observe({
      added: (operation) => this.#put({ event: 'added', operation, end: undefined }),
      progressed: (operation) => this.#progress(operation),
      ended: (operation, end) => this.#end(operation, end),
    });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<OperationEvent, undefined>> {
    while (this.#waiting.size === 0 && !this.#closed) await new Promise<void>((resolve) => (this.#reader = resolve));
    const [event] = this.#waiting.values();
    if (event === undefined || this.#closed) return { done: true, value: undefined };
    this.#waiting.delete(event.operation.id);
    if (event.event === 'ended') this.#known.delete(event.operation.id);
    else this.#known.add(event.operation.id);
    return { done: false, value: event };
  }

  async return(): Promise<IteratorResult<OperationEvent, undefined>> {
    this.#closed = true;
    this.#observation[Symbol.dispose]();
    this.#waiting.clear();
    this.#wake();
    return { done: true, value: undefined };
  }

  #progress(operation: Operation): void {
    const isNew = this.#waiting.get(operation.id)?.event === 'added';
    this.#put({ event: isNew ? 'added' : 'progress', operation, end: undefined });
  }

  #end(operation: Operation, end: OperationEnd): void {
    const isNeeded = this.#known.has(operation.id) || this.#waiting.size < mostEnded;
    if (isNeeded) this.#put({ event: 'ended', operation, end });
    else this.#waiting.delete(operation.id);
  }

  #put(event: OperationEvent): void {
    this.#waiting.set(event.operation.id, event);
    this.#wake();
  }

  #wake(): void {
    const reader = this.#reader;
    this.#reader = undefined;
    reader?.();
  }
}
