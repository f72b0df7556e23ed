// Connecting to and listening on UNIX stream sockets. Addresses are paths, or '@name' for the abstract namespace.
import { lstatSync, unlinkSync, chmodSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { ByteStream, PeerCredentials, StreamListener } from '../../ports/stream.js';
import { EPOLLIN, eventHub, type Watch } from './event-loop.js';
import {
  accept, bindAddress, changeMode, check, close, connect, errno, getSocketName, getSocketOption, listen, setDescriptorMode,
  setSocketOption, socket, socketPair,
} from './libc.js';
import { readPeerCredentials } from './peer-credentials.js';
import { errnoNameOf, errnos, SystemError } from './system-error.js';
import { AF_UNIX, decodeUnixAddress, encodeUnixAddress } from './unix-address.js';
import { UnixStream } from './unix-stream.js';

const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_TYPE = 3;
const SO_ACCEPTCONN = 30;
const SO_DOMAIN = 39;
const SO_PASSRIGHTS = 83; // Linux 6.16

/** How long a connection waits for a listener whose backlog is full, in ms. */
const connectTimeLimit = 10_000;
const connectRetryInterval = 5;

/**
 * Connects. Rejects with SystemError: ENOENT and ECONNREFUSED if nobody listens, EACCES, ETIMEDOUT if the listener's
 * backlog stays full.
 */
export async function connectUnix(address: string): Promise<ByteStream> {
  const encoded = encodeUnixAddress(address, 'connect');
  const fd = check(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), 'socket');
  try {
    // The kernel tells nobody when a full backlog has room again: EAGAIN means to try later.
    for (const deadline = Date.now() + connectTimeLimit; connect(fd, encoded, encoded.length) < 0; ) {
      const reason = errno();
      if (reason !== errnos.EAGAIN && reason !== errnos.EINTR) throw new SystemError(reason, 'connect', address);
      if (Date.now() > deadline) throw new SystemError(errnos.ETIMEDOUT, 'connect', address);
      await delay(connectRetryInterval);
    }
    return new UnixStream(fd, readPeerCredentials(fd), false);
  } catch (error) {
    close(fd);
    throw error;
  }
}

/**
 * Two sockets that are connected to each other: a stream for this process, and a descriptor for a child to inherit, which
 * the caller closes. Throws SystemError (EMFILE).
 */
export function connectedPair(): { readonly stream: ByteStream; readonly other: number } {
  const pair = new Int32Array(2);
  check(socketPair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 'socketpair');
  const [own, other] = pair as unknown as [number, number];
  try {
    return { stream: new UnixStream(own, readPeerCredentials(own), false), other };
  } catch (error) {
    close(own);
    close(other);
    throw error;
  }
}

export interface AcceptOptions {
  /**
   * Clients may not send descriptors: where the kernel can (Linux 6.16), their sendmsg(2) fails with EPERM; elsewhere
   * they are disconnected.
   */
  readonly refuseDescriptors: boolean;
  /** A client has connected; the receiver owns the stream and starts it. */
  onConnection(stream: ByteStream): void;
  /** No client can be accepted for now, for want of descriptors or memory (EMFILE, ENFILE, …); it is tried again. */
  onShortage(error: SystemError): void;
}

export interface ListenOptions extends AcceptOptions {
  /** Permissions of the socket in the file system, whatever the umask: 0o666. */
  readonly mode: number;
  /** Clients that may wait to be accepted; the kernel's net.core.somaxconn limits it further. */
  readonly backlog: number;
}

/**
 * Listens on a path or an abstract name. A socket that a listener of the past has left behind at the path is replaced.
 * Throws SystemError: EADDRINUSE if somebody listens there, or if the path is something else than a socket.
 */
export function listenUnix(address: string, options: ListenOptions): StreamListener {
  const encoded = encodeUnixAddress(address, 'bind');
  const fd = check(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), 'socket');
  let file: FileIdentity | undefined;
  try {
    if (address.startsWith('@')) check(bindAddress(fd, encoded, encoded.length), 'bind', address);
    else file = bindPath(fd, address, encoded, options.mode);
    check(listen(fd, options.backlog), 'listen', address);
    return new UnixListener(fd, address, file, options);
  } catch (error) {
    close(fd);
    if (file !== undefined) removeIfSame(address, file);
    throw error;
  }
}

/**
 * Takes over a listening socket that this process was started with (socket activation); the listener owns `fd` from
 * here on, and leaves its path alone. Throws SystemError EINVAL if it is no listening UNIX stream socket.
 */
export function adoptListener(fd: number, options: AcceptOptions): StreamListener {
  const isListener =
    readOption(fd, SO_DOMAIN) === AF_UNIX && readOption(fd, SO_TYPE) === SOCK_STREAM && readOption(fd, SO_ACCEPTCONN) === 1;
  if (!isListener) throw new SystemError(errnos.EINVAL, 'accept');
  setDescriptorMode(fd, { closeOnExec: true, nonBlocking: true });
  return new UnixListener(fd, socketName(fd), undefined, options);
}

/** The permissions are right before anybody can connect, which takes listen(2): there is no need to change the umask. */
function bindPath(fd: number, path: string, encoded: Buffer, mode: number): FileIdentity | undefined {
  check(changeMode(fd, mode), 'fchmod'); // bind(2) gives the file the socket's own mode, less the umask
  if (bindAddress(fd, encoded, encoded.length) < 0) {
    const reason = errno();
    if (reason !== errnos.EADDRINUSE || !removeStaleSocket(path, encoded)) throw new SystemError(reason, 'bind', path);
    check(bindAddress(fd, encoded, encoded.length), 'bind', path);
  }
  chmodSync(path, mode);
  return identify(path);
}

/** Removes a socket that nobody listens on. False if somebody does, or if the path is no socket. */
function removeStaleSocket(path: string, encoded: Buffer): boolean {
  const before = identify(path);
  if (before === undefined) return true; // gone in the meantime
  if (!before.isSocket || !refusesConnections(encoded)) return false;
  return removeIfSame(path, before);
}

function refusesConnections(encoded: Buffer): boolean {
  const probe = check(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), 'socket');
  try {
    return connect(probe, encoded, encoded.length) < 0 && errno() === errnos.ECONNREFUSED;
  } finally {
    close(probe);
  }
}

interface FileIdentity {
  readonly device: bigint;
  readonly inode: bigint;
  readonly isSocket: boolean;
}

function identify(path: string): FileIdentity | undefined {
  const status = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  return status && { device: status.dev, inode: status.ino, isSocket: status.isSocket() };
}

/** False if another file is there now. */
function removeIfSame(path: string, file: FileIdentity): boolean {
  const now = identify(path);
  if (now === undefined) return true;
  if (now.device !== file.device || now.inode !== file.inode) return false;
  try {
    unlinkSync(path);
  } catch (error) {
    if (errnoNameOf(error) !== 'ENOENT') throw error;
  }
  return true;
}

function readOption(fd: number, option: number): number | undefined {
  const value = new Int32Array(1);
  check(getSocketOption(fd, SOL_SOCKET, option, value, new Uint32Array([4])), 'getsockopt');
  return value[0];
}

function socketName(fd: number): string {
  const address = Buffer.alloc(110);
  const length = new Uint32Array([address.length]);
  check(getSocketName(fd, address, length), 'getsockname');
  return decodeUnixAddress(address, length[0] as number);
}

/** Bounds what one turn of the loop accepts. */
const acceptsPerTurn = 32;

/** How long accepting rests when there are no descriptors left, in ms: the waiting clients keep the socket readable. */
const shortageInterval = 100;

const passingErrors = new Set([errnos.EINTR, errnos.ECONNABORTED, errnos.EPERM, errnos.EPROTO]);
const shortages = new Set([errnos.EMFILE, errnos.ENFILE, errnos.ENOBUFS, errnos.ENOMEM]);

class UnixListener implements StreamListener {
  readonly path: string;
  readonly #fd: number;
  /** The socket's file, where this process made it. */
  readonly #file: FileIdentity | undefined;
  readonly #options: AcceptOptions;
  readonly #watch: Watch;
  #rest: NodeJS.Timeout | undefined;
  /** Accepted, but there was no descriptor left for the pidfd of its peer: it waits for one instead of being cut off. */
  #waiting: number | undefined;
  #open = true;

  constructor(fd: number, path: string, file: FileIdentity | undefined, options: AcceptOptions) {
    this.path = path;
    this.#fd = fd;
    this.#file = file;
    this.#options = options;
    if (options.refuseDescriptors) refuseDescriptors(fd);
    this.#watch = eventHub().watch(fd, EPOLLIN, () => this.#acceptSome());
  }

  [Symbol.dispose](): void {
    if (!this.#open) return;
    this.#open = false;
    clearTimeout(this.#rest);
    this.#watch[Symbol.dispose]();
    close(this.#fd);
    if (this.#waiting !== undefined) close(this.#waiting);
    if (this.#file !== undefined) removeIfSame(this.path, this.#file);
  }

  #acceptSome(): void {
    for (let count = 0; count < acceptsPerTurn && this.#open; count++) {
      const fd = this.#waiting ?? accept(this.#fd, null, null, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) {
        const reason = errno();
        if (reason === errnos.EAGAIN) return;
        if (passingErrors.has(reason)) continue;
        return this.#restAfter(new SystemError(reason, 'accept', this.path));
      }
      this.#waiting = fd;
      let peer: PeerCredentials;
      try {
        peer = readPeerCredentials(fd);
      } catch (error) {
        return this.#restAfter(error);
      }
      this.#waiting = undefined;
      this.#options.onConnection(new UnixStream(fd, peer, this.#options.refuseDescriptors));
    }
  }

  #restAfter(error: unknown): void {
    if (!(error instanceof SystemError) || !shortages.has(error.errno)) throw error;
    this.#watch.modify(0);
    this.#rest = setTimeout(() => this.#resume(), shortageInterval);
    this.#options.onShortage(error);
  }

  #resume(): void {
    this.#watch.modify(EPOLLIN);
    this.#acceptSome(); // the one that waits is no longer in the kernel's queue, so nothing else would come back to it
  }
}

/** Accepted sockets inherit this from the listener. */
function refuseDescriptors(fd: number): void {
  if (setSocketOption(fd, SOL_SOCKET, SO_PASSRIGHTS, new Int32Array([0]), 4) === 0) return;
  const reason = errno();
  if (reason !== errnos.ENOPROTOOPT) throw new SystemError(reason, 'setsockopt');
}
