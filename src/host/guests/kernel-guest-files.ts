import { isFailure } from '../../domain/failure.js';
import type { ProcessIdentity } from '../../domain/machine.js';
import { unwatched, type WorkControl } from '../../domain/operations.js';
import type { BindRequest, CopyRequest, GuestFiles } from '../../ports/guest-files.js';
import type { Log } from '../../ports/log.js';
import { closeAll } from '../kernel/socket-message.js';
import { failureOf } from '../kernel/system-error.js';
import type { HelperPool } from './helper-pool.js';
import type { MountRecords } from './mount-records.js';
import { leaderText } from './protocol.js';

/** Reaches into guests by their /proc directories: in helper processes, as a guest can hold up whoever walks its paths. */
export class KernelGuestFiles implements GuestFiles {
  readonly #log: Log;
  readonly #helpers: HelperPool;
  readonly #mounts: MountRecords;

  /** The pool's owner disposes of it. */
  constructor(log: Log, helpers: HelperPool, mounts: MountRecords) {
    this.#log = log;
    this.#mounts = mounts;
    this.#note('of guests that have ended', () => mounts.sweep());
    this.#helpers = helpers;
  }

  async openRoot(leader: ProcessIdentity): Promise<number> {
    const { fds } = await this.#warned(leader, this.#helpers.ask('root-directory', { leader: leaderText(leader) }));
    return fds[0] as number;
  }

  async copy(leader: ProcessIdentity, copy: CopyRequest, control = unwatched): Promise<void> {
    await this.#warned(leader, this.#copy(leader, copy, control));
  }

  /** Both ends are found within the time limit; only then does a helper of its own begin, which has none. */
  async #copy(leader: ProcessIdentity, copy: CopyRequest, control: WorkControl): Promise<void> {
    const { output, fds } = await this.#helpers.ask('locate-copy', { leader: leaderText(leader), copy });
    try {
      await this.#helpers.dedicated('copy', { copy, rootUser: output.rootUser }, fds, control);
    } finally {
      closeAll(fds);
    }
  }

  async bind(leader: ProcessIdentity, bind: BindRequest): Promise<void> {
    const { output: mount } = await this.#warned(leader, this.#helpers.ask('bind', { leader: leaderText(leader), bind }));
    this.#note(`of process ${leader.pid}`, () => this.#mounts.add(leader, mount));
  }

  async unbind(leader: ProcessIdentity, destination: string): Promise<void> {
    const mounts = this.#recorded(leader);
    const { output: mount } = await this.#warned(leader, this.#helpers.ask('unbind', { leader: leaderText(leader), destination, mounts }));
    this.#note(`of process ${leader.pid}`, () => this.#mounts.remove(leader, mount));
  }

  forget(leader: ProcessIdentity): void {
    this.#note(`of process ${leader.pid}`, () => this.#mounts.forget(leader));
  }

  #recorded(leader: ProcessIdentity): readonly string[] {
    try {
      return this.#mounts.of(leader);
    } catch (error) {
      throw failureOf(error, 'Cannot read what was bound into the machine');
    }
  }

  /** What has been done stays done. */
  #note(ofWhom: string, change: () => void): void {
    try {
      change();
    } catch (error) {
      this.#log.warning(failureOf(error, `The mounts ${ofWhom} cannot be noted`).message);
    }
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
