import type { NetworkAddress } from '../../ports/guests.js';
import { listHardwareAddresses, listNeighbours, readLink, standsOn, type Neighbour } from '../kernel/neighbours.js';
import { failureOf } from '../kernel/system-error.js';

/** A guest can claim as many addresses as it likes; nobody wants to see more of them. */
const largestNumber = 4096;

/** How many entries of a table are looked at: many times what the kernel keeps unless it is told otherwise. */
const mostEntries = 16_384;

/** How many interfaces are asked for. A machine has a few. */
const mostInterfaces = 64;

/**
 * The addresses of whoever is behind some interfaces of the host, as far as the host has talked to them. Behind a port of a
 * bridge, that is who the bridge has seen there; behind a macvtap, who has its hardware address; otherwise every neighbour of
 * the interface. First IPv4, then IPv6, in each
 * those that are of use on one link only last, then by interface and address. Throws Failure 'system'.
 */
export function readNeighbourAddresses(interfaces: readonly number[]): readonly NetworkAddress[] {
  try {
    const found = new Map<string, Neighbour>();
    for (const index of interfaces.slice(0, mostInterfaces)) {
      for (const neighbour of neighboursBehind(index)) found.set(keyOf(neighbour), neighbour);
    }
    return [...found.values()].sort(compare).slice(0, largestNumber);
  } catch (error) {
    throw failureOf(error, 'Cannot read the neighbours of the machine\'s network interfaces');
  }
}

function neighboursBehind(index: number): Neighbour[] {
  const own = listNeighbours(index, mostEntries);
  const place = placeOf(index);
  if (place === undefined || place.hardwareAddresses.size === 0) return own;
  const { ground, hardwareAddresses } = place;
  const isOfMachine = ({ hardwareAddress }: Neighbour) => hardwareAddresses.has(hardwareAddress);
  const grounded = new Map<number, boolean>([[ground, true], [index, true]]);
  const isOnGround = ({ interfaceIndex }: Neighbour) => {
    const known = grounded.get(interfaceIndex) ?? standsOn(interfaceIndex, ground);
    grounded.set(interfaceIndex, known);
    return known;
  };
  // the ground's own first: others may have found more neighbours than are looked at
  const others = [...listNeighbours(ground, mostEntries), ...listNeighbours(undefined, mostEntries)];
  return [...own, ...others.filter((neighbour) => isOfMachine(neighbour) && isOnGround(neighbour))];
}

/** Who else of the host may have talked to the machine, and by which hardware addresses it is known there. */
interface Place {
  /** The bridge, or what the macvtap stands on: neighbours are found by it, and by what stands on it, like a VLAN. */
  readonly ground: number;
  readonly hardwareAddresses: ReadonlySet<string>;
}

function placeOf(index: number): Place | undefined {
  const link = readLink(index);
  if (link === undefined) return undefined;
  const { kind, lower, master, hardwareAddress } = link;
  if (kind === 'macvtap' && lower !== undefined) return { ground: lower, hardwareAddresses: new Set([hardwareAddress]) };
  if (master === undefined || readLink(master)?.kind !== 'bridge') return undefined;
  return { ground: master, hardwareAddresses: listHardwareAddresses(master, index, mostEntries) };
}

function keyOf({ bytes, interfaceIndex }: Neighbour): string {
  return `${interfaceIndex} ${Buffer.from(bytes).toString('hex')}`;
}

function compare(one: Neighbour, other: Neighbour): number {
  return (
    one.family - other.family ||
    Number(isLinkLocal(one)) - Number(isLinkLocal(other)) ||
    one.interfaceIndex - other.interfaceIndex ||
    Buffer.compare(one.bytes, other.bytes)
  );
}

/** 169.254.0.0/16 (RFC 3927), fe80::/10 (RFC 4291). */
function isLinkLocal({ bytes }: Neighbour): boolean {
  const [first, second = 0] = bytes;
  return bytes.length === 4 ? first === 169 && second === 254 : first === 0xfe && (second & 0xc0) === 0x80;
}
