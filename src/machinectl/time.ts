// Points in time and spans of it as systemd's tools write them: systemd.time(7), "Displaying time spans".
import { readFileSync } from 'node:fs';

const weekdays = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];

/** 'Sat 2026-11-21 12:46:42 UTC', in the time zone of this process; microseconds since 1970; '' for 0, which says unknown. */
export function formatTimestamp(microseconds: bigint): string {
  if (microseconds === 0n) return '';
  const milliseconds = Number(microseconds / 1000n);
  zone ??= readZone(process.env['TZ']);
  const offset = zone.fixed ?? -new Date(milliseconds).getTimezoneOffset();
  const date = new Date(milliseconds + offset * 60_000);
  const two = (value: number): string => String(value).padStart(2, '0');
  const day = `${date.getUTCFullYear()}-${two(date.getUTCMonth() + 1)}-${two(date.getUTCDate())}`;
  const clock = `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}:${two(date.getUTCSeconds())}`;
  const name = zone.rules.find((rule) => rule.offset === offset)?.name ?? numericZone(offset);
  return `${weekdays[date.getUTCDay()] ?? ''} ${day} ${clock} ${name}`;
}

function numericZone(offset: number): string {
  const minutes = Math.abs(offset) % 60;
  const hours = String(Math.floor(Math.abs(offset) / 60)).padStart(2, '0');
  return `${offset < 0 ? '-' : '+'}${hours}${minutes === 0 ? '' : String(minutes).padStart(2, '0')}`;
}

interface ZoneRule {
  readonly name: string;
  /** Minutes that are added to UTC. */
  readonly offset: number;
}

export interface Zone {
  /** Standard time, and daylight saving time if there is one. */
  readonly rules: readonly ZoneRule[];
  /** Minutes that are added to UTC all the time; undefined: JavaScript knows when which. */
  readonly fixed: number | undefined;
}

let zone: Zone | undefined;

/**
 * By the last line of the zone's file, in the form of the TZ environment variable, or that variable itself: tzfile(5),
 * tzset(3). JavaScript knows the offset of a time, but not what people call it.
 */
export function readZone(variable: string | undefined): Zone {
  const name = variable?.replace(/^:/, '');
  if (name === '') return { rules: [{ name: 'Universal', offset: 0 }], fixed: 0 };
  const line = lastLine(zoneFile(name));
  if (line !== undefined) return { rules: parseZoneRule(line), fixed: undefined };
  const rules = parseZoneRule(name ?? '');
  const [first] = rules;
  if (first !== undefined) return { rules, fixed: rules.length === 1 ? first.offset : undefined };
  // What is no zone is UTC under its own name.
  return { rules: [{ name: /^[A-Za-z]{3,}/.exec(name ?? '')?.[0] ?? 'UTC', offset: 0 }], fixed: 0 };
}

function zoneFile(name: string | undefined): string {
  if (name === undefined) return '/etc/localtime';
  return name.startsWith('/') ? name : `/usr/share/zoneinfo/${name}`;
}

/** undefined if there is no such file. */
function lastLine(file: string): string | undefined {
  try {
    return readFileSync(file, 'latin1').trimEnd().split('\n').at(-1) ?? '';
  } catch {
    return undefined;
  }
}

/** 'CET-1CEST,M3.5.0,M10.5.0/3': names, and hours west of Greenwich. */
export function parseZoneRule(text: string): readonly ZoneRule[] {
  const match = /^(<[^>]+>|[A-Za-z]+)([-+]?[\d:]+)(?:(<[^>]+>|[A-Za-z]+)([-+]?[\d:]+)?)?/.exec(text);
  if (match === null) return [];
  const [, standard = '', west = '', daylight, daylightWest] = match;
  const offset = 0 - minutesOf(west);
  const first = { name: bare(standard), offset };
  if (daylight === undefined) return [first];
  return [first, { name: bare(daylight), offset: daylightWest === undefined ? offset + 60 : 0 - minutesOf(daylightWest) }];
}

function minutesOf(text: string): number {
  const [hours = '0', minutes = '0'] = text.replace(/^[-+]/, '').split(':');
  return (text.startsWith('-') ? -1 : 1) * (Number(hours) * 60 + Number(minutes));
}

function bare(name: string): string {
  return name.replace(/[<>]/g, '');
}

const second = 1_000_000n;
const minute = 60n * second;
const hour = 60n * minute;
const day = 24n * hour;
const week = 7n * day;
const month = 2_629_800n * second;
const year = 12n * month;

/** '3h 34min ago', from a span of microseconds; 'left' instead for times to come. */
export function formatAgo(microseconds: bigint): string {
  return microseconds < 0n ? `${coarseSpan(-microseconds)} left` : `${coarseSpan(microseconds)} ago`;
}

/** The two largest units of it that matter. */
function coarseSpan(span: bigint): string {
  if (span >= year) return `${several(span / year, 'year')} ${several((span % year) / month, 'month')}`;
  if (span >= month) return `${several(span / month, 'month')} ${several((span % month) / day, 'day')}`;
  if (span >= week) return `${several(span / week, 'week')} ${several((span % week) / day, 'day')}`;
  if (span >= 2n * day) return `${span / day} days`;
  if (span >= day) return `1 day ${(span - day) / hour}h`;
  if (span >= hour) return `${span / hour}h ${(span % hour) / minute}min`;
  if (span >= 5n * minute) return `${span / minute}min`;
  if (span >= minute) return `${span / minute}min ${(span % minute) / second}s`;
  if (span >= second) return `${span / second}s`;
  return span >= 1000n ? `${span / 1000n}ms` : `${span}us`;
}

function several(count: bigint, unit: string): string {
  return `${count} ${unit}${count === 1n ? '' : 's'}`;
}
