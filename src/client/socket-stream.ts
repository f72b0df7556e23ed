// A UNIX socket of node:net as a ByteStream: it passes no descriptors, and needs no native library.
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { ByteStream, PeerCredentials, StreamEvents } from '../ports/stream.js';

/** node:net does not tell who the peer is. */
const unknownPeer: PeerCredentials = { uid: 0xffffffff, gid: 0xffffffff, pid: 0, groups: [], pidfd: undefined };

/** How long a connection waits for a listener whose backlog is full, in ms. */
const connectTimeLimit = 10_000;
const connectRetryInterval = 5;

/** Connects to a path, or to '@name' in the abstract namespace. Rejects with Node's error: ENOENT, ECONNREFUSED, EACCES. */
export async function connectSocket(address: string): Promise<ByteStream> {
  const path = address.startsWith('@') ? `\0${address.slice(1)}` : address;
  for (const deadline = Date.now() + connectTimeLimit; ; ) {
    try {
      return new SocketStream(await connected(path));
    } catch (error) {
      // The kernel tells nobody when a full backlog has room again.
      if (!isFull(error) || Date.now() > deadline) throw error;
      await delay(connectRetryInterval);
    }
  }
}

function isFull(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EAGAIN';
}

function connected(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path, allowHalfOpen: true });
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.off('error', reject);
      resolve(socket);
    });
  });
}

class SocketStream implements ByteStream {
  readonly peer = unknownPeer;
  readonly #socket: Socket;
  #open = true;
  #failure: Error | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('error', (error) => (this.#failure = error));
  }

  start(events: StreamEvents): void {
    this.#socket.on('end', () => {
      if (this.#open) events.end();
    });
    this.#socket.on('close', () => {
      if (!this.#open) return;
      this.#open = false;
      events.closed(this.#failure);
    });
    this.#socket.on('drain', () => events.drained?.());
    this.#socket.on('data', (bytes: Buffer) => {
      if (this.#open) events.data(bytes, []);
    });
  }

  write(bytes: Uint8Array, fds: readonly number[] = []): number {
    if (fds.length > 0) throw new Error('this stream passes no descriptors');
    if (!this.#open || this.#socket.writableEnded) return 0;
    this.#socket.write(bytes);
    return this.#socket.writableLength;
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  end(): void {
    this.#open = false;
    this.#socket.end(() => this.#socket.destroy());
  }

  close(): void {
    this.#open = false;
    this.#socket.destroy();
  }
}
