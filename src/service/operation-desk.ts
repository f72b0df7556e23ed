import { cancelAuthorizations } from '../contract/authorization.js';
import type { Operation, OperationObserver, Operations } from '../domain/operations.js';
import type { Authority } from '../ports/authority.js';
import { authorize, type Call } from './call.js';
import { OperationEvents } from './operation-events.js';

/** Shows what is under way to everybody, and cancels it for its owner and whoever else may. */
export class OperationDesk {
  readonly #operations: Operations;
  readonly #authority: Authority;

  constructor(operations: Operations, authority: Authority) {
    this.#operations = operations;
    this.#authority = authority;
  }

  /** The oldest first. */
  all(): readonly Operation[] {
    return this.#operations.all();
  }

  observe(observer: OperationObserver): Disposable {
    return this.#operations.observe(observer);
  }

  /** For one who may be slow to take them. */
  events(): OperationEvents {
    return new OperationEvents(this.#operations);
  }

  /**
   * Asks for the end of an operation: the call that began it fails with ECANCELED, once everything is taken back. Throws
   * Failure 'no-such-operation', 'not-supported' (there is no way back), 'access-denied',
   * 'interactive-authentication-required'.
   */
  async cancel(call: Call, id: number): Promise<void> {
    const { subject, owner } = this.#operations.byId(id);
    const authorization = subject?.type === 'machine' ? cancelAuthorizations.copy : cancelAuthorizations.image;
    const asked: Call = { authorization, interactive: call.interactive, caller: () => call.caller() };
    await authorize(this.#authority, asked, {
      ...(subject === undefined ? {} : { name: subject.name }),
      ...(owner.uid === undefined ? {} : { owner: owner.uid }),
    });
    this.#operations.cancel(id);
  }
}
