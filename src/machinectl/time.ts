// Points in time and spans of it as systemd's tools write them: systemd.time(7), "Displaying time spans".
import { readFileSync } from 'node:fs';

const weekdays = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];

/** 'Sat 2026-11-21 12:46:42 UTC', in the time zone of this process; microseconds since 1970; '' for 0, which says unknown. */
export function formatTimestamp(microseconds: bigint): string {
  if (microseconds === 0n) return '';
  const date = new Date(Number(microseconds / 1000n));
  const two = (value: number): string => String(value).padStart(2, '0');
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  const clock = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  return `${weekdays[date.getDay()] ?? ''} ${day} ${clock} ${zoneName(-date.getTimezoneOffset())}`;
}

/** The abbreviation of the zone at an offset from UTC in minutes: 'CET', '-03'. */
function zoneName(offset: number): string {
  const zone = readZone();
  const found = zone.find((candidate) => candidate.offset === offset);
  return found?.name ?? numericZone(offset);
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

let rules: readonly ZoneRule[] | undefined;

/**
 * Standard time and daylight saving time, from the last line of the zone's file, in the form of the TZ environment
 * variable: tzfile(5), tzset(3). JavaScript knows the offset of a time, but not what people call it.
 */
function readZone(): readonly ZoneRule[] {
  rules ??= parseZoneRule(lastLine(zoneFile(process.env['TZ'])));
  return rules;
}

function zoneFile(zone: string | undefined): string {
  if (zone === undefined) return '/etc/localtime';
  const name = zone.replace(/^:/, '');
  return name.startsWith('/') ? name : `/usr/share/zoneinfo/${name}`;
}

function lastLine(file: string): string {
  try {
    return readFileSync(file, 'latin1').trimEnd().split('\n').at(-1) ?? '';
  } catch {
    return 'UTC0'; // where there is no such file, the time is UTC
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
