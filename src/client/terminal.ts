import { readSync, writeSync } from 'node:fs';
import { Duplex } from 'node:stream';
import type { Native, Watch } from './native.js';

const chunkSize = 16 * 1024;
/** A login prompt comes back after every session: only a hang-up that lasts so long is the end. In ms. */
const loginReturnTime = 15_000;
const loginRetryInterval = 100;

/**
 * A terminal in a machine: what is written is typed there, what is read is shown there. The stream ends when the program
 * on its other end has, and is hung up when it is destroyed.
 */
export class MachineTerminal extends Duplex {
  /** Its path in the machine: '/dev/pts/3'. */
  readonly path: string;
  readonly #native: Native;
  readonly #fd: number;
  readonly #returns: boolean;
  readonly #watch: Watch;
  #wantsData = false;
  #unwritten: { bytes: Buffer; readonly done: () => void } | undefined;
  #hungUpSince: number | undefined;
  #retry: NodeJS.Timeout | undefined;

  /** Owns the descriptor. With `returns`, a hang-up is waited out for some seconds. */
  constructor(native: Native, fd: number, path: string, returns: boolean) {
    super({ allowHalfOpen: false, decodeStrings: true });
    this.path = path;
    this.#native = native;
    this.#fd = fd;
    this.#returns = returns;
    native.setNonBlocking(fd);
    this.#watch = native.watch(fd, 0, () => this.#onReady());
  }

  /** Tells the program how large the window is, in characters. Throws a system error once it is destroyed. */
  resize(columns: number, rows: number): void {
    this.#native.setWindowSize(this.#fd, columns, rows);
  }

  override _read(): void {
    this.#wantsData = true;
    this.#updateWatch();
  }

  override _write(bytes: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.#unwritten = { bytes, done };
    this.#flush();
    if (!this.destroyed) this.#updateWatch();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    clearTimeout(this.#retry);
    this.#watch[Symbol.dispose]();
    this.#native.close(this.#fd);
    this.#unwritten = undefined;
    done(error);
  }

  #updateWatch(): void {
    if (this.destroyed || this.#retry !== undefined) return;
    const { EPOLLIN, EPOLLOUT } = this.#native;
    this.#watch.modify((this.#wantsData ? EPOLLIN : 0) | (this.#unwritten === undefined ? 0 : EPOLLOUT));
  }

  #onReady(): void {
    if (this.#wantsData) this.#receive();
    if (!this.destroyed) this.#flush();
    if (!this.destroyed) this.#updateWatch();
  }

  #receive(): void {
    const buffer = Buffer.allocUnsafe(chunkSize);
    let length: number;
    try {
      length = readSync(this.#fd, buffer);
    } catch (error) {
      if (hasCode(error, 'EAGAIN', 'EINTR')) return;
      if (hasCode(error, 'EIO')) return this.#onHangUp();
      this.destroy(error as Error);
      return;
    }
    if (length === 0) return this.#onHangUp();
    this.#hungUpSince = undefined;
    this.#wantsData = this.push(buffer.subarray(0, length));
  }

  /** EIO: nobody has the other end open, for now or for good. */
  #onHangUp(): void {
    this.#hungUpSince ??= Date.now();
    if (!this.#returns || Date.now() - this.#hungUpSince > loginReturnTime) {
      this.#wantsData = false;
      this.push(null);
      return;
    }
    // A terminal that is hung up would be reported as ready in every turn.
    this.#watch.modify(0);
    this.#retry = setTimeout(() => {
      this.#retry = undefined;
      this.#onReady();
    }, loginRetryInterval);
  }

  /** What is typed where nobody reads it is lost, as on any terminal that is hung up. */
  #flush(): void {
    const unwritten = this.#unwritten;
    if (unwritten === undefined) return;
    try {
      unwritten.bytes = unwritten.bytes.subarray(writeSync(this.#fd, unwritten.bytes));
    } catch (error) {
      if (hasCode(error, 'EAGAIN', 'EINTR')) return;
      if (!hasCode(error, 'EIO')) {
        this.destroy(error as Error);
        return;
      }
      unwritten.bytes = Buffer.alloc(0);
    }
    if (unwritten.bytes.length > 0) return;
    this.#unwritten = undefined;
    unwritten.done();
  }
}

function hasCode(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(error.code as string);
}
