// Addresses of network interfaces: rtnetlink(7), RTM_GETADDR.
import { listOf, readAttributes } from './netlink.js';

const AF_INET = 2;
const AF_INET6 = 10;
const RTM_NEWADDR = 20;
const RTM_GETADDR = 22;
const addressSize = 8; // struct ifaddrmsg

const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_FLAGS = 8;

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

/**
 * The addresses of all interfaces of the namespace that a route socket is of, in the kernel's order, and no more than
 * `maximum` of them. Throws SystemError.
 */
export function listAddresses(fd: number, maximum: number): InterfaceAddress[] {
  const addresses: InterfaceAddress[] = [];
  for (const { type, body } of listOf(fd, RTM_GETADDR, Buffer.alloc(addressSize))) {
    const address = type === RTM_NEWADDR ? readAddress(body) : undefined;
    if (address !== undefined && addresses.push(address) >= maximum) break;
  }
  return addresses;
}

/** undefined: of MCTP and the like. */
function readAddress(body: Buffer): InterfaceAddress | undefined {
  const family = body.readUInt8(0);
  const attributes = readAttributes(body.subarray(addressSize));
  const bytes = attributes.get(IFA_LOCAL) ?? attributes.get(IFA_ADDRESS);
  if (bytes === undefined || bytes.length !== addressLength(family)) return undefined;
  return {
    family,
    bytes: Uint8Array.from(bytes),
    interfaceIndex: body.readUInt32LE(4),
    scope: body.readUInt8(3),
    flags: attributes.get(IFA_FLAGS)?.readUInt32LE(0) ?? body.readUInt8(2),
  };
}

/** In bytes; undefined for other families than IPv4 and IPv6. */
export function addressLength(family: number): number | undefined {
  return family === AF_INET ? 4 : family === AF_INET6 ? 16 : undefined;
}
