import { isFailure, systemFailure } from '../../domain/failure.js';
import type { ProcessIdentity } from '../../domain/machine.js';
import type { BindRequest, CopyRequest, GuestFiles, Operation } from '../../ports/guest-files.js';
import type { Log } from '../../ports/log.js';
import { closeAll } from '../kernel/socket-message.js';
import type { HelperOperation, HelperPool } from './helper-pool.js';
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
    const canceled = new AbortController();
    return { done: this.#warned(leader, this.#copy(leader, copy, canceled.signal)), cancel: () => canceled.abort() };
  }

  /** Both ends are found within the time limit; only then does a helper of its own begin, which has none. */
  async #copy(leader: ProcessIdentity, copy: CopyRequest, canceled: AbortSignal): Promise<void> {
    const { output, fds } = await this.#helpers.ask('locate-copy', { leader: leaderText(leader), copy });
    let copying: HelperOperation<'copy'>;
    try {
      if (canceled.aborted) throw systemFailure('ECANCELED', 'The operation was given up');
      copying = this.#helpers.dedicated('copy', { copy, rootUser: output.rootUser }, fds);
    } finally {
      closeAll(fds);
    }
    canceled.addEventListener('abort', () => copying.cancel());
    await copying.done;
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
