import { BoundedCache } from './bounded-cache.js';
import { WireError } from './errors.js';
import type { Variant } from './value.js';

// Types and their limits: D-Bus Specification, "Type System" and "Valid Signatures".

export type BasicCode = 'y' | 'b' | 'n' | 'q' | 'i' | 'u' | 'x' | 't' | 'd' | 's' | 'o' | 'g' | 'h';
export type Alignment = 1 | 2 | 4 | 8;

interface AnyType {
  readonly alignment: Alignment;
  /** Levels of containers in it: 0 for a basic type; a dictionary is an array of entries, so two. */
  readonly depth: number;
}

/** One single complete type. */
export type Type =
  | (AnyType & { readonly kind: 'basic'; readonly code: BasicCode })
  | (AnyType & { readonly kind: 'variant' })
  | (AnyType & { readonly kind: 'array'; readonly element: Type })
  | (AnyType & { readonly kind: 'dictionary'; readonly key: BasicCode; readonly value: Type })
  | (AnyType & { readonly kind: 'struct'; readonly members: readonly Type[] });

export interface Signature {
  readonly text: string;
  readonly types: readonly Type[];
  /** The text of each of `types`. */
  readonly parts: readonly string[];
}

interface BasicValues {
  y: number;
  b: boolean;
  n: number;
  q: number;
  i: number;
  u: number;
  x: bigint;
  t: bigint;
  d: number;
  s: string;
  o: string;
  g: string;
  /** The file descriptor itself, not its index in the message. */
  h: number;
  v: Variant;
}

/**
 * The first value of a signature and the signature's rest: FirstOf<'asu'> is [readonly string[], 'u']. undefined for a
 * malformed one, because `never` would match every pattern.
 */
type FirstOf<S extends string> = S extends `ay${infer Rest}`
  ? [Uint8Array, Rest]
  : S extends `a{${infer Key}${infer AfterKey}`
    ? FirstOf<AfterKey> extends [infer Value, `}${infer Rest}`]
      ? Key extends keyof BasicValues
        ? [ReadonlyMap<BasicValues[Key], Value>, Rest]
        : undefined
      : undefined
    : S extends `a${infer AfterArray}`
      ? FirstOf<AfterArray> extends [infer Element, infer Rest]
        ? [readonly Element[], Rest]
        : undefined
      : S extends `(${infer AfterOpening}`
        ? MembersOf<AfterOpening, []>
        : S extends `${infer Code}${infer Rest}`
          ? Code extends keyof BasicValues
            ? [BasicValues[Code], Rest]
            : undefined
          : undefined;

type MembersOf<S extends string, Members extends unknown[]> = S extends `)${infer Rest}`
  ? [Readonly<Members>, Rest]
  : FirstOf<S> extends [infer Member, infer Rest extends string]
    ? MembersOf<Rest, [...Members, Member]>
    : undefined;

/**
 * The JavaScript values of a signature, as a tuple: FromSignature<'sa(su)'> is
 * readonly [string, readonly (readonly [string, number])[]]. `never` for a malformed signature.
 */
export type FromSignature<S extends string, Values extends unknown[] = []> = string extends S
  ? readonly unknown[]
  : S extends ''
    ? Readonly<Values>
    : FirstOf<S> extends [infer Value, infer Rest extends string]
      ? FromSignature<Rest, [...Values, Value]>
      : never;

const maximumLength = 255;
const maximumArrayDepth = 32;
const maximumStructDepth = 32;
/** Of all containers, variants included, around any value of a message. */
export const maximumDepth = 64;

const basicAlignments: Readonly<Record<BasicCode, Alignment>> = {
  y: 1, b: 4, n: 2, q: 2, i: 4, u: 4, x: 8, t: 8, d: 8, s: 4, o: 4, g: 1, h: 4,
};

const cache = new BoundedCache<Signature>(256);

/** Zero or more complete types. Throws WireError. */
export function parseSignature(text: string): Signature {
  return cache.get(text) ?? cache.add(text, new Parser(text).parse());
}

/** The single complete types of a signature: 'sa(su)' is ['s', 'a(su)']. Throws WireError. */
export function splitSignature(text: string): readonly string[] {
  return parseSignature(text).parts;
}

export function isSignature(text: string): boolean {
  try {
    parseSignature(text);
    return true;
  } catch (error) {
    if (error instanceof WireError) return false;
    throw error;
  }
}

/** Whether it is exactly one complete type, as a variant needs. */
export function isSingleType(text: string): boolean {
  return isSignature(text) && parseSignature(text).types.length === 1;
}

class Parser {
  readonly #text: string;
  #position = 0;

  constructor(text: string) {
    if (text.length > maximumLength) throw new WireError(`A signature of ${text.length} characters is too long`);
    this.#text = text;
  }

  parse(): Signature {
    const types: Type[] = [];
    const parts: string[] = [];
    while (this.#position < this.#text.length) {
      const start = this.#position;
      types.push(this.#type(0, 0));
      parts.push(this.#text.slice(start, this.#position));
    }
    return { text: this.#text, types, parts };
  }

  #type(arrays: number, structs: number): Type {
    const code = this.#text[this.#position++];
    switch (code) {
      case 'v':
        return { kind: 'variant', alignment: 1, depth: 1 };
      case 'a':
        if (arrays === maximumArrayDepth) throw this.#error('nests arrays too deeply');
        if (this.#text[this.#position] === '{') return this.#dictionary(arrays + 1, structs);
        return this.#array(arrays + 1, structs);
      case '(':
        return this.#struct(arrays, structs + 1);
      default:
        return { kind: 'basic', code: this.#checkBasic(code), alignment: basicAlignments[code as BasicCode], depth: 0 };
    }
  }

  #array(arrays: number, structs: number): Type {
    const element = this.#type(arrays, structs);
    return { kind: 'array', element, alignment: 4, depth: element.depth + 1 };
  }

  /** "A DICT_ENTRY works exactly like a struct", so its braces count with the parentheses. */
  #dictionary(arrays: number, structs: number): Type {
    if (structs === maximumStructDepth) throw this.#error('nests structures too deeply');
    this.#position++;
    const key = this.#checkBasic(this.#text[this.#position++]);
    const value = this.#type(arrays, structs + 1);
    if (this.#text[this.#position++] !== '}') throw this.#error('has a dictionary entry that is not a key and a value');
    return { kind: 'dictionary', key, value, alignment: 4, depth: value.depth + 2 };
  }

  #struct(arrays: number, structs: number): Type {
    if (structs > maximumStructDepth) throw this.#error('nests structures too deeply');
    const members: Type[] = [];
    while (this.#text[this.#position] !== ')') members.push(this.#type(arrays, structs));
    if (members.length === 0) throw this.#error('has an empty structure');
    this.#position++;
    return { kind: 'struct', members, alignment: 8, depth: Math.max(...members.map((member) => member.depth)) + 1 };
  }

  #checkBasic(code: string | undefined): BasicCode {
    if (code === undefined) throw this.#error('ends in the middle of a type');
    if (!Object.hasOwn(basicAlignments, code)) throw this.#error(`has ${JSON.stringify(code)} where a type should be`);
    return code as BasicCode;
  }

  #error(problem: string): WireError {
    return new WireError(`Signature ${JSON.stringify(this.#text)} ${problem}`);
  }
}
