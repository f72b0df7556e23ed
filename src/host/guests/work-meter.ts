// How a helper says how far it has come with work that takes its time, and learns that it is to give it up.
import type { Progress } from '../../domain/operations.js';
import { errnos, SystemError } from '../kernel/system-error.js';
import type { HelperChannel } from './helper-channel.js';
import { newsMark } from './protocol.js';

/** Between two reports, in milliseconds. */
const interval = 200;

/** Counts what is done. */
export interface Meter {
  /** What there is to do, if that is known. */
  expect(files: number, bytes: number): void;
  /** To be called often. Throws SystemError ECANCELED. */
  count(files: number, bytes: number): void;
  /** To be called often while what was made is being removed, which is not interrupted. */
  keepAlive(): void;
}

/** Reports over the channel of the helper, now and then. */
export class WorkMeter implements Meter {
  readonly #channel: HelperChannel;
  #files = 0;
  #bytes = 0;
  #total: { readonly files: number; readonly bytes: number } | undefined;
  #reported = -Infinity;

  constructor(channel: HelperChannel) {
    this.#channel = channel;
  }

  expect(files: number, bytes: number): void {
    this.#total = { files, bytes };
  }

  count(files: number, bytes: number): void {
    this.#files += files;
    this.#bytes += bytes;
    if (this.keepAlive() && this.#channel.isCanceled()) throw new SystemError(errnos.ECANCELED, 'recvmsg');
  }

  /** Returns whether it was time for a report. */
  keepAlive(): boolean {
    if (performance.now() - this.#reported < interval) return false;
    this.#report();
    return true;
  }

  /** The last report, if there has been anything to count. */
  finish(): void {
    if (this.#files > 0) this.#report();
  }

  #report(): void {
    this.#reported = performance.now();
    const progress: Progress = {
      filesDone: this.#files,
      bytesDone: this.#bytes,
      ...(this.#total === undefined ? {} : { filesTotal: this.#total.files, bytesTotal: this.#total.bytes }),
    };
    this.#channel.send({ text: newsMark + JSON.stringify(progress), fds: [] });
  }
}
