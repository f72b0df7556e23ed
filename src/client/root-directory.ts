import type { Native } from './native.js';

/**
 * The root directory of a machine, held open. Paths that are followed below it are the machine's to make: use it with
 * care, and with calls that do not leave it.
 */
export class RootDirectory implements Disposable {
  /** An open descriptor, to be used as a directory. */
  readonly fd: number;
  readonly #native: Native;
  #isOpen = true;

  /** Owns the descriptor. */
  constructor(native: Native, fd: number) {
    this.#native = native;
    this.fd = fd;
  }

  /** A path by which this process, and no other, reaches it. */
  get path(): string {
    return `/proc/self/fd/${this.fd}`;
  }

  close(): void {
    if (this.#isOpen) this.#native.close(this.fd);
    this.#isOpen = false;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
