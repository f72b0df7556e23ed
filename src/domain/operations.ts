import { Failure, isFailure } from './failure.js';

/** What takes its time: copies from and to machines, and images that are cloned, removed, or cleaned away. */
export type OperationKind = 'copy-from' | 'copy-to' | 'clone' | 'remove' | 'clean';

/** How far it has come, as far as that is known. */
export interface Progress {
  readonly bytesDone?: number;
  readonly bytesTotal?: number;
  readonly filesDone?: number;
  readonly filesTotal?: number;
}

/** How those who carry out long work are in touch with those who want it done. */
export interface WorkControl {
  /** May be called at any time, and often. */
  readonly report: (progress: Progress) => void;
  /** Once aborted, the work is given up, what it has made is taken back, and it fails with ECANCELED. */
  readonly canceled: AbortSignal;
}

/** Nobody asks how it goes, or to give it up. */
export const unwatched: WorkControl = { report: () => undefined, canceled: new AbortController().signal };

export interface OperationFacts {
  readonly kind: OperationKind;
  /** Which one it is about. */
  readonly subject: { readonly type: 'machine' | 'image'; readonly name: string } | undefined;
  /** Paths of a copy; of a clone, the names of both images. */
  readonly source: string | undefined;
  readonly destination: string | undefined;
  /** Who had it begun. */
  readonly owner: { readonly uid: number | undefined; readonly pid: number | undefined };
}

/** One that is under way. Never changed, but replaced. */
export interface Operation extends OperationFacts {
  /** No other operation has had it since the daemon was started. */
  readonly id: number;
  readonly progress: Progress;
}

export interface OperationEnd {
  readonly result: 'done' | 'failed' | 'canceled';
  /** Why it is not done. */
  readonly error: string | undefined;
}

export interface OperationObserver {
  added(operation: Operation): void;
  progressed(operation: Operation): void;
  /** It is under way no more. */
  ended(operation: Operation, end: OperationEnd): void;
}

/** How many may be under way at a time, as with systemd-machined. */
const mostOperations = 64;

/** What is under way, for whoever wants to know, or to put an end to it. */
export class Operations {
  readonly #ongoing = new Map<number, { operation: Operation; readonly canceler: AbortController }>();
  readonly #observers = new Set<OperationObserver>();
  #lastId = 0;

  /** Those that are under way, the oldest first. */
  all(): readonly Operation[] {
    return Array.from(this.#ongoing.values(), ({ operation }) => operation);
  }

  /** Throws Failure 'no-such-operation'. */
  byId(id: number): Operation {
    return this.#entry(id).operation;
  }

  observe(observer: OperationObserver): Disposable {
    this.#observers.add(observer);
    return { [Symbol.dispose]: () => void this.#observers.delete(observer) };
  }

  /** Resolves or rejects as the work does. Rejects with Failure 'too-many-operations'; then it was not begun. */
  async carryOut(facts: OperationFacts, work: (control: WorkControl) => Promise<void>): Promise<void> {
    if (this.#ongoing.size >= mostOperations) {
      const what = facts.subject?.type === 'machine' ? 'copies' : 'operations';
      throw new Failure('too-many-operations', `Too many ongoing ${what}.`);
    }
    const id = ++this.#lastId;
    const canceler = new AbortController();
    const operation: Operation = { ...facts, id, progress: {} };
    this.#ongoing.set(id, { operation, canceler });
    this.#tell((observer) => observer.added(operation));
    try {
      await work({ report: (progress) => this.#progress(id, progress), canceled: canceler.signal });
      this.#end(id, { result: 'done', error: undefined });
    } catch (error) {
      this.#end(id, endOf(error));
      throw error;
    }
  }

  /** Asks for its end, and does not wait for it. Throws Failure 'no-such-operation', 'not-supported' (it has no way back). */
  cancel(id: number): void {
    const { operation, canceler } = this.#entry(id);
    if (operation.kind === 'remove') {
      throw new Failure('not-supported', 'The image is gone already, and its files are being removed: this cannot be canceled.');
    }
    canceler.abort();
  }

  #entry(id: number) {
    const found = this.#ongoing.get(id);
    if (found === undefined) throw new Failure('no-such-operation', `No operation ${id} is under way`);
    return found;
  }

  #progress(id: number, progress: Progress): void {
    const entry = this.#ongoing.get(id);
    if (entry === undefined) return; // the last news of one that has ended
    const operation = { ...entry.operation, progress };
    entry.operation = operation;
    this.#tell((observer) => observer.progressed(operation));
  }

  #end(id: number, end: OperationEnd): void {
    const { operation } = this.#entry(id);
    this.#ongoing.delete(id);
    this.#tell((observer) => observer.ended(operation, end));
  }

  #tell(tell: (observer: OperationObserver) => void): void {
    for (const observer of [...this.#observers]) tell(observer);
  }
}

function endOf(error: unknown): OperationEnd {
  const isCanceled = isFailure(error, 'system') && error.errno === 'ECANCELED';
  return { result: isCanceled ? 'canceled' : 'failed', error: isFailure(error) ? error.message : 'Internal error' };
}
