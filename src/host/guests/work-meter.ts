// How a helper says how far it has come with work that takes its time, and learns that it is to give it up.
import type { Progress } from '../../domain/operations.js';
import { errnos, SystemError } from '../kernel/system-error.js';
import type { HelperChannel } from './helper-channel.js';
import { newsMark } from './protocol.js';

/** Between two reports, in milliseconds. */
const interval = 200;

export interface Amount {
  readonly files: number;
  /** undefined: nobody knows. */
  readonly bytes: number | undefined;
}

/** Counts what is done. */
export interface Meter {
  /** What there is to do beside what was expected before; undefined: nobody knows. */
  expect(work: Amount | undefined): void;
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
  /** undefined: not known. */
  #total: Amount | undefined = { files: 0, bytes: 0 };
  #hasNews = false;
  #reported = -Infinity;

  constructor(channel: HelperChannel) {
    this.#channel = channel;
  }

  expect(work: Amount | undefined): void {
    const total = this.#total;
    this.#total = total === undefined || work === undefined ? undefined : { files: total.files + work.files, bytes: sum(total.bytes, work.bytes) };
  }

  count(files: number, bytes: number): void {
    this.#files += files;
    this.#bytes += bytes;
    this.#hasNews = true;
    if (this.keepAlive() && this.#channel.isCanceled()) throw new SystemError(errnos.ECANCELED, 'recvmsg');
  }

  /** Returns whether it was time for a report. */
  keepAlive(): boolean {
    if (performance.now() - this.#reported < interval) return false;
    this.#report();
    return true;
  }

  /** The last report, if there is something that was not reported. */
  finish(): void {
    if (this.#hasNews) this.#report();
  }

  #report(): void {
    this.#reported = performance.now();
    this.#hasNews = false;
    const total = this.#total?.files === 0 ? undefined : this.#total; // nobody has said that there is nothing to do
    const progress: Progress = {
      filesDone: this.#files,
      ...(this.#bytes === 0 ? {} : { bytesDone: this.#bytes }), // what is removed has no bytes
      ...(total === undefined ? {} : { filesTotal: total.files }),
      ...(total?.bytes === undefined ? {} : { bytesTotal: total.bytes }),
    };
    this.#channel.send({ text: newsMark + JSON.stringify(progress), fds: [] });
  }
}

function sum(one: number | undefined, other: number | undefined): number | undefined {
  return one === undefined || other === undefined ? undefined : one + other;
}
