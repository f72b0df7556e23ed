import type { ByteStream, PeerCredentials, StreamEvents } from '../../ports/stream.js';
import { EPOLLHUP, EPOLLERR, EPOLLIN, EPOLLOUT, eventHub, type Watch } from './event-loop.js';
import { close } from './libc.js';
import { noteRead } from './memory.js';
import { OutgoingQueue } from './outgoing-queue.js';
import { closeAll, maximumDescriptors, receiveSize, receiveWithDescriptors, sendWithDescriptors } from './socket-message.js';
import { errnos, SystemError } from './system-error.js';

/** Bounds on what one stream may do before the others get their turn. */
const receivesPerTurn = 8;
const sendsPerTurn = 8;

/** How long end() waits for a peer that does not read, in ms. */
const lingerTime = 10_000;

const noDescriptors: readonly number[] = [];

/**
 * One connected UNIX stream socket. Owns the descriptor (non-blocking or not: every call says MSG_DONTWAIT) and the
 * peer's pidfd, from the constructor on. Keeps the process alive while it is started and open.
 */
export class UnixStream implements ByteStream {
  readonly peer: PeerCredentials;
  readonly #fd: number;
  readonly #refuseDescriptors: boolean;
  readonly #queue = new OutgoingQueue();
  #watch: Watch | undefined;
  #watched = 0;
  #events: StreamEvents | undefined;
  #open = true;
  #paused = false;
  /** The peer will send no more. */
  #ended = false;
  /** The peer takes no more. What it has sent is still read to its end. */
  #broken = false;
  #linger: NodeJS.Timeout | undefined;

  /** With `refuseDescriptors`, a peer that sends a descriptor is disconnected. */
  constructor(fd: number, peer: PeerCredentials, refuseDescriptors: boolean) {
    this.#fd = fd;
    this.peer = peer;
    this.#refuseDescriptors = refuseDescriptors;
  }

  start(events: StreamEvents): void {
    if (this.#events !== undefined) throw new Error('the stream has been started already');
    this.#events = events;
    this.#updateWatch();
  }

  write(bytes: Uint8Array, fds: readonly number[] = noDescriptors): number {
    if (fds.length > maximumDescriptors) throw new RangeError(`${fds.length} descriptors do not fit one message`);
    if (bytes.length === 0 && fds.length > 0) throw new RangeError('descriptors need a byte to travel with');
    if (!this.#open || this.#broken || this.#linger !== undefined || bytes.length === 0) return this.#queue.waiting;
    if (this.#queue.waiting > 0) {
      this.#queue.push(bytes, fds);
      return this.#queue.waiting;
    }
    const sent = this.#send(bytes, fds);
    if (sent === bytes.length || this.#broken) return 0;
    this.#queue.push(sent === 0 ? bytes : bytes.subarray(sent), sent === 0 ? fds : noDescriptors);
    this.#updateWatch();
    return this.#queue.waiting;
  }

  pause(): void {
    this.#paused = true;
    this.#updateWatch();
  }

  resume(): void {
    this.#paused = false;
    this.#updateWatch();
  }

  end(): void {
    if (!this.#open || this.#linger !== undefined) return;
    if (this.#queue.waiting === 0) return this.close();
    this.#linger = setTimeout(() => this.close(), lingerTime);
    this.#updateWatch();
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    clearTimeout(this.#linger);
    this.#watch?.[Symbol.dispose]();
    this.#queue[Symbol.dispose]();
    close(this.#fd);
    if (this.peer.pidfd !== undefined) close(this.peer.pidfd);
  }

  get #reading(): boolean {
    return this.#events !== undefined && !this.#paused && !this.#ended && this.#linger === undefined;
  }

  /**
   * A paused stream whose peer is gone would report HUP in every turn: with nothing to wait for, it is not watched at
   * all. After the end it is watched for HUP alone, which tells that the peer has gone altogether.
   */
  #updateWatch(): void {
    if (!this.#open) return;
    const wanted =
      (this.#reading ? EPOLLIN : 0) |
      (this.#queue.waiting > 0 ? EPOLLOUT : 0) |
      (this.#events !== undefined && this.#ended ? EPOLLHUP : 0);
    if (wanted === this.#watched && this.#watch !== undefined) return;
    this.#watched = wanted;
    if (this.#watch === undefined) this.#watch = eventHub().watch(this.#fd, wanted, (ready) => this.#onReady(ready));
    else this.#watch.modify(wanted);
  }

  #onReady(ready: number): void {
    if (this.#queue.waiting > 0 && (ready & (EPOLLOUT | EPOLLHUP | EPOLLERR)) !== 0) this.#flush();
    if (this.#open && this.#reading) this.#receive();
    else if (this.#open && this.#ended && this.#queue.waiting === 0 && (ready & EPOLLHUP) !== 0) this.#fail(undefined);
  }

  #receive(): void {
    for (let round = 0; round < receivesPerTurn && this.#open && this.#reading; round++) {
      const { length, bytes, fds, truncated } = receiveWithDescriptors(this.#fd);
      noteRead();
      if (length < 0) return this.#onReceiveError(-length);
      if (truncated || (fds.length > 0 && this.#refuseDescriptors)) {
        closeAll(fds);
        return this.#fail(new SystemError(truncated ? errnos.EMFILE : errnos.EPERM, 'recvmsg'));
      }
      if (length === 0) return this.#onEnd();
      this.#events?.data(bytes, fds);
      // A short read that brought no descriptors has emptied the socket: asking again would cost a call for EAGAIN.
      if (fds.length === 0 && length < receiveSize) return;
    }
  }

  #onReceiveError(errno: number): void {
    if (errno === errnos.EAGAIN || errno === errnos.EINTR) return;
    this.#fail(new SystemError(errno, 'recvmsg'));
  }

  #onEnd(): void {
    this.#ended = true;
    this.#updateWatch();
    this.#events?.end();
    if (this.#broken) this.#failLater(undefined);
  }

  #flush(): void {
    for (let round = 0; round < sendsPerTurn; round++) {
      const head = this.#queue.head();
      if (head === undefined) break;
      const sent = this.#send(head.bytes, head.fds);
      if (sent === 0) break;
      this.#queue.consume(sent);
    }
    if (this.#queue.waiting > 0 || !this.#open) return;
    if (this.#linger !== undefined) return this.close();
    this.#updateWatch();
    this.#events?.drained?.(); // also when it was dropped: who waits to write must go on to see that nobody reads
  }

  /** Returns the number of bytes that went, 0 if none can go now. Failures are dealt with in a later turn. */
  #send(bytes: Uint8Array, fds: readonly number[]): number {
    const sent = sendWithDescriptors(this.#fd, bytes, fds);
    if (sent >= 0) return sent;
    const errno = -sent;
    if (errno === errnos.EAGAIN || errno === errnos.EINTR || errno === errnos.ENOBUFS) return 0;
    this.#broken = true;
    this.#queue[Symbol.dispose]();
    const peerIsGone = errno === errnos.EPIPE || errno === errnos.ECONNRESET;
    if (!peerIsGone) this.#failLater(new SystemError(errno, 'sendmsg'));
    else if (this.#ended) this.#failLater(undefined);
    return 0;
  }

  #failLater(error: SystemError | undefined): void {
    process.nextTick(() => this.#fail(error));
  }

  #fail(error: SystemError | undefined): void {
    if (!this.#open) return;
    const silent = this.#linger !== undefined;
    this.close();
    if (!silent) this.#events?.closed(error);
  }
}
