// One sendmsg(2) or recvmsg(2) with descriptors beside the bytes. The structures are Buffers that are filled in once
// and reused by every call: converting objects for each would cost as much as the call.
import { addressOf, close, errno, receiveMessage, send, sendMessage } from './libc.js';
import { errnos, SystemError } from './system-error.js';

/** The most descriptors that the kernel takes with one message (SCM_MAX_FD). */
export const maximumDescriptors = 253;

const noDescriptors: readonly number[] = [];

const MSG_CTRUNC = 0x8;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const MSG_CMSG_CLOEXEC = 0x40000000;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;

/** A struct msghdr with one struct iovec and room for ancillary data (cmsg(3)). */
class MessageHeader {
  readonly header = Buffer.alloc(56);
  readonly control: Buffer;
  readonly #vector = Buffer.alloc(16);

  constructor(controlSize: number) {
    this.control = Buffer.alloc(controlSize);
    this.header.writeBigUInt64LE(addressOf(this.#vector), 16);
    this.header.writeBigUInt64LE(1n, 24);
    this.header.writeBigUInt64LE(addressOf(this.control), 32);
  }

  setBytes(address: bigint, length: number): void {
    this.#vector.writeBigUInt64LE(address, 0);
    this.#vector.writeUInt32LE(length, 8);
  }

  /** Where a datagram goes; undefined for a socket that is connected. The address must outlive the call. */
  setAddress(address: Buffer | undefined): void {
    this.header.writeBigUInt64LE(address === undefined ? 0n : addressOf(address), 0);
    this.header.writeUInt32LE(address?.length ?? 0, 8);
  }

  get controlLength(): number {
    return this.header.readUInt32LE(40);
  }

  set controlLength(length: number) {
    this.header.writeUInt32LE(length, 40);
  }

  get flags(): number {
    return this.header.readInt32LE(48);
  }
}

const controlHeaderSize = 16; // size_t length, int level, int type
const align = (length: number) => (length + 7) & ~7;
const largestControl = align(controlHeaderSize + 4 * maximumDescriptors);

const outgoing = new MessageHeader(largestControl);
// Room for more than SCM_RIGHTS, lest a socket that was handed over with SO_PASSCRED and the like looks truncated.
const incoming = new MessageHeader(largestControl + 512);
export const receiveSize = 65536;
const receiveBuffer = Buffer.alloc(receiveSize);
incoming.setBytes(addressOf(receiveBuffer), receiveBuffer.length);

/**
 * Sends at once or not at all, and never waits. Returns how many bytes the kernel took (the descriptors went with the
 * first), or the negative errno: a full socket is no exception.
 */
export function sendWithDescriptors(fd: number, bytes: Uint8Array, fds: readonly number[]): number {
  return fds.length === 0
    ? orNegativeErrno(send(fd, bytes, bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL))
    : sendHeader(fd, bytes, fds, undefined, MSG_DONTWAIT);
}

/** Sends one datagram, waiting as long as the socket's SO_SNDTIMEO says. Returns as `sendWithDescriptors` does. */
export function sendDatagram(fd: number, address: Buffer | undefined, bytes: Uint8Array, fds: readonly number[]): number {
  return sendHeader(fd, bytes, fds, address, 0);
}

/** Sends all of it, waiting for as long as the receiver takes. Throws SystemError. */
export function sendWaiting(fd: number, bytes: Uint8Array, fds: readonly number[]): void {
  for (let sent = 0; sent < bytes.length; ) {
    const count = sendHeader(fd, bytes.subarray(sent), sent === 0 ? fds : noDescriptors, undefined, 0);
    if (count > 0) sent += count;
    else if (count !== -errnos.EINTR) throw new SystemError(-count, 'sendmsg');
  }
}

function sendHeader(fd: number, bytes: Uint8Array, fds: readonly number[], to: Buffer | undefined, flags: number): number {
  outgoing.setAddress(to);
  outgoing.setBytes(addressOf(bytes), bytes.length);
  outgoing.controlLength = fds.length === 0 ? 0 : putDescriptors(outgoing.control, fds);
  return orNegativeErrno(sendMessage(fd, outgoing.header, flags | MSG_NOSIGNAL));
}

function putDescriptors(control: Buffer, fds: readonly number[]): number {
  const length = controlHeaderSize + 4 * fds.length;
  control.writeBigUInt64LE(BigInt(length), 0);
  control.writeInt32LE(SOL_SOCKET, 8);
  control.writeInt32LE(SCM_RIGHTS, 12);
  fds.forEach((descriptor, index) => control.writeInt32LE(descriptor, controlHeaderSize + 4 * index));
  return align(length);
}

export interface Received {
  /** Bytes received, 0 at the end of a stream, or the negative errno. */
  readonly length: number;
  /** In the buffer that all receiving shares: valid until the next call. */
  readonly bytes: Buffer;
  /** The caller owns them. Closed on exec. */
  readonly fds: readonly number[];
  /** Descriptors were lost: more came than there was room for, or this process has too many open. */
  readonly truncated: boolean;
}

/** Receives up to 64 KiB, never waiting. */
export function receiveWithDescriptors(fd: number): Received {
  return receiveHeader(fd, MSG_DONTWAIT);
}

/** Receives up to 64 KiB, waiting until there is something. */
export function receiveWaiting(fd: number): Received {
  return receiveHeader(fd, 0);
}

function receiveHeader(fd: number, flags: number): Received {
  incoming.controlLength = incoming.control.length;
  const length = orNegativeErrno(receiveMessage(fd, incoming.header, flags | MSG_CMSG_CLOEXEC));
  if (length < 0) return { length, bytes: receiveBuffer, fds: noDescriptors, truncated: false };
  return {
    length,
    bytes: receiveBuffer.subarray(0, length),
    fds: incoming.controlLength === 0 ? noDescriptors : takeDescriptors(incoming.control, incoming.controlLength),
    truncated: (incoming.flags & MSG_CTRUNC) !== 0,
  };
}

function takeDescriptors(control: Buffer, controlLength: number): number[] {
  const fds: number[] = [];
  for (let offset = 0; offset + controlHeaderSize <= controlLength; ) {
    const end = offset + control.readUInt32LE(offset);
    const isRights = control.readInt32LE(offset + 8) === SOL_SOCKET && control.readInt32LE(offset + 12) === SCM_RIGHTS;
    for (let at = offset + controlHeaderSize; isRights && at + 4 <= end; at += 4) fds.push(control.readInt32LE(at));
    offset = align(end);
  }
  return fds;
}

/** Closes descriptors that came with a message and that nobody wants. */
export function closeAll(fds: readonly number[]): void {
  for (const fd of fds) close(fd);
}

function orNegativeErrno(result: number): number {
  return result < 0 ? -errno() : result;
}
