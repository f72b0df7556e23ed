// Who is behind a network interface of ours: rtnetlink(7), RTM_GETLINK, RTM_GETNEIGH; bridge(8).
import { addressLength } from './interface-addresses.js';
import { closeRouteSocket, getOne, listOf, numberAttribute, openRouteSocket, readAttributes } from './netlink.js';
import { errnoNameOf } from './system-error.js';

const AF_BRIDGE = 7;

const RTM_NEWLINK = 16;
const RTM_GETLINK = 18;
const linkSize = 16; // struct ifinfomsg
const IFLA_MASTER = 10;
const IFLA_LINKINFO = 18;
const IFLA_INFO_KIND = 1;

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

/** The bridge that an interface is a port of; undefined: there is none, or no such interface. Throws SystemError. */
export function bridgeOf(interfaceIndex: number): number | undefined {
  const master = linkAttributes(interfaceIndex)?.get(IFLA_MASTER)?.readUInt32LE(0);
  if (master === undefined) return undefined;
  const information = linkAttributes(master)?.get(IFLA_LINKINFO);
  const kind = information === undefined ? undefined : readAttributes(information).get(IFLA_INFO_KIND);
  return kind?.toString('latin1').replace(/\0$/, '') === 'bridge' ? master : undefined;
}

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

/** Those that an interface has found; at most `maximum` entries are looked at. Throws SystemError. */
export function listNeighbours(interfaceIndex: number, maximum: number): Neighbour[] {
  const request = Buffer.concat([Buffer.alloc(neighbourSize), numberAttribute(NDA_IFINDEX, interfaceIndex)]);
  return entriesOf(request, maximum).flatMap(({ family, index, state, attributes }) => {
    const bytes = attributes.get(NDA_DST);
    if (bytes === undefined || bytes.length !== addressLength(family)) return []; // of DECnet and the like
    if (index !== interfaceIndex || (state & usableStates) === 0) return [];
    const hardwareAddress = attributes.get(NDA_LLADDR)?.toString('hex') ?? '';
    return [{ family, bytes: Uint8Array.from(bytes), interfaceIndex, hardwareAddress }];
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
