import type { ProcessIdentity } from '../../domain/machine.js';
import { close } from '../kernel/libc.js';
import { isPidfdAlive, openPidfd, pidfdIdOf } from '../kernel/pidfd.js';
import { errnos, SystemError } from '../kernel/system-error.js';

/**
 * Keeps hold of a process while something of its /proc directory is opened: what was opened before it was found alive
 * is certainly its own.
 */
export class PinnedProcess implements Disposable {
  readonly #pidfd: number;

  /** Throws SystemError ESRCH if the process has ended, or another one has its PID. */
  constructor(identity: ProcessIdentity) {
    this.#pidfd = openPidfd(identity.pid);
    const id = pidfdIdOf(this.#pidfd);
    if (identity.pidfdId === undefined || id === undefined || id === identity.pidfdId) return;
    close(this.#pidfd);
    throw new SystemError(errnos.ESRCH, 'pidfd_open');
  }

  /** Throws SystemError ESRCH. */
  assertAlive(): void {
    if (!isPidfdAlive(this.#pidfd)) throw new SystemError(errnos.ESRCH, 'pidfd');
  }

  [Symbol.dispose](): void {
    close(this.#pidfd);
  }
}
