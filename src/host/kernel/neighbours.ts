// Who is behind a network interface of ours: rtnetlink(7), RTM_GETLINK, RTM_GETNEIGH; bridge(8).
import { addressLength } from './interface-addresses.js';
import { closeRouteSocket, getOne, listOf, numberAttribute, openRouteSocket, readAttributes } from './netlink.js';
import { errnoNameOf } from './system-error.js';

const AF_BRIDGE = 7;

const RTM_NEWLINK = 16;
const RTM_GETLINK = 18;
const linkSize = 16; // struct ifinfomsg
const IFLA_ADDRESS = 1;
const IFLA_LINK = 5;
const IFLA_MASTER = 10;
const IFLA_LINKINFO = 18;
const IFLA_INFO_KIND = 1;
const IFLA_LINK_NETNSID = 37;

const RTM_NEWNEIGH = 28;
const RTM_GETNEIGH = 30;
const neighbourSize = 12; // struct ndmsg
const NDA_DST = 1;
const NDA_LLADDR = 2;
const NDA_IFINDEX = 8;
const NTF_SELF = 0x02;
const NUD_PERMANENT = 0x80;
/** Reachable, stale, delay, probe, permanent: has answered, or was told to us. Not incomplete, failed, or without ARP. */
const usableStates = 0x02 | 0x04 | 0x08 | 0x10 | NUD_PERMANENT;

export interface Neighbour {
  /** AF_INET (2) or AF_INET6 (10). */
  readonly family: number;
  /** 4 or 16 bytes in network order. */
  readonly bytes: Uint8Array;
  /** Of ours. */
  readonly interfaceIndex: number;
  /** Its hardware address, in hexadecimal digits; '' if it needs none. */
  readonly hardwareAddress: string;
}

/** What an interface is to others. */
export interface Link {
  /** 'bridge', 'vlan', 'macvtap' and so on, as ip-link(8) has it; '' for hardware. */
  readonly kind: string;
  /** The bridge, bond or VRF that it is a part of. */
  readonly master: number | undefined;
  /** The interface of this network namespace that it stands on, as a VLAN or a macvtap does. */
  readonly lower: number | undefined;
  /** In hexadecimal digits. */
  readonly hardwareAddress: string;
}

/** Of a veth, for one, IFLA_LINK is the other end. */
const stackedKinds = new Set(['vlan', 'macvlan', 'macvtap', 'ipvlan', 'macsec']);

/** undefined: there is no such interface. Throws SystemError. */
export function readLink(interfaceIndex: number): Link | undefined {
  const attributes = linkAttributes(interfaceIndex);
  if (attributes === undefined) return undefined;
  const information = attributes.get(IFLA_LINKINFO);
  const kind = information === undefined ? undefined : readAttributes(information).get(IFLA_INFO_KIND);
  const name = kind?.toString('latin1').replace(/\0$/, '') ?? '';
  const isStacked = stackedKinds.has(name) && !attributes.has(IFLA_LINK_NETNSID);
  return {
    kind: name,
    master: attributes.get(IFLA_MASTER)?.readUInt32LE(0),
    lower: isStacked ? attributes.get(IFLA_LINK)?.readUInt32LE(0) : undefined,
    hardwareAddress: attributes.get(IFLA_ADDRESS)?.toString('hex') ?? '',
  };
}

/** Whether an interface is another one, or stands on it, or on one that does, and so on. Throws SystemError. */
export function standsOn(interfaceIndex: number, ground: number): boolean {
  let current: number | undefined = interfaceIndex;
  for (let level = 0; current !== undefined && level < deepestStack; level++) {
    if (current === ground) return true;
    current = readLink(current)?.lower;
  }
  return false;
}

/** The kernel's own limit of what stands on what: MAX_NEST_DEV. */
const deepestStack = 8;

function linkAttributes(interfaceIndex: number): Map<number, Buffer> | undefined {
  return withRouteSocket((fd) => {
    try {
      const { type, body } = getOne(fd, RTM_GETLINK, linkMessage(0, interfaceIndex));
      return type === RTM_NEWLINK ? readAttributes(body.subarray(linkSize)) : undefined;
    } catch (error) {
      if (errnoNameOf(error) === 'ENODEV') return undefined;
      throw error;
    }
  });
}

/** Those that an interface has found, or all if undefined; at most `maximum` entries are looked at. Throws SystemError. */
export function listNeighbours(interfaceIndex: number | undefined, maximum: number): Neighbour[] {
  const header = Buffer.alloc(neighbourSize);
  const request = interfaceIndex === undefined ? header : Buffer.concat([header, numberAttribute(NDA_IFINDEX, interfaceIndex)]);
  return entriesOf(request, maximum).flatMap(({ family, index, state, attributes }) => {
    const bytes = attributes.get(NDA_DST);
    if (bytes === undefined || bytes.length !== addressLength(family)) return []; // of DECnet and the like
    if (index !== (interfaceIndex ?? index) || (state & usableStates) === 0) return [];
    const hardwareAddress = attributes.get(NDA_LLADDR)?.toString('hex') ?? '';
    return [{ family, bytes: Uint8Array.from(bytes), interfaceIndex: index, hardwareAddress }];
  });
}

/**
 * The hardware addresses that a bridge has learned, or was told, to be behind one of its ports, in hexadecimal digits; not
 * the port's own. At most `maximum` entries are looked at. Throws SystemError.
 */
export function listHardwareAddresses(bridge: number, port: number, maximum: number): Set<string> {
  const found = new Set<string>();
  // with a header of this size, the kernel reads the request as one about links
  const request = Buffer.concat([linkMessage(AF_BRIDGE, port), numberAttribute(IFLA_MASTER, bridge)]);
  for (const { index, state, flags, attributes } of entriesOf(request, maximum)) {
    const address = attributes.get(NDA_LLADDR);
    const isOwn = (state & NUD_PERMANENT) !== 0 || (flags & NTF_SELF) !== 0;
    if (index === port && address !== undefined && !isOwn) found.add(address.toString('hex'));
  }
  return found;
}

interface Entry {
  readonly family: number;
  readonly index: number;
  readonly state: number;
  readonly flags: number;
  readonly attributes: Map<number, Buffer>;
}

/** Entries of one of the tables that RTM_GETNEIGH lists. */
function entriesOf(request: Buffer, maximum: number): Entry[] {
  return withRouteSocket((fd) => {
    const entries: Entry[] = [];
    for (const { type, body } of listOf(fd, RTM_GETNEIGH, request)) {
      if (type !== RTM_NEWNEIGH) continue;
      const entry = {
        family: body.readUInt8(0),
        index: body.readUInt32LE(4),
        state: body.readUInt16LE(8),
        flags: body.readUInt8(10),
        attributes: readAttributes(body.subarray(neighbourSize)),
      };
      if (entries.push(entry) >= maximum) break;
    }
    return entries;
  });
}

function linkMessage(family: number, interfaceIndex: number): Buffer {
  const message = Buffer.alloc(linkSize);
  message.writeUInt8(family, 0);
  message.writeInt32LE(interfaceIndex, 4);
  return message;
}

/** Each question has a socket of its own, as an answer that is not read to its end spoils it. */
function withRouteSocket<T>(work: (fd: number) => T): T {
  const fd = openRouteSocket();
  try {
    return work(fd);
  } finally {
    closeRouteSocket(fd);
  }
}
