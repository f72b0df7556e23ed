// From the forms of the protocols to those of the library, where both need the same.
import { SocketAddress } from 'node:net';
import { signalByName } from '../domain/signals.js';
import { MachinedError } from './error.js';
import type { Address } from './model.js';

const AF_INET = 2;
const AF_INET6 = 10;

/** undefined if it is of no known family, or has the wrong number of bytes. */
export function readAddress(family: number, bytes: ArrayLike<number>, interfaceIndex?: number): Address | undefined {
  const place = interfaceIndex === undefined || interfaceIndex === 0 ? {} : { interfaceIndex };
  if (family === AF_INET && bytes.length === 4) return { family: 'ipv4', address: Array.from(bytes).join('.'), ...place };
  if (family !== AF_INET6 || bytes.length !== 16) return undefined;
  const words = Array.from({ length: 8 }, (_, index) => ((bytes[2 * index]! << 8) | bytes[2 * index + 1]!).toString(16));
  return { family: 'ipv6', address: new SocketAddress({ address: words.join(':'), family: 'ipv6' }).address, ...place };
}

/** A list of KEY=value as a record. */
export function readAssignments(lines: readonly string[]): Record<string, string> {
  const pairs = lines.filter((line) => line.includes('=')).map((line): [string, string] => {
    const equals = line.indexOf('=');
    return [line.slice(0, equals), line.slice(equals + 1)];
  });
  return Object.fromEntries(pairs);
}

/** A record as a list of KEY=value. */
export function formatAssignments(record: Readonly<Record<string, string>>): string[] {
  return Object.entries(record).map(([key, value]) => `${key}=${value}`);
}

/** The number of a signal, by that or by its name: 15, 'SIGTERM', 'TERM', 'RTMIN+4'. Throws MachinedError `invalid-argument`. */
export function signalNumber(signal: number | string): number {
  const number = typeof signal === 'number' ? signal : signalByName(signal);
  if (number === undefined) throw new MachinedError('invalid-argument', `There is no signal '${signal}'`, { parameter: 'signal' });
  return number;
}

/** The object without members that are undefined. */
export function defined<T extends object>(object: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as never;
}
