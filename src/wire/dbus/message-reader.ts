import { WireError } from './errors.js';
import { maximumMessageFds } from './limits.js';
import { fixedLength, IncomingMessage, readFrame } from './received.js';
import type { Frame, ReceivedMessage } from './received.js';

const empty = Buffer.alloc(0);
const initialCapacity = 256;

/**
 * Cuts a stream of bytes into messages. After each `push`, call `next` until it returns undefined, then close what
 * `takeUnclaimedFds` returns. The first violation of the protocol ends the reader: every later call throws the same
 * WireError.
 */
export class MessageReader {
  /** Unread bytes are at #start … #end. What has been read is never overwritten, because messages refer to it. */
  #buffer = empty;
  #start = 0;
  #end = 0;
  /** Of the message at #start, once enough of it is there to tell. */
  #frame: Frame | undefined = undefined;
  /** Received, and not yet claimed by a message. */
  #fds: number[] = [];
  /** Of messages that were passed over. */
  #orphanedFds: number[] = [];
  #failure: WireError | undefined = undefined;

  /** Copies the bytes. Owns the descriptors that came with them from here on, even if it throws. */
  push(chunk: Uint8Array, fds: readonly number[] = []): void {
    for (const fd of fds) this.#fds.push(fd);
    if (this.#failure !== undefined) throw this.#failure;
    if (chunk.length > this.#buffer.length - this.#end) this.#makeRoom(chunk.length);
    this.#buffer.set(chunk, this.#end);
    this.#end += chunk.length;
  }

  /**
   * The next whole message, or undefined until more is pushed. Messages of unknown types are passed over. Throws
   * WireError.
   */
  next(): ReceivedMessage | undefined {
    if (this.#failure !== undefined) throw this.#failure;
    try {
      return this.#next();
    } catch (error) {
      if (error instanceof WireError) this.#fail(error);
      throw error;
    }
  }

  /** The stream is over; what was begun will not be completed. */
  end(): void {
    if (this.#failure === undefined) this.#fail(new WireError('The stream has ended'));
  }

  /**
   * Descriptors that no returned message has: of messages that were passed over, and after a violation or `end` all
   * that are left. The caller owns them from here on.
   */
  takeUnclaimedFds(): readonly number[] {
    const taken = this.#orphanedFds;
    this.#orphanedFds = [];
    if (this.#failure === undefined) return taken;
    return taken.concat(this.#fds.splice(0));
  }

  #next(): ReceivedMessage | undefined {
    for (;;) {
      const frame = this.#wholeFrame();
      if (frame === undefined) return undefined;
      const message = new IncomingMessage(this.#buffer, this.#start, frame);
      this.#start += frame.end;
      this.#frame = undefined;
      this.#giveFds(message);
      // A known type has been checked for its required fields: all that ReceivedMessage says beyond the class.
      if (message.messageType !== undefined) return message as ReceivedMessage;
      this.#orphanedFds.push(...message.fds);
    }
  }

  /** The frame of the message at #start, if all of the message is there. */
  #wholeFrame(): Frame | undefined {
    const unread = this.#end - this.#start;
    if (unread >= fixedLength) this.#frame ??= readFrame(this.#buffer, this.#start);
    if (this.#frame !== undefined && unread >= this.#frame.end) return this.#frame;
    // Whole messages have claimed theirs, so the descriptors left belong to the one that is under way.
    const claimable = unread === 0 ? 0 : maximumMessageFds;
    if (this.#fds.length > claimable) throw new WireError('Too many file descriptors came');
    if (unread === 0) this.#release();
    return undefined;
  }

  #giveFds(message: IncomingMessage): void {
    if (message.unixFds === 0) return;
    if (message.unixFds > this.#fds.length) throw new WireError('A message came without all of its file descriptors');
    message.fds = this.#fds.splice(0, message.unixFds);
  }

  /** Doubles, so that a message in many chunks is copied a bounded number of times, but not beyond its end. */
  #makeRoom(count: number): void {
    const unread = this.#end - this.#start;
    const generous = Math.min(unread * 2, this.#frame?.end ?? initialCapacity);
    const grown = Buffer.allocUnsafe(Math.max(unread + count, generous));
    this.#buffer.copy(grown, 0, this.#start, this.#end);
    this.#buffer = grown;
    this.#start = 0;
    this.#end = unread;
  }

  /** An idle connection keeps no memory. */
  #release(): void {
    this.#buffer = empty;
    this.#start = 0;
    this.#end = 0;
  }

  #fail(failure: WireError): void {
    this.#failure = failure;
    this.#frame = undefined;
    this.#release();
  }
}
