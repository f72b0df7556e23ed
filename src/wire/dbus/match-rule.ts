import { ValueError, WireError } from './errors.js';
import type { MessageType } from './message.js';
import { isBusName, isInterfaceName, isMemberName, isObjectPath, isUniqueName } from './names.js';
import type { ReceivedMessage } from './received.js';
import { splitSignature } from './signature.js';

/** What a message must have; what is left out does not matter. Source: D-Bus Specification, "Match Rules". */
export interface MatchRule {
  readonly type?: MessageType | undefined;
  readonly sender?: string | undefined;
  readonly interface?: string | undefined;
  readonly member?: string | undefined;
  readonly path?: string | undefined;
  /** This path or one below it. */
  readonly pathNamespace?: string | undefined;
  readonly destination?: string | undefined;
  /** Strings by position, 0 … 63. */
  readonly args?: ReadonlyMap<number, string> | undefined;
  /** Strings or object paths by position: equal, or one of the two ends with '/' and begins the other. */
  readonly argPaths?: ReadonlyMap<number, string> | undefined;
  /** The first argument is this name or one below it. */
  readonly arg0namespace?: string | undefined;
}

const typeWords: Readonly<Record<MessageType, string>> = {
  call: 'method_call',
  return: 'method_return',
  error: 'error',
  signal: 'signal',
};
const maximumArgument = 63;

/** The text that org.freedesktop.DBus.AddMatch takes. Throws ValueError for a rule that no bus would take. */
export function formatMatchRule(rule: MatchRule): string {
  const pairs = pairsOf(rule);
  const text = pairs.map(([key, value]) => `${key}=${quote(value)}`).join(',');
  try {
    parseMatchRule(text);
  } catch (error) {
    if (error instanceof WireError) throw new ValueError(error.message, { cause: error });
    throw error;
  }
  return text;
}

function pairsOf(rule: MatchRule): readonly (readonly [string, string])[] {
  const pairs: (readonly [string, string])[] = [];
  const add = (key: string, value: string | undefined): void => {
    if (value !== undefined) pairs.push([key, value]);
  };
  add('type', rule.type === undefined ? undefined : typeWords[rule.type]);
  add('sender', rule.sender);
  add('interface', rule.interface);
  add('member', rule.member);
  add('path', rule.path);
  add('path_namespace', rule.pathNamespace);
  add('destination', rule.destination);
  for (const [position, value] of rule.args ?? []) add(`arg${position}`, value);
  for (const [position, value] of rule.argPaths ?? []) add(`arg${position}path`, value);
  add('arg0namespace', rule.arg0namespace);
  return pairs;
}

/** An apostrophe cannot stand between apostrophes, so it ends them, stands escaped, and they begin again. */
function quote(value: string): string {
  return `'${value.replaceAll("'", String.raw`'\''`)}'`;
}

/** Throws WireError. */
export function parseMatchRule(text: string): MatchRule {
  const args = new Map<number, string>();
  const argPaths = new Map<number, string>();
  const plain = new Map<string, string>();
  for (const [key, value] of splitPairs(text)) {
    const argument = /^arg(\d{1,2})(path)?$/.exec(key);
    if (argument === null) {
      addOnce(plain, key, value, key);
      continue;
    }
    const position = Number(argument[1]);
    if (position > maximumArgument) throw new WireError(`A match rule has ${key}, beyond arg${maximumArgument}`);
    addOnce(argument[2] === undefined ? args : argPaths, position, value, key);
  }
  const rule = plainRule(plain);
  checkCombinations({ ...rule, args, argPaths });
  return {
    ...rule,
    ...(args.size > 0 && { args }),
    ...(argPaths.size > 0 && { argPaths }),
  };
}

/** The specification forbids the first; dbus-daemon takes no rule that says two things of one argument. */
function checkCombinations({ path, pathNamespace, args, argPaths, arg0namespace }: MatchRule): void {
  if (path !== undefined && pathNamespace !== undefined) {
    throw new WireError('A match rule has both path and path_namespace');
  }
  const positions = [...(args?.keys() ?? []), ...(argPaths?.keys() ?? [])];
  if (arg0namespace !== undefined) positions.push(0);
  if (new Set(positions).size < positions.length) {
    throw new WireError('A match rule has two conditions for one argument');
  }
}

function addOnce<Key>(map: Map<Key, string>, key: Key, value: string, shown: string): void {
  if (map.has(key)) throw new WireError(`A match rule has ${shown} twice`);
  map.set(key, value);
}

function plainRule(pairs: ReadonlyMap<string, string>): MatchRule {
  const rule: { -readonly [Key in keyof MatchRule]: MatchRule[Key] } = {};
  for (const [key, value] of pairs) {
    switch (key) {
      case 'type':
        rule.type = parseType(value);
        break;
      case 'sender':
        rule.sender = check(key, value, isBusName);
        break;
      case 'interface':
        rule.interface = check(key, value, isInterfaceName);
        break;
      case 'member':
        rule.member = check(key, value, isMemberName);
        break;
      case 'path':
        rule.path = check(key, value, isObjectPath);
        break;
      case 'path_namespace':
        rule.pathNamespace = check(key, value, isObjectPath);
        break;
      case 'destination':
        rule.destination = check(key, value, isBusName);
        break;
      case 'arg0namespace':
        rule.arg0namespace = check(key, value, isNamespace);
        break;
      default:
        throw new WireError(`A match rule has the unknown key ${JSON.stringify(key)}`);
    }
  }
  return rule;
}

function parseType(value: string): MessageType {
  for (const [type, word] of Object.entries(typeWords)) if (word === value) return type as MessageType;
  throw new WireError(`A match rule has the unknown type ${JSON.stringify(value)}`);
}

function check(key: string, value: string, isValid: (text: string) => boolean): string {
  if (!isValid(value)) throw new WireError(`A match rule has the invalid ${key} ${JSON.stringify(value)}`);
  return value;
}

/** Like a bus name, but one element is enough: 'org'. */
function isNamespace(value: string): boolean {
  return isBusName(value.includes('.') ? value : `${value}.x`);
}

/**
 * key=value,key=value: apostrophes quote, and inside them a backslash is itself; outside, \' is an apostrophe.
 */
function* splitPairs(text: string): Generator<readonly [string, string]> {
  let position = 0;
  while (position < text.length) {
    const key = /\s*([a-z0-9_]+)=/y;
    key.lastIndex = position;
    const found = key.exec(text);
    if (found === null) throw new WireError(`A match rule has no key=value at character ${position}`);
    const value = readValue(text, position + found[0].length);
    position = value.end;
    yield [found[1]!, value.text];
  }
}

/** The value at `start`, and where the next pair begins. */
function readValue(text: string, start: number): { readonly text: string; readonly end: number } {
  let value = '';
  let quoted = false;
  for (let position = start; position < text.length; position++) {
    const character = text[position]!;
    if (character === "'") {
      quoted = !quoted;
    } else if (quoted) {
      value += character;
    } else if (character === ',') {
      return { text: value, end: position + 1 };
    } else if (character === '\\' && text[position + 1] === "'") {
      value += "'";
      position++;
    } else {
      value += character;
    }
  }
  if (quoted) throw new WireError('A match rule has an apostrophe without its partner');
  return { text: value, end: text.length };
}

/**
 * Whether the message is one that the rule asks for. Messages carry unique names: `ownerOf` tells who owns a well-known
 * name in the rule; without an owner, the rule matches nothing. Throws WireError if it needs a body that is malformed.
 */
export function matches(
  rule: MatchRule,
  message: ReceivedMessage,
  ownerOf: (wellKnownName: string) => string | undefined,
): boolean {
  return matchesHeader(rule, message) && matchesNames(rule, message, ownerOf) && matchesBody(rule, message);
}

function matchesHeader(rule: MatchRule, message: ReceivedMessage): boolean {
  if (rule.type !== undefined && rule.type !== message.messageType) return false;
  const addressed = message.messageType === 'call' || message.messageType === 'signal' ? message : undefined;
  if (rule.interface !== undefined && rule.interface !== addressed?.interface) return false;
  if (rule.member !== undefined && rule.member !== addressed?.member) return false;
  if (rule.path !== undefined && rule.path !== addressed?.path) return false;
  return rule.pathNamespace === undefined || isPathWithin(addressed?.path, rule.pathNamespace);
}

function isPathWithin(path: string | undefined, namespace: string): boolean {
  if (path === undefined) return false;
  return path === namespace || namespace === '/' || path.startsWith(`${namespace}/`);
}

function matchesNames(
  rule: MatchRule,
  message: ReceivedMessage,
  ownerOf: (wellKnownName: string) => string | undefined,
): boolean {
  const isNamed = (wanted: string | undefined, actual: string | undefined): boolean => {
    if (wanted === undefined || wanted === actual) return true;
    return !isUniqueName(wanted) && actual !== undefined && ownerOf(wanted) === actual;
  };
  return isNamed(rule.sender, message.sender) && isNamed(rule.destination, message.destination);
}

function matchesBody(rule: MatchRule, message: ReceivedMessage): boolean {
  if (rule.args === undefined && rule.argPaths === undefined && rule.arg0namespace === undefined) return true;
  const types = splitSignature(message.signature);
  const argument = (position: number, allowed: string): string | undefined =>
    allowed.includes(types[position] ?? 'none') ? (message.body()[position] as string) : undefined;
  for (const [position, wanted] of rule.args ?? []) if (argument(position, 's') !== wanted) return false;
  for (const [position, wanted] of rule.argPaths ?? []) {
    if (!isPathRelated(argument(position, 'so'), wanted)) return false;
  }
  return rule.arg0namespace === undefined || isNameWithin(argument(0, 's'), rule.arg0namespace);
}

function isPathRelated(actual: string | undefined, wanted: string): boolean {
  if (actual === undefined) return false;
  if (actual === wanted) return true;
  return (wanted.endsWith('/') && actual.startsWith(wanted)) || (actual.endsWith('/') && wanted.startsWith(actual));
}

function isNameWithin(actual: string | undefined, namespace: string): boolean {
  return actual !== undefined && (actual === namespace || actual.startsWith(`${namespace}.`));
}
