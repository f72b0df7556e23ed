import { stringifyJson, type WritableObject } from './json.js';

/** A message is longer than allowed, or not UTF-8. There is nothing to do but to close the connection. */
export class FrameError extends Error {
  override readonly name = 'FrameError';
}

export interface Frame {
  /** Without the NUL. */
  readonly text: string;
  /** The descriptors that came with the frame; they belong to who takes the frame. */
  readonly fds: readonly number[];
}

export interface FrameLimits {
  /** A longer message is refused. */
  readonly bytes: number;
}

/** systemd's limit. */
export const defaultFrameLimits: FrameLimits = { bytes: 16 * 1024 * 1024 };

const none: readonly number[] = [];
const fatalDecoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const keptBytes = 64 * 1024;

/**
 * Takes a Varlink byte stream apart: messages end with a NUL. Feed it with push() and take frames with next() until
 * there are no more.
 *
 * Descriptors go to the last frame that has a byte in the chunk they came with: the kernel ends a read after the bytes
 * that descriptors were sent with, so whatever else is in the chunk came before.
 */
export class FrameReader {
  readonly #limit: number;
  /** What is there of a frame whose end is not; grows by doubling, so that bytes may come one by one. */
  #partial = Buffer.alloc(0);
  #partialLength = 0;
  #partialFds: readonly number[] = none;
  readonly #frames: Frame[] = [];
  #taken = 0;
  #failure: FrameError | undefined;

  constructor(limits: FrameLimits = defaultFrameLimits) {
    this.#limit = limits.bytes;
  }

  /** Takes over the descriptors. The chunk may be reused afterwards. What follows a broken frame is ignored. */
  push(chunk: Uint8Array, fds: readonly number[] = none): void {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    let start = 0;
    while (this.#failure === undefined && start < bytes.length) {
      const end = bytes.indexOf(0, start);
      if (end < 0) {
        this.#keep(bytes, start);
        break;
      }
      this.#complete(bytes, start, end);
      start = end + 1;
    }
    if (fds.length > 0) this.#attach(fds, start >= bytes.length);
  }

  /**
   * The next frame, or undefined if more bytes have to come.
   * @throws {FrameError} if the next frame is broken, now and ever after
   */
  next(): Frame | undefined {
    const frame = this.#frames[this.#taken];
    if (frame === undefined) {
      if (this.#failure !== undefined) throw this.#failure;
      return undefined;
    }
    this.#taken++;
    if (this.#taken === this.#frames.length) {
      this.#frames.length = 0;
      this.#taken = 0;
    }
    return frame;
  }

  /** Whether a message has begun whose end has not come: at the end of the stream, it was cut off. */
  get midFrame(): boolean {
    return this.#partialLength > 0;
  }

  /** Ends the reader's work and hands back the descriptors of all frames that were not taken. */
  abandon(): number[] {
    const fds = [...this.#frames.slice(this.#taken).flatMap((frame) => frame.fds), ...this.#partialFds];
    this.#frames.length = 0;
    this.#taken = 0;
    this.#partialFds = none;
    this.#dropPartial();
    this.#failure ??= new FrameError('The reader was abandoned');
    return fds;
  }

  #keep(bytes: Buffer, start: number): void {
    const length = this.#partialLength + bytes.length - start;
    if (!this.#allowed(length)) return;
    if (length > this.#partial.length) {
      const larger = Buffer.allocUnsafe(Math.max(length, this.#partial.length * 2, 512));
      this.#partial.copy(larger, 0, 0, this.#partialLength);
      this.#partial = larger;
    }
    bytes.copy(this.#partial, this.#partialLength, start);
    this.#partialLength = length;
  }

  #complete(bytes: Buffer, start: number, end: number): void {
    if (this.#partialLength === 0) {
      if (this.#allowed(end - start)) this.#add(bytes, start, end);
      return;
    }
    this.#keep(bytes.subarray(0, end), start);
    if (this.#failure !== undefined) return;
    this.#add(this.#partial, 0, this.#partialLength);
    this.#dropPartial();
  }

  #allowed(length: number): boolean {
    if (length <= this.#limit) return true;
    this.#failure = new FrameError(`A message is longer than ${this.#limit} bytes`);
    this.#dropPartial();
    return false;
  }

  #add(bytes: Buffer, start: number, end: number): void {
    const text = decode(bytes, start, end);
    if (text === undefined) {
      this.#failure = new FrameError('A message is not UTF-8');
      return;
    }
    this.#frames.push({ text, fds: this.#partialFds });
    this.#partialFds = none;
  }

  #dropPartial(): void {
    this.#partialLength = 0;
    if (this.#partial.length > keptBytes) this.#partial = Buffer.alloc(0);
  }

  #attach(fds: readonly number[], atFrameEnd: boolean): void {
    const last = this.#frames.at(-1);
    if (atFrameEnd && last !== undefined && this.#failure === undefined) {
      this.#frames[this.#frames.length - 1] = { text: last.text, fds: [...last.fds, ...fds] };
    } else {
      this.#partialFds = [...this.#partialFds, ...fds];
    }
  }
}

/** The text, or undefined if it is not UTF-8. */
function decode(bytes: Buffer, start: number, end: number): string | undefined {
  // Much faster than a TextDecoder, but it puts U+FFFD where something is wrong: then the strict one has to look.
  const text = bytes.toString('utf8', start, end);
  if (!text.includes('\ufffd')) return text;
  try {
    return fatalDecoder.decode(bytes.subarray(start, end));
  } catch {
    return undefined;
  }
}

/** The text of a message with its NUL. Texts of several messages may be joined and encoded at once. */
export function frameText(message: WritableObject): string {
  return `${stringifyJson(message)}\0`;
}

/** The bytes of a message with its NUL. */
export function encodeFrame(message: WritableObject): Uint8Array {
  return Buffer.from(frameText(message));
}
