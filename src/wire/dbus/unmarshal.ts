import { BoundedCache } from './bounded-cache.js';
import { WireError } from './errors.js';
import { maximumArrayLength } from './limits.js';
import { isObjectPathIn } from './names.js';
import { maximumDepth, parseSignature } from './signature.js';
import type { BasicCode, Type } from './signature.js';
import type { Variant } from './value.js';

/** Reads one value of the type it was compiled for. Throws WireError. */
type Unmarshaller = (reader: Reader) => unknown;

/** Up to here a loop over the bytes is quicker than calls into Node's native search and decoder. */
const shortString = 64;
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Reads values one after another from `bytes` up to `end`, aligned to where it began. Every read checks bounds. */
export class Reader {
  readonly bytes: Buffer;
  readonly littleEndian: boolean;
  readonly fds: readonly number[];
  /** Containers around the value being read, up to the innermost variant. */
  depth = 0;
  position: number;
  readonly #origin: number;
  readonly #end: number;

  constructor(bytes: Buffer, start: number, end: number, littleEndian: boolean, fds: readonly number[]) {
    this.bytes = bytes;
    this.position = start;
    this.#origin = start;
    this.#end = end;
    this.littleEndian = littleEndian;
    this.fds = fds;
  }

  get atEnd(): boolean {
    return this.position === this.#end;
  }

  /** Skips padding to a multiple of 1, 2, 4 or 8; it must be zero. */
  align(alignment: number): void {
    const padding = (this.#origin - this.position) & (alignment - 1);
    if (padding === 0) return;
    this.need(padding);
    for (let left = padding; left > 0; left--) {
      if (this.bytes[this.position++] !== 0) throw new WireError('Padding is not zero');
    }
  }

  /** Throws unless `count` bytes more are there. */
  need(count: number): void {
    if (count > this.#end - this.position) throw new WireError('A value ends beyond the end of the message');
  }

  byte(): number {
    this.need(1);
    return this.bytes[this.position++]!;
  }

  uint32(): number {
    this.align(4);
    this.need(4);
    const { position } = this;
    this.position += 4;
    return this.littleEndian ? this.bytes.readUInt32LE(position) : this.bytes.readUInt32BE(position);
  }

  string(): string {
    const length = this.uint32();
    const start = this.position;
    this.#skipTerminated(length);
    return length <= shortString ? this.#shortText(start, start + length) : this.#anyText(start, start + length);
  }

  objectPath(): string {
    const length = this.uint32();
    const start = this.position;
    this.#skipTerminated(length);
    if (!isObjectPathIn(this.bytes, start, start + length)) throw new WireError('An object path is malformed');
    return this.bytes.toString('latin1', start, start + length);
  }

  /** Valid, of zero or more complete types. */
  signature(): string {
    const length = this.byte();
    const start = this.position;
    this.#skipTerminated(length);
    const text = this.bytes.toString('latin1', start, start + length);
    parseSignature(text);
    return text;
  }

  #skipTerminated(length: number): void {
    this.need(length + 1);
    this.position += length + 1;
    if (this.bytes[this.position - 1] !== 0) throw new WireError('A string does not end with NUL');
  }

  #shortText(start: number, end: number): string {
    for (let position = start; position < end; position++) {
      const byte = this.bytes[position]!;
      if (byte === 0 || byte >= 0x80) return this.#anyText(start, end);
    }
    return this.bytes.toString('latin1', start, end);
  }

  #anyText(start: number, end: number): string {
    // The NUL at `end` stops the search.
    if (this.bytes.indexOf(0, start) !== end) throw new WireError('A string has a NUL in it');
    try {
      return decoder.decode(this.bytes.subarray(start, end));
    } catch (error) {
      throw new WireError('A string is not valid UTF-8', { cause: error });
    }
  }
}

/**
 * The values of a body, which begins at a multiple of 8 bytes in its message. `fds` are the message's descriptors.
 * Throws WireError, also for bytes left over.
 */
export function unmarshal(
  signature: string,
  bytes: Uint8Array,
  littleEndian = true,
  fds: readonly number[] = [],
): readonly unknown[] {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  return readValues(new Reader(buffer, 0, buffer.length, littleEndian, fds), signature);
}

/** All that the reader has, which must be exactly the values of the signature. Throws WireError. */
export function readValues(reader: Reader, signature: string): readonly unknown[] {
  const { unmarshallers } = compiled(signature);
  const values = new Array<unknown>(unmarshallers.length);
  for (let index = 0; index < values.length; index++) values[index] = unmarshallers[index]!(reader);
  if (!reader.atEnd) throw new WireError('The message has more bytes than its signature');
  return values;
}

interface CompiledSignature {
  readonly unmarshallers: readonly Unmarshaller[];
  /** Of its most deeply nested type. */
  readonly depth: number;
}

const cache = new BoundedCache<CompiledSignature>(256);

function compiled(signature: string): CompiledSignature {
  return cache.get(signature) ?? cache.add(signature, compileSignature(signature));
}

function compileSignature(signature: string): CompiledSignature {
  const { types } = parseSignature(signature);
  return {
    unmarshallers: types.map((type) => compile(type, 0)),
    depth: Math.max(0, ...types.map((type) => type.depth)),
  };
}

/** `depth` counts the containers of the same signature around the type. */
function compile(type: Type, depth: number): Unmarshaller {
  switch (type.kind) {
    case 'basic':
      return basicUnmarshallers[type.code];
    case 'variant':
      return (reader) => readVariant(reader, depth + 1);
    case 'array':
      return compileArray(type.element, depth + 1);
    case 'dictionary':
      return compileDictionary(type.key, type.value, depth + 2);
    case 'struct':
      return compileStruct(type.members, depth + 1);
  }
}

function compileArray(element: Type, depth: number): Unmarshaller {
  if (element.kind === 'basic' && element.code === 'y') return readByteArray;
  const { alignment } = element;
  const unmarshalElement = compile(element, depth);
  return (reader) => {
    const end = beginArray(reader, alignment);
    const elements: unknown[] = [];
    while (reader.position < end) elements.push(unmarshalElement(reader));
    endArray(reader, end);
    return elements;
  };
}

/** The specification leaves open what a repeated key means; here its last value counts. */
function compileDictionary(key: BasicCode, value: Type, depth: number): Unmarshaller {
  const unmarshalKey = basicUnmarshallers[key];
  const unmarshalValue = compile(value, depth);
  return (reader) => {
    const end = beginArray(reader, 8);
    const dictionary = new Map<unknown, unknown>();
    while (reader.position < end) {
      reader.align(8);
      dictionary.set(unmarshalKey(reader), unmarshalValue(reader));
    }
    endArray(reader, end);
    return dictionary;
  };
}

function compileStruct(types: readonly Type[], depth: number): Unmarshaller {
  const unmarshallers = types.map((type) => compile(type, depth));
  return (reader) => {
    reader.align(8);
    const members = new Array<unknown>(unmarshallers.length);
    for (let index = 0; index < members.length; index++) members[index] = unmarshallers[index]!(reader);
    return members;
  };
}

/** Moves to the first element and returns where the last one must end. */
function beginArray(reader: Reader, alignment: number): number {
  const length = reader.uint32();
  if (length > maximumArrayLength) throw new WireError(`An array of ${length} bytes is too long`);
  reader.align(alignment);
  reader.need(length);
  return reader.position + length;
}

function endArray(reader: Reader, end: number): void {
  if (reader.position !== end) throw new WireError('The last element of an array ends beyond the end of the array');
}

/** A copy, so that sixteen bytes do not keep a whole message in memory. */
function readByteArray(reader: Reader): Uint8Array {
  const end = beginArray(reader, 1);
  const copy = new Uint8Array(end - reader.position);
  reader.bytes.copy(copy, 0, reader.position, end);
  reader.position = end;
  return copy;
}

/** `depth` counts the containers of the same signature around the value, the variant included. */
export function readVariant(reader: Reader, depth: number): Variant {
  const signature = reader.signature();
  const { unmarshallers, depth: contentDepth } = compiled(signature);
  if (unmarshallers.length !== 1) throw new WireError('A variant does not hold exactly one complete type');
  const outerDepth = reader.depth;
  reader.depth += depth;
  if (reader.depth + contentDepth > maximumDepth) throw new WireError('Variants and containers are nested too deeply');
  const value = unmarshallers[0]!(reader);
  reader.depth = outerDepth;
  return { signature, value };
}

const basicUnmarshallers: Readonly<Record<BasicCode, Unmarshaller>> = {
  y: (reader) => reader.byte(),
  b: readBoolean,
  n: (reader) => (readUint16(reader) << 16) >> 16,
  q: readUint16,
  i: (reader) => reader.uint32() | 0,
  u: (reader) => reader.uint32(),
  x: (reader) => BigInt.asIntN(64, readUint64(reader)),
  t: readUint64,
  d: readDouble,
  s: (reader) => reader.string(),
  o: (reader) => reader.objectPath(),
  g: (reader) => reader.signature(),
  h: readFd,
};

function readBoolean(reader: Reader): boolean {
  const value = reader.uint32();
  if (value > 1) throw new WireError(`A boolean is ${value}, neither 0 nor 1`);
  return value === 1;
}

function readUint16(reader: Reader): number {
  reader.align(2);
  reader.need(2);
  const { position } = reader;
  reader.position += 2;
  return reader.littleEndian ? reader.bytes.readUInt16LE(position) : reader.bytes.readUInt16BE(position);
}

function readUint64(reader: Reader): bigint {
  reader.align(8);
  reader.need(8);
  const { position } = reader;
  reader.position += 8;
  return reader.littleEndian ? reader.bytes.readBigUInt64LE(position) : reader.bytes.readBigUInt64BE(position);
}

function readDouble(reader: Reader): number {
  reader.align(8);
  reader.need(8);
  const { position } = reader;
  reader.position += 8;
  return reader.littleEndian ? reader.bytes.readDoubleLE(position) : reader.bytes.readDoubleBE(position);
}

function readFd(reader: Reader): number {
  const index = reader.uint32();
  const fd = reader.fds[index];
  if (fd === undefined) throw new WireError(`The message has no file descriptor ${index}`);
  return fd;
}
