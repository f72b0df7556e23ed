import { BoundedCache } from './bounded-cache.js';
import { ValueError } from './errors.js';
import { maximumArrayLength, maximumMessageFds, maximumMessageLength } from './limits.js';
import { isObjectPathIn } from './names.js';
import { isSignature, maximumDepth, parseSignature } from './signature.js';
import type { Alignment, BasicCode, Type } from './signature.js';
import type { Variant } from './value.js';

/** Writes one value of the type it was compiled for. Throws ValueError if the value is not of that type. */
type Marshaller = (writer: Writer, value: unknown) => void;

/** Up to here a loop over the characters is quicker than a call into Node's native string writer. */
const shortString = 48;
const initialCapacity = 4096;
/** A scratch buffer that one huge message made grow beyond this is given back afterwards. */
const retainedCapacity = 1024 * 1024;

/** Values one after another in a growing buffer, aligned to its beginning. Reusable: `reset()` begins anew. */
export class Writer {
  bytes = Buffer.allocUnsafe(initialCapacity);
  position = 0;
  littleEndian = true;
  /** Containers around the value being written, up to the innermost variant. */
  depth = 0;
  fds: number[] = [];

  reset(littleEndian: boolean): void {
    if (this.bytes.length > retainedCapacity) this.bytes = Buffer.allocUnsafe(initialCapacity);
    this.position = 0;
    this.littleEndian = littleEndian;
    this.depth = 0;
    this.fds = [];
  }

  /** Makes room for `count` bytes beyond the position. */
  reserve(count: number): void {
    const needed = this.position + count;
    if (needed > this.bytes.length) this.#grow(needed);
  }

  /** Pads with zeros to a multiple of 1, 2, 4 or 8. */
  align(alignment: number): void {
    const padding = -this.position & (alignment - 1);
    if (padding === 0) return;
    this.reserve(padding);
    for (let left = padding; left > 0; left--) this.bytes[this.position++] = 0;
  }

  byte(value: number): void {
    this.reserve(1);
    this.bytes[this.position++] = value;
  }

  uint32(value: number): void {
    this.align(4);
    this.reserve(4);
    this.setUint32(this.position, value);
    this.position += 4;
  }

  /** Overwrites four bytes that are already there. */
  setUint32(position: number, value: number): void {
    if (this.littleEndian) this.bytes.writeUInt32LE(value, position);
    else this.bytes.writeUInt32BE(value, position);
  }

  /** Bytes that were marshalled before, for this alignment. */
  raw(bytes: Uint8Array): void {
    this.reserve(bytes.length);
    this.bytes.set(bytes, this.position);
    this.position += bytes.length;
  }

  /** Its length, its bytes in UTF-8 and a NUL. Returns the position of the first byte. */
  string(value: string): number {
    this.align(4);
    this.reserve(4 + value.length * 3 + 1);
    const start = this.position + 4;
    const end = value.length <= shortString ? this.#shortString(value, start) : this.#anyString(value, start);
    this.setUint32(this.position, end - start);
    this.bytes[end] = 0;
    this.position = end + 1;
    return start;
  }

  /** A valid signature: its length in one byte, its bytes and a NUL. */
  signature(value: string): void {
    this.reserve(value.length + 2);
    this.bytes[this.position++] = value.length;
    for (let index = 0; index < value.length; index++) this.bytes[this.position++] = value.charCodeAt(index);
    this.bytes[this.position++] = 0;
  }

  #shortString(value: string, start: number): number {
    const bytes = this.bytes;
    for (let index = 0; index < value.length; index++) {
      const code = value.charCodeAt(index);
      if (code === 0 || code >= 0x80) return this.#anyString(value, start);
      bytes[start + index] = code;
    }
    return start + value.length;
  }

  #anyString(value: string, start: number): number {
    if (value.includes('\0')) throw new ValueError('A string with a NUL cannot be sent');
    if (/\p{Surrogate}/u.test(value)) throw new ValueError('A string with half a surrogate pair cannot be sent');
    return start + this.bytes.write(value, start, 'utf8');
  }

  #grow(needed: number): void {
    // The longest message, and the room that `string` reserves beyond what it turns out to need.
    if (needed > 4 * maximumMessageLength) throw new ValueError('The message is too long');
    const grown = Buffer.allocUnsafe(Math.max(needed, this.bytes.length * 2));
    this.bytes.copy(grown, 0, 0, this.position);
    this.bytes = grown;
  }
}

/** Writes the values of a body. Throws ValueError if they do not fit the signature. */
export function writeValues(writer: Writer, signature: string, values: readonly unknown[]): void {
  const { marshallers } = compiled(signature);
  if (values.length !== marshallers.length) {
    throw new ValueError(`Signature '${signature}' needs ${marshallers.length} values, not ${values.length}`);
  }
  for (let index = 0; index < marshallers.length; index++) marshallers[index]!(writer, values[index]);
}

/** The bytes of a body, and the descriptors it refers to. Throws ValueError. */
export function marshal(
  signature: string,
  values: readonly unknown[],
  littleEndian = true,
): { readonly bytes: Buffer; readonly fds: readonly number[] } {
  const writer = new Writer();
  writer.reset(littleEndian);
  writeValues(writer, signature, values);
  return { bytes: writer.bytes.subarray(0, writer.position), fds: writer.fds };
}

interface CompiledSignature {
  readonly marshallers: readonly Marshaller[];
  /** Of its most deeply nested type. */
  readonly depth: number;
}

const cache = new BoundedCache<CompiledSignature>(256);

function compiled(signature: string): CompiledSignature {
  return cache.get(signature) ?? cache.add(signature, compileSignature(signature));
}

function compileSignature(signature: string): CompiledSignature {
  if (!isSignature(signature)) throw new ValueError(`${JSON.stringify(signature)} is not a signature`);
  const { types } = parseSignature(signature);
  return {
    marshallers: types.map((type) => compile(type, 0)),
    depth: Math.max(0, ...types.map((type) => type.depth)),
  };
}

/** `depth` counts the containers of the same signature around the type. */
function compile(type: Type, depth: number): Marshaller {
  switch (type.kind) {
    case 'basic':
      return basicMarshallers[type.code];
    case 'variant':
      return (writer, value) => writeVariant(writer, value, depth + 1);
    case 'array':
      return compileArray(type.element, depth + 1);
    case 'dictionary':
      return compileDictionary(type.key, type.value, depth + 2);
    case 'struct':
      return compileStruct(type.members, depth + 1);
  }
}

function compileArray(element: Type, depth: number): Marshaller {
  if (element.kind === 'basic' && element.code === 'y') return writeByteArray;
  const { alignment } = element;
  const marshalElement = compile(element, depth);
  const marshalElements: ElementsMarshaller = (writer, elements) => {
    for (let index = 0; index < elements.length; index++) marshalElement(writer, elements[index]);
  };
  const canBeKept = isSelfContained(element);
  return (writer, value) => {
    if (!Array.isArray(value)) throw mismatch('an array', value);
    const elements = value as readonly unknown[];
    const lengthPosition = beginArray(writer, alignment);
    if (canBeKept && unchanging.has(elements)) writeUnchanging(writer, elements, marshalElements);
    else marshalElements(writer, elements);
    endArray(writer, alignment, lengthPosition);
  };
}

type ElementsMarshaller = (writer: Writer, elements: readonly unknown[]) => void;

interface Marshalled {
  /** Stands for the signature. */
  readonly by: ElementsMarshaller;
  readonly littleEndian: boolean;
  readonly bytes: Buffer;
}

const unchanging = new WeakMap<readonly unknown[], Marshalled | undefined>();

/**
 * Promises that neither this array nor anything in it ever changes, so that it is marshalled once however often it is
 * sent. That pays for long arrays of structs; for arrays of anything but structs of basic types it does nothing.
 */
export function markUnchanging<T extends readonly unknown[]>(values: T): T {
  unchanging.set(values, undefined);
  return values;
}

function writeUnchanging(writer: Writer, elements: readonly unknown[], by: ElementsMarshaller): void {
  const known = unchanging.get(elements);
  if (known?.by === by && known.littleEndian === writer.littleEndian) {
    writer.raw(known.bytes);
    return;
  }
  const start = writer.position;
  by(writer, elements);
  const bytes = Buffer.from(writer.bytes.subarray(start, writer.position));
  unchanging.set(elements, { by, littleEndian: writer.littleEndian, bytes });
}

/** Whether elements of this type are the same bytes in every message: they begin at a multiple of 8, the widest there is. */
function isSelfContained(type: Type): boolean {
  return type.kind === 'struct' && type.members.every((member) => member.kind === 'basic' && member.code !== 'h');
}

function compileDictionary(key: BasicCode, value: Type, depth: number): Marshaller {
  const marshalKey = basicMarshallers[key];
  const marshalValue = compile(value, depth);
  return (writer, dictionary) => {
    if (!(dictionary instanceof Map)) throw mismatch('a Map', dictionary);
    const lengthPosition = beginArray(writer, 8);
    for (const [entryKey, entryValue] of dictionary as ReadonlyMap<unknown, unknown>) {
      writer.align(8);
      marshalKey(writer, entryKey);
      marshalValue(writer, entryValue);
    }
    endArray(writer, 8, lengthPosition);
  };
}

function compileStruct(types: readonly Type[], depth: number): Marshaller {
  const marshallers = types.map((type) => compile(type, depth));
  return (writer, value) => {
    if (!Array.isArray(value) || value.length !== marshallers.length) {
      throw mismatch(`an array of ${marshallers.length} members`, value);
    }
    const members = value as readonly unknown[];
    writer.align(8);
    for (let index = 0; index < marshallers.length; index++) marshallers[index]!(writer, members[index]);
  };
}

/** Leaves room for the length and returns where. */
function beginArray(writer: Writer, alignment: Alignment): number {
  writer.align(4);
  const lengthPosition = writer.position;
  writer.uint32(0);
  writer.align(alignment);
  return lengthPosition;
}

/** The length counts neither itself nor the padding before the first element. */
function endArray(writer: Writer, alignment: Alignment, lengthPosition: number): void {
  const start = (lengthPosition + 4 + alignment - 1) & -alignment;
  const length = writer.position - start;
  if (length > maximumArrayLength) throw new ValueError(`An array of ${length} bytes is too long`);
  writer.setUint32(lengthPosition, length);
}

function writeByteArray(writer: Writer, value: unknown): void {
  if (!(value instanceof Uint8Array)) throw mismatch('a Uint8Array', value);
  if (value.length > maximumArrayLength) throw new ValueError(`An array of ${value.length} bytes is too long`);
  writer.uint32(value.length);
  writer.raw(value);
}

function writeVariant(writer: Writer, value: unknown, depth: number): void {
  if (!isVariant(value)) throw mismatch('a variant', value);
  const { marshallers, depth: contentDepth } = compiled(value.signature);
  if (marshallers.length !== 1) {
    throw new ValueError(`A variant cannot hold '${value.signature}', only one complete type`);
  }
  const outerDepth = writer.depth;
  writer.depth += depth;
  if (writer.depth + contentDepth > maximumDepth) throw new ValueError('Variants and containers are nested too deeply');
  writer.signature(value.signature);
  marshallers[0]!(writer, value.value);
  writer.depth = outerDepth;
}

function isVariant(value: unknown): value is Variant {
  return typeof value === 'object' && value !== null && typeof (value as Partial<Variant>).signature === 'string';
}

const basicMarshallers: Readonly<Record<BasicCode, Marshaller>> = {
  y: (writer, value) => writer.byte(checkInteger(value, 0, 0xff)),
  b: (writer, value) => {
    if (typeof value !== 'boolean') throw mismatch('a boolean', value);
    writer.uint32(value ? 1 : 0);
  },
  n: (writer, value) => writeUint16(writer, checkInteger(value, -0x8000, 0x7fff) & 0xffff),
  q: (writer, value) => writeUint16(writer, checkInteger(value, 0, 0xffff)),
  i: (writer, value) => writer.uint32(checkInteger(value, -0x80000000, 0x7fffffff) >>> 0),
  u: (writer, value) => writer.uint32(checkInteger(value, 0, 0xffffffff)),
  x: (writer, value) => writeUint64(writer, BigInt.asUintN(64, checkBigInt(value, -(2n ** 63n), 2n ** 63n - 1n))),
  t: (writer, value) => writeUint64(writer, checkBigInt(value, 0n, 2n ** 64n - 1n)),
  d: writeDouble,
  s: (writer, value) => {
    if (typeof value !== 'string') throw mismatch('a string', value);
    writer.string(value);
  },
  o: (writer, value) => {
    if (typeof value !== 'string') throw mismatch('an object path', value);
    const start = writer.string(value);
    if (!isObjectPathIn(writer.bytes, start, writer.position - 1)) throw mismatch('an object path', value);
  },
  g: (writer, value) => {
    if (typeof value !== 'string' || !isSignature(value)) throw mismatch('a signature', value);
    writer.signature(value);
  },
  h: (writer, value) => {
    if (writer.fds.length === maximumMessageFds) throw new ValueError('The message has too many file descriptors');
    writer.uint32(writer.fds.length);
    writer.fds.push(checkInteger(value, 0, 0x7fffffff));
  },
};

function writeUint16(writer: Writer, value: number): void {
  writer.align(2);
  writer.reserve(2);
  if (writer.littleEndian) writer.bytes.writeUInt16LE(value, writer.position);
  else writer.bytes.writeUInt16BE(value, writer.position);
  writer.position += 2;
}

function writeUint64(writer: Writer, value: bigint): void {
  writer.align(8);
  writer.reserve(8);
  if (writer.littleEndian) writer.bytes.writeBigUInt64LE(value, writer.position);
  else writer.bytes.writeBigUInt64BE(value, writer.position);
  writer.position += 8;
}

function writeDouble(writer: Writer, value: unknown): void {
  if (typeof value !== 'number') throw mismatch('a number', value);
  writer.align(8);
  writer.reserve(8);
  if (writer.littleEndian) writer.bytes.writeDoubleLE(value, writer.position);
  else writer.bytes.writeDoubleBE(value, writer.position);
  writer.position += 8;
}

function checkInteger(value: unknown, minimum: number, maximum: number): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < minimum || value > maximum) {
    throw mismatch(`an integer from ${minimum} to ${maximum}`, value);
  }
  return value;
}

function checkBigInt(value: unknown, minimum: bigint, maximum: bigint): bigint {
  if (typeof value !== 'bigint' || value < minimum || value > maximum) {
    throw mismatch(`a bigint from ${minimum} to ${maximum}`, value);
  }
  return value;
}

function mismatch(wanted: string, value: unknown): ValueError {
  const shown = typeof value === 'object' && value !== null ? Object.prototype.toString.call(value) : String(value);
  return new ValueError(`Expected ${wanted}, got ${typeof value === 'string' ? JSON.stringify(value) : shown}`);
}
