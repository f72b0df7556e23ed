import type { NetworkAddress } from '../../ports/guests.js';
import { bridgeOf, listHardwareAddresses, listNeighbours, type Neighbour } from '../kernel/neighbours.js';
import { failureOf } from '../kernel/system-error.js';

/** A guest can claim as many addresses as it likes; nobody wants to see more of them. */
const largestNumber = 4096;

/** How many entries of a table are looked at: many times what the kernel keeps unless it is told otherwise. */
const mostEntries = 16_384;

/** How many interfaces are asked for. A machine has a few. */
const mostInterfaces = 64;

/**
 * The addresses of whoever is behind some interfaces of the host, as far as the host has talked to them. Behind a port of a
 * bridge, that is who the bridge has seen there; otherwise every neighbour of the interface. First IPv4, then IPv6, in each
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
  const bridge = bridgeOf(index);
  if (bridge === undefined) return own;
  const behindPort = listHardwareAddresses(bridge, index, mostEntries);
  if (behindPort.size === 0) return own;
  return [...own, ...listNeighbours(bridge, mostEntries).filter(({ hardwareAddress }) => behindPort.has(hardwareAddress))];
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
