/**
 * What has to be undone if a piece of work in several steps fails half way, last step first. To be held by `using`;
 * `keep()` at the end of the work makes it stay.
 */
export class UndoStack implements Disposable {
  #steps: (() => void)[] = [];

  defer(step: () => void): void {
    this.#steps.push(step);
  }

  use<T extends Disposable>(resource: T): T {
    this.defer(() => resource[Symbol.dispose]());
    return resource;
  }

  keep(): void {
    this.#steps = [];
  }

  /** Hands all steps over to another stack, whose holder undoes them from now on. */
  move(): UndoStack {
    const taken = new UndoStack();
    taken.#steps = this.#steps;
    this.#steps = [];
    return taken;
  }

  [Symbol.dispose](): void {
    const steps = this.#steps.reverse();
    this.#steps = [];
    const errors: unknown[] = [];
    for (const step of steps) {
      try {
        step();
      } catch (error) {
        errors.push(error); // the other steps have to be undone all the same
      }
    }
    if (errors.length > 0) throw new AggregateError(errors, 'undoing failed');
  }
}
