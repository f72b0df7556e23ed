/**
 * JSON as Varlink peers of the systemd kind speak it: RFC 8259, and stricter. A peer that gets a message which the
 * parser here refuses closes the connection; so nothing is ever written that it would refuse.
 *
 * Beyond JSON.parse and JSON.stringify: 64-bit integers are exact, a key that is there twice is noticed, nesting is
 * limited, and strings hold neither NUL nor anything that is not a Unicode character.
 */
export type JsonValue = null | boolean | number | bigint | string | JsonValue[] | JsonObject;

/** The first key that the text had twice in an object; the object holds the first of the two values. */
export const repeatedKey = Symbol('repeated key');

export interface JsonObject {
  [key: string]: JsonValue;
  [repeatedKey]?: string;
}

export function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The text is not JSON, or breaks one of the further rules. */
export class JsonError extends Error {
  override readonly name = 'JsonError';
}

/** Objects and arrays within one another. systemd has the same limit. */
export const maximumDepth = 2048;

/**
 * The value of a JSON text. An integer that a number cannot hold exactly is a bigint if it fits into 64 bits, signed
 * or not; other numbers are numbers, Infinity beyond their range.
 * @throws {JsonError}
 */
export function parseJson(text: string): JsonValue {
  return new Parser(text).parse();
}

const quote = 0x22;
const comma = 0x2c;
const minus = 0x2d;
const zero = 0x30;
const nine = 0x39;
const colon = 0x3a;
const openBracket = 0x5b;
const backslash = 0x5c;
const closeBracket = 0x5d;
const openBrace = 0x7b;
const closeBrace = 0x7d;

// DEL may be written as an escape only; noncharacters such as U+FFFE not at all.
const perhapsForbidden = /[\x7f\ud800-\uffff]/;
const forbidden = /[\x7f\p{Noncharacter_Code_Point}\p{Surrogate}]/u;
const forbiddenByEscape = /[\0\p{Noncharacter_Code_Point}\p{Surrogate}]/u;
const numberToken = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const literals: readonly (readonly [string, null | boolean])[] = [['null', null], ['true', true], ['false', false]];

class Parser {
  readonly #text: string;
  #position = 0;
  #depth = 0;

  constructor(text: string) {
    this.#text = text;
  }

  parse(): JsonValue {
    if (perhapsForbidden.test(this.#text) && forbidden.test(this.#text)) throw new JsonError('A character that may not be there');
    const value = this.#value();
    this.#skipBlanks();
    if (this.#position < this.#text.length) throw this.#unexpected();
    return value;
  }

  #value(): JsonValue {
    const code = this.#skipBlanks();
    if (code === quote) return this.#string();
    if (code === openBrace) return this.#object();
    if (code === openBracket) return this.#array();
    if (code === minus || (code >= zero && code <= nine)) return this.#number();
    return this.#literal();
  }

  #object(): JsonObject {
    this.#enter();
    const object: JsonObject = {};
    if (this.#skipBlanks() === closeBrace) return this.#leave(object);
    for (;;) {
      if (this.#skipBlanks() !== quote) throw this.#unexpected();
      const key = this.#string();
      if (this.#skipBlanks() !== colon) throw this.#unexpected();
      this.#position++;
      addMember(object, key, this.#value());
      const next = this.#skipBlanks();
      if (next === closeBrace) return this.#leave(object);
      if (next !== comma) throw this.#unexpected();
      this.#position++;
    }
  }

  #array(): JsonValue[] {
    this.#enter();
    const array: JsonValue[] = [];
    if (this.#skipBlanks() === closeBracket) return this.#leave(array);
    for (;;) {
      array.push(this.#value());
      const next = this.#skipBlanks();
      if (next === closeBracket) return this.#leave(array);
      if (next !== comma) throw this.#unexpected();
      this.#position++;
    }
  }

  #enter(): void {
    this.#position++;
    if (++this.#depth > maximumDepth) throw new JsonError(`More than ${maximumDepth} levels`);
  }

  #leave<T>(value: T): T {
    this.#position++;
    this.#depth--;
    return value;
  }

  #string(): string {
    const start = this.#position + 1;
    let position = start;
    let escapes = false;
    for (;;) {
      const code = this.#text.charCodeAt(position);
      if (code === quote) break;
      if (code === backslash) {
        escapes = true;
        position++;
      } else if (!(code >= 0x20)) {
        throw new JsonError(`A string at ${start} is not ended, or has a control character`); // NaN: the text is over
      }
      position++;
    }
    this.#position = position + 1;
    return escapes ? unescape(this.#text.slice(start - 1, position + 1)) : this.#text.slice(start, position);
  }

  #number(): number | bigint {
    numberToken.lastIndex = this.#position;
    const token = numberToken.exec(this.#text)?.[0];
    if (token === undefined) throw this.#unexpected();
    this.#position += token.length;
    // 15 digits are exact in any case, and no 64-bit integer has more than 20 characters
    if (token.length <= 15 || token.length > 20 || /[.eE]/.test(token)) return Number(token);
    const integer = BigInt(token);
    if (Number.isSafeInteger(Number(integer))) return Number(integer);
    const in64Bits = BigInt.asUintN(64, integer) === integer || BigInt.asIntN(64, integer) === integer;
    return in64Bits ? integer : Number(integer);
  }

  #literal(): null | boolean {
    for (const [word, value] of literals) {
      if (!this.#text.startsWith(word, this.#position)) continue;
      this.#position += word.length;
      return value;
    }
    throw this.#unexpected();
  }

  /** The code of the next character that is not blank, which stays the next one; NaN at the end. */
  #skipBlanks(): number {
    for (;;) {
      const code = this.#text.charCodeAt(this.#position);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return code;
      this.#position++;
    }
  }

  #unexpected(): JsonError {
    if (this.#position >= this.#text.length) return new JsonError('The text ends too early');
    return new JsonError(`Unexpected character at ${this.#position}`);
  }
}

function addMember(object: JsonObject, key: string, value: JsonValue): void {
  if (Object.hasOwn(object, key)) {
    object[repeatedKey] ??= key;
  } else if (key === '__proto__') {
    // an assignment would set the prototype
    Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true });
  } else {
    object[key] = value;
  }
}

/** The meaning of a string token with escapes, quotes included. */
function unescape(token: string): string {
  let string: string;
  try {
    string = JSON.parse(token) as string;
  } catch (error) {
    throw new JsonError('An escape that does not exist', { cause: error });
  }
  if (forbiddenByEscape.test(string)) throw new JsonError('An escaped character that may not be there');
  return string;
}

/** What can be written: as JsonValue, but undefined members are left out and arrays and objects may be readonly. */
export type Writable = null | boolean | number | bigint | string | undefined | readonly Writable[] | WritableObject | ReadonlyMap<string, Writable>;
export interface WritableObject {
  readonly [key: string]: Writable;
}

/**
 * JSON without blanks. Members that are undefined are left out; a Map is an object. Characters that the reader would
 * refuse become U+FFFD: one odd byte in a guest's os-release must not cost the reader its connection.
 */
export function stringifyJson(value: Writable): string {
  if (typeof value === 'string') return stringifyString(value);
  if (typeof value === 'number') return Number.isFinite(value) ? String(value) : 'null';
  if (typeof value === 'bigint') return stringifyInteger(value);
  if (typeof value === 'boolean') return String(value);
  if (value === undefined || value === null) return 'null';
  return stringifyComposite(value);
}

/** The texts of objects that do not change: '' until one has been written. */
const unchanging = new WeakMap<object, string>();

/** Promises that neither this object nor anything in it ever changes, so that its text is made once. */
export function markUnchanging<T extends object>(object: T): T {
  unchanging.set(object, '');
  return object;
}

type Composite = readonly Writable[] | WritableObject | ReadonlyMap<string, Writable>;

function stringifyComposite(value: Composite): string {
  const known = unchanging.get(value);
  if (known === undefined) return stringifyMembers(value);
  if (known !== '') return known;
  // By way of its bytes: V8 would keep a chain of the pieces, and walk along it every time.
  const text = Buffer.from(stringifyMembers(value)).toString();
  unchanging.set(value, text);
  return text;
}

function stringifyMembers(value: Composite): string {
  if (Array.isArray(value)) return stringifyArray(value);
  if (value instanceof Map) return stringifyObject(Object.fromEntries(value) as WritableObject);
  return stringifyObject(value as WritableObject);
}

function stringifyArray(values: readonly Writable[]): string {
  let text = '[';
  for (let index = 0; index < values.length; index++) {
    if (index > 0) text += ',';
    text += stringifyJson(values[index]);
  }
  return `${text}]`;
}

function stringifyObject(object: WritableObject): string {
  let text = '{';
  for (const key in object) {
    const value = object[key];
    if (value === undefined) continue;
    text += text.length > 1 ? `,${memberHead(key)}${stringifyJson(value)}` : `${memberHead(key)}${stringifyJson(value)}`;
  }
  return `${text}}`;
}

// Nearly all keys are field names of declared interfaces; the limit is for those that are not.
const memberHeads = new Map<string, string>();
const maximumMemberHeads = 1000;

function memberHead(key: string): string {
  const known = memberHeads.get(key);
  if (known !== undefined) return known;
  const head = `${stringifyString(key)}:`;
  if (memberHeads.size < maximumMemberHeads) memberHeads.set(key, head);
  return head;
}

/** A number is printed several times faster than a bigint. */
function stringifyInteger(integer: bigint): string {
  const number = Number(integer);
  return String(Number.isSafeInteger(number) ? number : integer);
}

const needsCare = /[\0-\x1f"\\\x7f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]/;
const unwritable = /[\0\p{Noncharacter_Code_Point}\p{Surrogate}]/gu;

function stringifyString(string: string): string {
  if (!needsCare.test(string)) return `"${string}"`;
  return JSON.stringify(string.replace(unwritable, '\ufffd')).replaceAll('\x7f', '\\u007f');
}
