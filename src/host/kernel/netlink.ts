// Questions to the kernel about network interfaces: netlink(7), rtnetlink(7).
import { bind, check, close, send, socket, type Memory } from './libc.js';
import { errnos, SystemError } from './system-error.js';

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const NETLINK_ROUTE = 0;
const MSG_DONTWAIT = 0x40;

const NLM_F_REQUEST = 0x1;
const NLM_F_DUMP = 0x300;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLA_TYPE_MASK = 0x3fff;
const headerSize = 16; // struct nlmsghdr
const attributeHeaderSize = 4; // struct rtattr

const receive = bind<(fd: number, bytes: Memory, length: number, flags: number) => number>(
  'intptr_t recv(int, void *, size_t, int)',
);

/** What a message holds behind its header. */
export interface RouteMessage {
  /** RTM_* */
  readonly type: number;
  readonly body: Buffer;
}

/** A socket that speaks of the network namespace which the thread is in now; the caller closes it. Throws SystemError. */
export function openRouteSocket(): number {
  return check(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), 'socket');
}

export { close as closeRouteSocket };

/**
 * Asks for a list, and hands out the messages of the answer one after the other. It takes microseconds, and never waits: the
 * kernel answers within the calls. Who does not take all of them cannot use the socket for another question. A list that
 * changed while it was read (NLM_F_DUMP_INTR) is as good as one that changes right after. Throws SystemError.
 */
export function* listOf(fd: number, type: number, body: Buffer): Generator<RouteMessage> {
  ask(fd, type, NLM_F_REQUEST | NLM_F_DUMP, body);
  for (;;) {
    for (const message of receiveDatagram(fd)) {
      if (message.type === NLMSG_DONE) return;
      yield message;
    }
  }
}

/** Asks for one thing. Throws SystemError: ENODEV, ENOENT if it is not there. */
export function getOne(fd: number, type: number, body: Buffer): RouteMessage {
  ask(fd, type, NLM_F_REQUEST, body);
  for (const message of receiveDatagram(fd)) return message;
  throw new SystemError(errnos.EBADMSG, 'recv');
}

/** Attributes by their type; of several of one type, the last. Throws SystemError EBADMSG. */
export function readAttributes(bytes: Buffer): Map<number, Buffer> {
  const attributes = new Map<number, Buffer>();
  let at = 0;
  while (at + attributeHeaderSize <= bytes.length) {
    const length = bytes.readUInt16LE(at);
    if (length < attributeHeaderSize || at + length > bytes.length) throw new SystemError(errnos.EBADMSG, 'recv');
    attributes.set(bytes.readUInt16LE(at + 2) & NLA_TYPE_MASK, bytes.subarray(at + attributeHeaderSize, at + length));
    at += align(length);
  }
  return attributes;
}

/** An attribute that is a number of 32 bits. */
export function numberAttribute(type: number, value: number): Buffer {
  const attribute = Buffer.alloc(attributeHeaderSize + 4);
  attribute.writeUInt16LE(attribute.length, 0);
  attribute.writeUInt16LE(type, 2);
  attribute.writeUInt32LE(value, attributeHeaderSize);
  return attribute;
}

function ask(fd: number, type: number, flags: number, body: Buffer): void {
  const request = Buffer.alloc(headerSize + body.length);
  request.writeUInt32LE(request.length, 0);
  request.writeUInt16LE(type, 4);
  request.writeUInt16LE(flags, 6);
  body.copy(request, headerSize);
  check(send(fd, request, request.length, 0), 'send');
}

/** What the kernel fills at most at a time. Most datagrams have some hundred bytes, which are worth a copy. */
const received = Buffer.allocUnsafeSlow(32768);

function* receiveDatagram(fd: number): Generator<RouteMessage> {
  const datagram = Buffer.from(received.subarray(0, check(receive(fd, received, received.length, MSG_DONTWAIT), 'recv')));
  let at = 0;
  while (at + headerSize <= datagram.length) {
    const length = datagram.readUInt32LE(at);
    if (length < headerSize || at + length > datagram.length) throw new SystemError(errnos.EBADMSG, 'recv');
    const type = datagram.readUInt16LE(at + 4);
    const body = datagram.subarray(at + headerSize, at + length);
    if (type === NLMSG_ERROR) throw new SystemError(-body.readInt32LE(0), 'recv');
    yield { type, body };
    at += align(length);
  }
}

function align(length: number): number {
  return (length + 3) & ~3;
}
