import path from 'node:path';
import { isFailure } from '../../domain/failure.js';
import type { ProcessIdentity } from '../../domain/machine.js';
import { unwatched, type WorkControl } from '../../domain/operations.js';
import type { BindRequest, CopyRequest, GuestFiles } from '../../ports/guest-files.js';
import type { Log } from '../../ports/log.js';
import { closeAll } from '../kernel/socket-message.js';
import { failureOf } from '../kernel/system-error.js';
import { newCopyName } from './copy-name.js';
import { CopyRecords, type CopyRecord } from './copy-records.js';
import type { HelperPool } from './helper-pool.js';
import { MountRecords } from './mount-records.js';
import { leaderText } from './protocol.js';

/** How a copy ends whose helper was killed, or may have been. */
const killErrors = new Set<string | undefined>(['ETIMEDOUT', 'EIO', 'ECANCELED']);

/** Reaches into guests by their /proc directories: in helper processes, as a guest can hold up whoever walks its paths. */
export class KernelGuestFiles implements GuestFiles {
  readonly #log: Log;
  readonly #helpers: HelperPool;
  readonly #mounts: MountRecords;
  readonly #copies: CopyRecords;

  /** The pool's owner disposes of it. What is to be remembered over a restart is kept in a directory. */
  constructor(log: Log, helpers: HelperPool, directory: string) {
    this.#log = log;
    this.#helpers = helpers;
    this.#mounts = new MountRecords(path.join(directory, 'mounts'));
    this.#copies = new CopyRecords(path.join(directory, 'copies'));
  }

  async openRoot(leader: ProcessIdentity): Promise<number> {
    const { fds } = await this.#warned(leader, this.#helpers.ask('root-directory', { leader: leaderText(leader) }));
    return fds[0] as number;
  }

  async copy(leader: ProcessIdentity, copy: CopyRequest, control = unwatched): Promise<void> {
    await this.#warned(leader, this.#copy(leader, copy, control));
  }

  /** Both ends are found within the time limit; only then does a helper of its own begin, which goes on while it gets on. */
  async #copy(leader: ProcessIdentity, copy: CopyRequest, control: WorkControl): Promise<void> {
    const { output, fds } = await this.#helpers.ask('locate-copy', { leader: leaderText(leader), copy });
    const record = { leader: leaderText(leader), copy, temporary: newCopyName() };
    this.#note('The copy', () => this.#copies.add(record));
    try {
      await this.#helpers.dedicated('copy', { copy, rootUser: output.rootUser, temporary: record.temporary }, fds, control);
    } catch (error) {
      if (isFailure(error, 'system') && killErrors.has(error.errno)) await this.#removeLeftovers(record);
      throw error;
    } finally {
      closeAll(fds);
      if (this.#helpers.isOpen) this.#note('The copy', () => this.#copies.remove(record)); // or the next daemon sweeps
    }
  }

  /** Tidies up after a daemon that has ended in the middle of copies, and forgets the mounts of guests that have ended. */
  async sweep(): Promise<void> {
    this.#note('What is mounted in guests', () => this.#mounts.sweep());
    let left: readonly CopyRecord[] = [];
    this.#note('Copies that were interrupted', () => (left = this.#copies.all()));
    for (const record of left) {
      await this.#removeLeftovers(record);
      this.#note('A copy that was interrupted', () => this.#copies.remove(record));
    }
  }

  /** Of a guest that has ended, nothing can be removed. */
  async #removeLeftovers(record: CopyRecord): Promise<void> {
    if (!this.#helpers.isOpen) return;
    try {
      await this.#helpers.ask('remove-leftovers', record);
    } catch (error) {
      if (!isFailure(error)) throw error;
      const { direction, destination } = record.copy;
      const where = direction === 'from' ? `beside ${destination}` : `beside ${destination} in the machine of process ${record.leader.pid}`;
      this.#log.warning(`A copy that was interrupted may have left ${record.temporary} ${where}: ${error.message}`);
    }
  }

  async bind(leader: ProcessIdentity, bind: BindRequest): Promise<void> {
    const { output: mount } = await this.#warned(leader, this.#helpers.ask('bind', { leader: leaderText(leader), bind }));
    this.#note(`What is mounted in the machine of process ${leader.pid}`, () => this.#mounts.add(leader, mount));
  }

  async unbind(leader: ProcessIdentity, destination: string): Promise<void> {
    const mounts = this.#recorded(leader);
    const { output: mount } = await this.#warned(leader, this.#helpers.ask('unbind', { leader: leaderText(leader), destination, mounts }));
    this.#note(`What is mounted in the machine of process ${leader.pid}`, () => this.#mounts.remove(leader, mount));
  }

  forget(leader: ProcessIdentity): void {
    this.#note(`What is mounted in the machine of process ${leader.pid}`, () => this.#mounts.forget(leader));
  }

  #recorded(leader: ProcessIdentity): readonly string[] {
    try {
      return this.#mounts.of(leader);
    } catch (error) {
      throw failureOf(error, 'Cannot read what was bound into the machine');
    }
  }

  /** What has been done stays done. */
  #note(what: string, change: () => void): void {
    try {
      change();
    } catch (error) {
      this.#log.warning(failureOf(error, `${what} cannot be noted`).message);
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
