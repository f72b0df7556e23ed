import { duplicate } from './libc.js';
import { closeAll } from './socket-message.js';

/** A run of bytes, and the descriptors that go with its first one. */
export interface Segment {
  readonly bytes: Uint8Array;
  readonly fds: readonly number[];
}

interface MutableSegment {
  buffer: Uint8Array;
  start: number;
  end: number;
  fds: readonly number[];
}

const smallSegment = 4096;
const largeSegment = 65536;

/**
 * What the kernel would not take yet. Bytes are copied and descriptors duplicated, so that a writer may reuse its own at
 * once; small writes share a segment, so that a long queue goes out in few calls.
 */
export class OutgoingQueue implements Disposable {
  #segments: MutableSegment[] = [];
  #first = 0;
  #waiting = 0;

  /** Bytes in the queue. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Throws SystemError (EMFILE, EBADF) if a descriptor cannot be duplicated; nothing is queued then. */
  push(bytes: Uint8Array, fds: readonly number[]): void {
    const owned = duplicateAll(fds);
    const last = this.#segments.at(-1);
    if (last !== undefined && owned.length === 0 && last.buffer.length - last.end >= bytes.length) {
      last.buffer.set(bytes, last.end);
      last.end += bytes.length;
    } else {
      const buffer = newSegment(bytes.length, this.#waiting < smallSegment);
      buffer.set(bytes);
      this.#segments.push({ buffer, start: 0, end: bytes.length, fds: owned });
    }
    this.#waiting += bytes.length;
  }

  /** What goes out next, or undefined. Valid until the queue is touched again. */
  head(): Segment | undefined {
    const segment = this.#segments[this.#first];
    return segment && { bytes: segment.buffer.subarray(segment.start, segment.end), fds: segment.fds };
  }

  /** The first `count` (1 or more) of the head's bytes have gone, and its descriptors with them. */
  consume(count: number): void {
    const segment = this.#segments[this.#first];
    if (segment === undefined || count > segment.end - segment.start) throw new RangeError('consumed more than the head');
    closeAll(segment.fds);
    segment.fds = [];
    segment.start += count;
    this.#waiting -= count;
    if (segment.start < segment.end) return;
    keepSpare(segment.buffer);
    this.#first++;
    if (this.#first < this.#segments.length && this.#first < 64) return;
    this.#segments.splice(0, this.#first);
    this.#first = 0;
  }

  /** Drops everything. */
  [Symbol.dispose](): void {
    for (const segment of this.#segments.slice(this.#first)) closeAll(segment.fds);
    this.#segments = [];
    this.#first = 0;
    this.#waiting = 0;
  }
}

/** Large segments that were used before, of all queues: long answers to slow readers leave no garbage behind. */
const spares: Uint8Array[] = [];
const sparesKept = 16;

function newSegment(length: number, isSmall: boolean): Uint8Array {
  if (length > largeSegment) return new Uint8Array(length);
  if (isSmall && length <= smallSegment) return new Uint8Array(smallSegment);
  return spares.pop() ?? new Uint8Array(largeSegment);
}

function keepSpare(buffer: Uint8Array): void {
  if (buffer.length === largeSegment && spares.length < sparesKept) spares.push(buffer);
}

function duplicateAll(fds: readonly number[]): readonly number[] {
  if (fds.length === 0) return fds;
  const owned: number[] = [];
  try {
    for (const fd of fds) owned.push(duplicate(fd));
  } catch (error) {
    closeAll(owned);
    throw error;
  }
  return owned;
}
