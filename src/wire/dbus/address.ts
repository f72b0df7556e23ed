import { WireError } from './errors.js';

export type ServerAddress =
  | { readonly transport: 'unix'; readonly path: string; readonly guid: string | undefined }
  /** A name in Linux's abstract socket namespace, without its leading NUL. */
  | { readonly transport: 'unix-abstract'; readonly name: string; readonly guid: string | undefined }
  /** A program whose standard input and output are the way to the bus. */
  | { readonly transport: 'unixexec'; readonly path: string; readonly arguments: readonly string[]; readonly guid: string | undefined }
  /** Well formed, but nothing this project connects to: another transport, or an address for listening only. */
  | { readonly transport: 'unsupported'; readonly text: string };

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * 'unix:path=/run/dbus/system_bus_socket;unix:abstract=/tmp/x,guid=…': addresses to be tried in turn. Format: D-Bus
 * Specification, "Server Addresses". Throws WireError.
 */
export function parseAddresses(text: string): readonly ServerAddress[] {
  const entries = text.split(';').filter((entry) => entry !== '');
  if (entries.length === 0) throw new WireError('A bus address is empty');
  return entries.map(parseAddress);
}

function parseAddress(text: string): ServerAddress {
  const colon = text.indexOf(':');
  if (colon < 1) throw new WireError(`Bus address ${JSON.stringify(text)} names no transport`);
  const transport = text.slice(0, colon);
  const options = parseOptions(text, text.slice(colon + 1));
  const guid = options.get('guid');
  const path = options.get('path');
  const name = options.get('abstract');
  if (transport === 'unix' && path !== undefined && name !== undefined) {
    throw new WireError(`Bus address ${JSON.stringify(text)} has both a path and an abstract name`);
  }
  if (transport === 'unix' && path !== undefined) return { transport: 'unix', path, guid };
  if (transport === 'unix' && name !== undefined) return { transport: 'unix-abstract', name, guid };
  if (transport === 'unixexec' && path !== undefined) return { transport: 'unixexec', path, arguments: readArguments(options), guid };
  return { transport: 'unsupported', text };
}

/** The address of a program that leads to a bus; found in PATH if it has no slash. */
export function formatProgramAddress(path: string, parameters: readonly string[]): string {
  const options = parameters.map((parameter, index) => `,argv${index + 1}=${escape(parameter)}`);
  return `unixexec:path=${escape(path)}${options.join('')}`;
}

/** argv1, argv2 … as long as they go. argv0 is the path's own name. */
function readArguments(options: ReadonlyMap<string, string>): readonly string[] {
  const parameters: string[] = [];
  for (;;) {
    const parameter = options.get(`argv${parameters.length + 1}`);
    if (parameter === undefined) return parameters;
    parameters.push(parameter);
  }
}

function escape(value: string): string {
  const bytes = new TextEncoder().encode(value);
  const characters = Array.from(bytes, (byte) => {
    const character = String.fromCharCode(byte);
    return /[-0-9A-Za-z_/.\\*]/.test(character) ? character : `%${byte.toString(16).padStart(2, '0')}`;
  });
  return characters.join('');
}

function parseOptions(address: string, text: string): ReadonlyMap<string, string> {
  const options = new Map<string, string>();
  for (const option of text === '' ? [] : text.split(',')) {
    const equals = option.indexOf('=');
    if (equals < 1) throw new WireError(`Bus address ${JSON.stringify(address)} has an option that is not key=value`);
    const key = option.slice(0, equals);
    if (options.has(key)) throw new WireError(`Bus address ${JSON.stringify(address)} has the option '${key}' twice`);
    const value = unescape(address, option.slice(equals + 1));
    // Programs may well have empty arguments.
    if (value === '' && !/^argv\d+$/.test(key)) throw unusable(address);
    options.set(key, value);
  }
  return options;
}

function unescape(address: string, value: string): string {
  const bytes: number[] = [];
  for (let index = 0; index < value.length; index++) {
    const escape = /^%([0-9A-Fa-f]{2})/.exec(value.slice(index, index + 3));
    if (escape !== null) {
      bytes.push(Number.parseInt(escape[1]!, 16));
      index += 2;
    } else if (/[-0-9A-Za-z_/.\\*]/.test(value[index]!)) {
      bytes.push(value.charCodeAt(index));
    } else {
      throw new WireError(`Bus address ${JSON.stringify(address)} has a character that should be escaped with %`);
    }
  }
  if (bytes.includes(0)) throw unusable(address);
  try {
    return decoder.decode(Uint8Array.from(bytes));
  } catch (error) {
    throw new WireError(`Bus address ${JSON.stringify(address)} is not valid UTF-8`, { cause: error });
  }
}

function unusable(address: string): WireError {
  return new WireError(`Bus address ${JSON.stringify(address)} has an unusable value`);
}
