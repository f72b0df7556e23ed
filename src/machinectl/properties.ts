// Properties as `show` prints them: NAME=VALUE, in the order of their declaration.
import type { InterfaceDeclaration } from '../contract/dbus/declare.js';
import type { JsonValue } from './json.js';
import type { Output } from './output.js';
import type { Settings } from './settings.js';
import { formatTimestamp } from './time.js';

type Values = Readonly<Record<string, unknown>>;

/** Properties that are microseconds since 1970, and that people want to read. */
const timestamps = new Set(['Timestamp', 'CreationTimestamp', 'ModificationTimestamp']);

const limits = new Set(['Limit', 'LimitExclusive']);
const unlimited = 0xffff_ffff_ffff_ffffn;

/** Prints those that were asked for. Without a request, empty ones only with --all. */
export function printProperties(declaration: InterfaceDeclaration, values: Values, settings: Settings, output: Output): void {
  const withEmpty = settings.all || settings.properties.length > 0;
  for (const name of selectNames(declaration, values, settings)) {
    const text = formatValue(name, values[name]);
    const isEmpty = text === '' || text === undefined;
    if (isEmpty && !withEmpty) continue;
    if (text === undefined) output.print(`${name}=[unprintable]\n`);
    else output.print(settings.valueOnly ? `${text}\n` : `${name}=${text}\n`);
  }
}

/** The same as an object, nothing left out for being empty. */
export function propertiesAsJson(declaration: InterfaceDeclaration, values: Values, settings: Settings): Readonly<Record<string, JsonValue>> {
  const names = selectNames(declaration, values, settings);
  return Object.fromEntries(names.map((name) => [name, jsonValue(values[name])]));
}

function selectNames(declaration: InterfaceDeclaration, values: Values, settings: Settings): readonly string[] {
  const known = Object.keys(declaration.properties).filter((name) => values[name] !== undefined);
  return settings.properties.length === 0 ? known : known.filter((name) => settings.properties.includes(name));
}

/** undefined for what has no text form. */
function formatValue(name: string, value: unknown): string | undefined {
  if (typeof value === 'bigint' && timestamps.has(name)) return formatTimestamp(value);
  if (value === unlimited && limits.has(name)) return 'infinity';
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  if (isBytes(name, value)) return hexadecimal(value);
  return Array.isArray(value) ? undefined : String(value);
}

function jsonValue(value: unknown): JsonValue {
  if (value instanceof Uint8Array) return hexadecimal(value);
  if (Array.isArray(value)) return value.map(jsonValue);
  return value as JsonValue;
}

function isBytes(name: string, value: unknown): value is Uint8Array | readonly number[] {
  return value instanceof Uint8Array || (name === 'Id' && Array.isArray(value));
}

export function hexadecimal(bytes: Uint8Array | readonly number[]): string {
  return Buffer.from(bytes).toString('hex');
}
