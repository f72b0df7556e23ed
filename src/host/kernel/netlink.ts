// Addresses of network interfaces: rtnetlink(7), RTM_GETADDR.
import { bind, check, close, send, socket, type Memory } from './libc.js';
import { errnos, SystemError } from './system-error.js';

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const NETLINK_ROUTE = 0;
const MSG_DONTWAIT = 0x40;

const NLM_F_REQUEST_DUMP = 0x301;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const RTM_NEWADDR = 20;
const RTM_GETADDR = 22;
const headerSize = 16; // struct nlmsghdr
const addressSize = 8; // struct ifaddrmsg
const attributeHeaderSize = 4; // struct rtattr

const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_FLAGS = 8;

const receive = bind<(fd: number, bytes: Memory, length: number, flags: number) => number>(
  'intptr_t recv(int, void *, size_t, int)',
);

export interface InterfaceAddress {
  /** AF_INET (2) or AF_INET6 (10). */
  readonly family: number;
  /** 4 or 16 bytes in network order; of a point-to-point link, the near end. */
  readonly bytes: Uint8Array;
  readonly interfaceIndex: number;
  /** RT_SCOPE_*: 0 universe, 253 link, 254 host, 255 nowhere. */
  readonly scope: number;
  /** IFA_F_*: see if_addr.h. */
  readonly flags: number;
}

/** A socket that speaks of the network namespace which the thread is in now; the caller closes it. */
export function openRouteSocket(): number {
  return check(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), 'socket');
}

export { close as closeRouteSocket };

/**
 * The addresses of all interfaces, in the kernel's order, and no more than `maximum` of them. It takes 20 µs, and never
 * waits: the kernel answers within the calls. Throws SystemError.
 */
export function listAddresses(fd: number, maximum: number): InterfaceAddress[] {
  const request = Buffer.alloc(headerSize + addressSize);
  request.writeUInt32LE(request.length, 0);
  request.writeUInt16LE(RTM_GETADDR, 4);
  request.writeUInt16LE(NLM_F_REQUEST_DUMP, 6);
  check(send(fd, request, request.length, 0), 'send');

  const addresses: InterfaceAddress[] = [];
  const buffer = Buffer.alloc(32768); // what the kernel fills at most at a time
  while (addresses.length < maximum) {
    const length = check(receive(fd, buffer, buffer.length, MSG_DONTWAIT), 'recv');
    if (!readMessages(buffer.subarray(0, length), addresses)) break;
  }
  return addresses.slice(0, maximum);
}

/**
 * Adds the addresses of one datagram; false if it was the last one. A list that changed while it was read
 * (NLM_F_DUMP_INTR) is as good as one that changes right after.
 */
function readMessages(datagram: Buffer, addresses: InterfaceAddress[]): boolean {
  let at = 0;
  while (at + headerSize <= datagram.length) {
    const length = datagram.readUInt32LE(at);
    if (length < headerSize || at + length > datagram.length) throw new SystemError(errnos.EBADMSG, 'recv');
    const type = datagram.readUInt16LE(at + 4);
    const body = datagram.subarray(at + headerSize, at + length);
    if (type === NLMSG_DONE) return false;
    if (type === NLMSG_ERROR) throw new SystemError(-body.readInt32LE(0), 'recv');
    if (type === RTM_NEWADDR) addAddress(body, addresses);
    at += align(length);
  }
  return true;
}

function addAddress(body: Buffer, addresses: InterfaceAddress[]): void {
  const family = body.readUInt8(0);
  const attributes = readAttributes(body.subarray(addressSize));
  const bytes = attributes.get(IFA_LOCAL) ?? attributes.get(IFA_ADDRESS);
  const expected = family === 2 ? 4 : family === 10 ? 16 : undefined;
  if (bytes === undefined || bytes.length !== expected) return; // MCTP and the like
  addresses.push({
    family,
    bytes: Uint8Array.from(bytes),
    interfaceIndex: body.readUInt32LE(4),
    scope: body.readUInt8(3),
    flags: attributes.get(IFA_FLAGS)?.readUInt32LE(0) ?? body.readUInt8(2),
  });
}

function readAttributes(bytes: Buffer): Map<number, Buffer> {
  const attributes = new Map<number, Buffer>();
  let at = 0;
  while (at + attributeHeaderSize <= bytes.length) {
    const length = bytes.readUInt16LE(at);
    if (length < attributeHeaderSize || at + length > bytes.length) throw new SystemError(errnos.EBADMSG, 'recv');
    attributes.set(bytes.readUInt16LE(at + 2), bytes.subarray(at + attributeHeaderSize, at + length));
    at += align(length);
  }
  return attributes;
}

function align(length: number): number {
  return (length + 3) & ~3;
}
