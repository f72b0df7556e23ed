import { isFailure } from '../../domain/failure.js';
import type { ProcessIdentity } from '../../domain/machine.js';
import type { BindRequest, CopyRequest, GuestFiles, Operation } from '../../ports/guest-files.js';
import type { Log } from '../../ports/log.js';
import type { HelperPool } from './helper-pool.js';
import { leaderText } from './protocol.js';

/** Reaches into guests by their /proc directories: in helper processes, as a guest can hold up whoever walks its paths. */
export class KernelGuestFiles implements GuestFiles {
  readonly #log: Log;
  readonly #helpers: HelperPool;

  /** The pool's owner disposes of it. */
  constructor(log: Log, helpers: HelperPool) {
    this.#log = log;
    this.#helpers = helpers;
  }

  async openRoot(leader: ProcessIdentity): Promise<number> {
    const { fds } = await this.#warned(leader, this.#helpers.ask('root-directory', { leader: leaderText(leader) }));
    return fds[0] as number;
  }

  copy(leader: ProcessIdentity, copy: CopyRequest): Operation {
    const operation = this.#helpers.dedicated('copy', { leader: leaderText(leader), copy });
    return { done: this.#warned(leader, operation.done).then(() => undefined), cancel: () => operation.cancel() };
  }

  async bind(leader: ProcessIdentity, bind: BindRequest): Promise<void> {
    await this.#warned(leader, this.#helpers.ask('bind', { leader: leaderText(leader), bind }));
  }

  /** The log learns of a guest that does not answer, and of helpers that fail. */
  async #warned<T>(leader: ProcessIdentity, answer: Promise<T>): Promise<T> {
    try {
      return await answer;
    } catch (error) {
      if (isFailure(error, 'system') && (error.errno === 'ETIMEDOUT' || error.errno === 'EIO')) {
        this.#log.warning(`Cannot reach the files of process ${leader.pid}: ${error.message}`);
      }
      throw error;
    }
  }
}
