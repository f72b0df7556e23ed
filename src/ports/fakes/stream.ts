import type { ByteStream, PeerCredentials, StreamEvents } from '../stream.js';

interface Chunk {
  readonly bytes: Uint8Array;
  readonly fds: readonly number[];
}

export const someUser: PeerCredentials = { uid: 1000, gid: 1000, pid: 4321, groups: [1000], pidfd: undefined };

/** A stream in memory, and the peer at its other end: the methods that ByteStream does not have are what the peer does. */
export class FakeStream implements ByteStream {
  readonly peer: PeerCredentials;
  /** Whether the stream's owner has ended or closed it. */
  state: 'open' | 'ended' | 'closed' = 'open';
  /** Descriptors that were written, with the number of bytes that were written before them. */
  readonly sentDescriptors: { readonly at: number; readonly fds: readonly number[] }[] = [];
  readonly #incoming: Chunk[] = [];
  #events: StreamEvents | undefined;
  #written: Buffer[] = [];
  #writtenLength = 0;
  #waiting = 0;
  #reads = true;
  #paused = false;
  #inputEnded = false;
  #gone = false;

  constructor(peer: PeerCredentials = someUser) {
    this.peer = peer;
  }

  /** Whether the owner wants no data at the moment. */
  get paused(): boolean {
    return this.#paused;
  }

  get waiting(): number {
    return this.#waiting;
  }

  /** What the peer has been sent, what waits for it included, since this was last asked. */
  takeText(): string {
    const text = Buffer.concat(this.#written).toString();
    this.#written = [];
    return text;
  }

  /** The peer sends. What comes while the owner pauses is kept. */
  send(data: string | Uint8Array, fds: readonly number[] = []): void {
    if (this.#gone || this.#inputEnded) throw new Error('this peer sends no more');
    this.#incoming.push({ bytes: typeof data === 'string' ? Buffer.from(data) : data, fds });
    this.#deliver();
  }

  /** The peer will send no more, and still reads. */
  endInput(): void {
    this.#inputEnded = true;
    this.#deliver();
  }

  /** The peer stops reading, or reads all that waits and goes on reading. */
  setReading(reads: boolean): void {
    this.#reads = reads;
    if (!reads || this.#waiting === 0) return;
    this.#waiting = 0;
    if (this.state === 'open') this.#events?.drained?.();
  }

  /** The peer is gone altogether. Like a socket that nobody reads from, a paused stream does not notice. */
  hangUp(error?: Error): void {
    this.#gone = true;
    if (this.#paused) return;
    setImmediate(() => this.#reportClosed(error));
  }

  start(events: StreamEvents): void {
    if (this.#events !== undefined) throw new Error('the stream has been started already');
    this.#events = events;
    this.#deliver();
  }

  write(bytes: Uint8Array, fds: readonly number[] = []): number {
    if (this.state !== 'open' || this.#gone) return 0;
    if (fds.length > 0) this.sentDescriptors.push({ at: this.#writtenLength, fds });
    this.#written.push(Buffer.from(bytes));
    this.#writtenLength += bytes.length;
    if (!this.#reads) this.#waiting += bytes.length;
    return this.#waiting;
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    setImmediate(() => {
      this.#deliver();
      if (this.#gone && !this.#paused) this.#reportClosed(undefined);
    });
  }

  end(): void {
    if (this.state === 'open') this.state = 'ended';
  }

  close(): void {
    this.state = 'closed';
  }

  #deliver(): void {
    while (this.#isReading()) {
      const chunk = this.#incoming.shift();
      if (chunk === undefined) break;
      this.#events?.data(chunk.bytes, chunk.fds);
    }
    if (!this.#inputEnded || !this.#isReading()) return;
    const events = this.#events;
    this.#inputEnded = false;
    events?.end();
  }

  #isReading(): boolean {
    return this.#events !== undefined && !this.#paused && this.state === 'open';
  }

  #reportClosed(error: Error | undefined): void {
    if (this.state !== 'open') return;
    this.state = 'closed';
    this.#events?.closed(error);
  }
}
