/**
 * A small language to declare a Varlink interface once. The IDL text (idl.ts), the check of incoming parameters
 * (validate.ts) and the TypeScript types of handlers all come from that declaration:
 *
 *     const MachineClass = enumeration('MachineClass', 'What kind of machine it is.', { container: '', vm: '' });
 *     const ProcessId = structure('ProcessId', 'A process.', {
 *       pid: required(integer({ minimum: 0, maximum: 0x7fffffff, text: true }), 'Its PID.'),
 *       pidfdId: nullable(unsigned64({ text: true }), 'The inode of its pidfd.', { acceptsNull: true }),
 *     });
 *     const Register = method({
 *       documentation: 'Adds a machine.',
 *       input: { name: required(string, 'Its name.', { check: isMachineName }), class: required(MachineClass) },
 *       output: {},
 *       extra: { authorization: 'register-machine' },
 *     });
 *     const Sample = varlinkInterface({
 *       name: 'org.example.Sample',
 *       documentation: 'An example.',
 *       types: [MachineClass, ProcessId],
 *       methods: { Register },
 *       errors: { NoSuchMachine: error('There is no such machine.') },
 *     });
 *     type RegisterInput = Input<typeof Register>; // { readonly name: string; readonly class: 'container' | 'vm' }
 *
 * Documentation may have several lines; '' stands for none.
 */
import type { JsonObject, JsonValue } from './json.js';
import { isObject, repeatedKey } from './json.js';
import { parseIntegerText } from './integer.js';

/** A type as the IDL writes it. */
export type Shape =
  | { readonly kind: 'string' | 'int' | 'bool' | 'float' | 'object' | 'any' }
  | { readonly kind: 'array' | 'map' | 'nullable'; readonly of: Shape }
  | { readonly kind: 'named'; readonly name: string }
  | EnumShape
  | StructShape;

export interface EnumShape {
  readonly kind: 'enum';
  readonly values: readonly { readonly name: string; readonly documentation: string }[];
}

export interface StructShape {
  readonly kind: 'struct';
  readonly fields: readonly FieldShape[];
}

export interface FieldShape {
  readonly name: string;
  readonly documentation: string;
  readonly shape: Shape;
}

/**
 * A type with the two questions that are asked of an incoming value, at different times (see validate.ts): whether
 * it is what the IDL says, and what it means.
 */
export interface Type<T> {
  readonly shape: Shape;
  /** Whether the value has the shape. As systemd has it, any string will do for an `int`. */
  fits(value: JsonValue): boolean;
  /** The meaning of a value that fits, or undefined if it is refused all the same. */
  read(value: JsonValue): T | undefined;
}

/** A type that the interface gives a name; to be listed in its `types`. */
export interface NamedType<T> extends Type<T> {
  readonly name: string;
  readonly documentation: string;
  readonly definition: EnumShape | StructShape;
}

/** What a value of the type is in TypeScript. */
export type Value<Of> = Of extends Type<infer T> ? T : never;

export const string: Type<string> = {
  shape: { kind: 'string' },
  fits: (value) => typeof value === 'string',
  read: (value) => (typeof value === 'string' ? value : undefined),
};

export const boolean: Type<boolean> = {
  shape: { kind: 'bool' },
  fits: (value) => typeof value === 'boolean',
  read: (value) => (typeof value === 'boolean' ? value : undefined),
};

export const float: Type<number> = {
  shape: { kind: 'float' },
  fits: (value) => typeof value === 'number' || typeof value === 'bigint',
  read: (value) => (typeof value === 'number' || typeof value === 'bigint' ? Number(value) : undefined),
};

/** Any JSON object; its members are not looked at. */
export const object: Type<JsonObject> = {
  shape: { kind: 'object' },
  fits: isObject,
  read: (value) => (isObject(value) ? value : undefined),
};

export const any: Type<JsonValue> = { shape: { kind: 'any' }, fits: () => true, read: (value) => value };

const intShape: Shape = { kind: 'int' };
const leastInteger = -(2n ** 63n);
const greatestInteger = 2n ** 64n - 1n;

/** The integer that a JSON number stands for: 1e3 and 5.0 are integers. Beyond 64 bits there are none. */
function integerValue(value: JsonValue): number | bigint | undefined {
  if (typeof value === 'number') {
    if (Number.isSafeInteger(value)) return value + 0; // -0 becomes 0
    if (!Number.isInteger(value)) return undefined;
    return integerValue(BigInt(value));
  }
  if (typeof value !== 'bigint' || value < leastInteger || value > greatestInteger) return undefined;
  return value;
}

function fitsInt(value: JsonValue): boolean {
  return typeof value === 'string' || integerValue(value) !== undefined;
}

function readInteger(value: JsonValue, text: boolean): number | bigint | undefined {
  if (typeof value !== 'string') return integerValue(value);
  return text ? parseIntegerText(value) : undefined;
}

export interface IntegerOptions {
  readonly minimum?: number;
  readonly maximum?: number;
  /** Whether "15", "0x0f" and the like are accepted for 15 (see parseIntegerText). */
  readonly text?: boolean;
}

/** An `int` that a JavaScript number holds exactly; the limits are inclusive. */
export function integer(options: IntegerOptions = {}): Type<number> {
  const { minimum = Number.MIN_SAFE_INTEGER, maximum = Number.MAX_SAFE_INTEGER, text = false } = options;
  return {
    shape: intShape,
    fits: fitsInt,
    read(value) {
      const integer = readInteger(value, text);
      return integer !== undefined && integer >= minimum && integer <= maximum ? Number(integer) : undefined;
    },
  };
}

/** An `int` of 0 … 2^64-1, always a bigint. */
export function unsigned64(options: { readonly text?: boolean } = {}): Type<bigint> {
  const { text = false } = options;
  return {
    shape: intShape,
    fits: fitsInt,
    read(value) {
      const integer = readInteger(value, text);
      return integer !== undefined && integer >= 0 && integer <= greatestInteger ? BigInt(integer) : undefined;
    },
  };
}

/**
 * A type that looks like `base` in the IDL but means something else, or less: `convert` answers undefined to refuse
 * the value. It gets the JSON value, which fits `base`: a field of type `int` can so be given a name for a number.
 *
 *     const signal = custom(integer(), (value) => signalNumber(value));
 */
export function custom<T>(base: Type<unknown>, convert: (value: JsonValue) => T | undefined): Type<T> {
  return { shape: base.shape, fits: (value) => base.fits(value), read: convert };
}

/** `type` without the values that do not meet the condition; they are refused when the field is read. */
export function refined<T>(type: Type<T>, condition: (value: T) => boolean): Type<T> {
  return custom(type, (value) => {
    const read = type.read(value);
    return read !== undefined && condition(read) ? read : undefined;
  });
}

export function arrayOf<T>(element: Type<T>): Type<readonly T[]> {
  return {
    shape: { kind: 'array', of: element.shape },
    fits: (value) => Array.isArray(value) && value.every((item) => element.fits(item)),
    read(value) {
      if (!Array.isArray(value)) return undefined;
      const items: T[] = [];
      for (const item of value) {
        const read = element.read(item);
        if (read === undefined) return undefined;
        items.push(read);
      }
      return items;
    },
  };
}

/** `[string]element`: an object whose keys are free. A Map, as a key may be anything, '__proto__' included. */
export function mapOf<T>(element: Type<T>): Type<ReadonlyMap<string, T>> {
  return {
    shape: { kind: 'map', of: element.shape },
    fits: (value) => isObject(value) && Object.values(value).every((item) => element.fits(item)),
    read(value) {
      if (!isObject(value) || value[repeatedKey] !== undefined) return undefined;
      const map = new Map<string, T>();
      for (const [key, item] of Object.entries(value)) {
        const read = element.read(item);
        if (read === undefined) return undefined;
        map.set(key, read);
      }
      return map;
    },
  };
}

/** An enum type; `values` gives each value its documentation. */
export function enumeration<const V extends Readonly<Record<string, string>>>(
  name: string,
  documentation: string,
  values: V,
): NamedType<keyof V & string> {
  const fits = (value: JsonValue): value is keyof V & string => typeof value === 'string' && Object.hasOwn(values, value);
  return {
    name,
    documentation,
    definition: {
      kind: 'enum',
      values: Object.entries(values).map(([value, text]) => ({ name: value, documentation: text })),
    },
    shape: { kind: 'named', name },
    fits,
    read: (value) => (fits(value) ? value : undefined),
  };
}

/** What may be said of a field beyond its type. */
export interface FieldPolicy<T> {
  /** An explicit null counts as the field's absence. Otherwise it is refused, as systemd mostly does. */
  readonly acceptsNull?: boolean;
  /** The field must be there although the IDL has it as nullable. */
  readonly mandatory?: boolean;
  /** A condition that is only looked at when every field of the call has been read; `refined` is for the others. */
  check?(value: T): boolean;
}

export interface Field<T, Nullable extends boolean = boolean> {
  readonly type: Type<T>;
  readonly documentation: string;
  readonly nullable: Nullable;
  readonly acceptsNull: boolean;
  readonly mandatory: boolean;
  check?(value: T): boolean;
}

export type Fields = Readonly<Record<string, Field<unknown>>>;

/** A field of type `type`. */
export function required<T>(type: Type<T>, documentation = '', policy: Pick<FieldPolicy<T>, 'check'> = {}): Field<T, false> {
  return { acceptsNull: false, mandatory: true, ...policy, type, documentation, nullable: false };
}

/** A field of type `?type`, which may be absent: undefined, in TypeScript. */
export function nullable<T>(type: Type<T>, documentation = '', policy: FieldPolicy<T> = {}): Field<T, true> {
  return { acceptsNull: false, mandatory: false, ...policy, type, documentation, nullable: true };
}

type FieldValue<F> = F extends Field<infer T> ? T : never;

/** The object that has these fields. */
export type FieldValues<F extends Fields> = {
  readonly [K in keyof F as F[K] extends Field<unknown, false> ? K : never]: FieldValue<F[K]>;
} & {
  readonly [K in keyof F as F[K] extends Field<unknown, false> ? never : K]?: FieldValue<F[K]> | undefined;
};

/** An object type with fields of its own. */
export function structure<F extends Fields>(name: string, documentation: string, fields: F): NamedType<FieldValues<F>> {
  return {
    name,
    documentation,
    definition: { kind: 'struct', fields: fieldShapes(fields) },
    shape: { kind: 'named', name },
    fits: (value) => isObject(value) && misfit(fields, value) === undefined,
    read(value) {
      if (!isObject(value)) return undefined;
      const result = readFields(fields, value);
      return result.ok ? result.values : undefined;
    },
  };
}

export function fieldShapes(fields: Fields): FieldShape[] {
  return Object.entries(fields).map(([name, field]) => ({
    name,
    documentation: field.documentation,
    shape: field.nullable ? { kind: 'nullable', of: field.type.shape } : field.type.shape,
  }));
}

/**
 * The first field of `object` that is not what the IDL says, or undefined: a declared field that is missing or of
 * another type, in the order of declaration, or else one that is not declared at all. For a nested object it is the
 * outer field that is named.
 */
export function misfit(fields: Fields, object: JsonObject): string | undefined {
  for (const name in fields) {
    const field = fields[name] as Field<unknown>;
    const value = Object.hasOwn(object, name) ? object[name] : undefined;
    const fits = value === undefined || value === null ? field.nullable : field.type.fits(value);
    if (!fits) return name;
  }
  return Object.keys(object).find((name) => !Object.hasOwn(fields, name));
}

export type ReadResult<T> =
  | { readonly ok: true; readonly values: T }
  /** The name of the field that is wrong. */
  | { readonly ok: false; readonly parameter: string };

/**
 * The meaning of an object without misfits: its fields are read in the order in which the sender wrote them, so the
 * first that is refused is named; then those that the sender left out although they are mandatory; then those whose
 * check fails.
 */
export function readFields<F extends Fields>(fields: F, object: JsonObject): ReadResult<FieldValues<F>> {
  const values: Record<string, unknown> = {};
  for (const name of Object.keys(object)) {
    const field = fields[name] as Field<unknown>;
    const value = object[name] as JsonValue;
    if (value === null && field.acceptsNull) continue;
    const read = value === null ? undefined : field.type.read(value);
    if (read === undefined) return { ok: false, parameter: name };
    values[name] = read;
  }
  const repeated = object[repeatedKey];
  if (repeated !== undefined) return { ok: false, parameter: repeated };
  for (const name in fields) {
    if (fields[name]?.mandatory === true && !Object.hasOwn(object, name)) return { ok: false, parameter: name };
  }
  for (const name in fields) {
    if (values[name] !== undefined && fields[name]?.check?.(values[name]) === false) return { ok: false, parameter: name };
  }
  return { ok: true, values: values as FieldValues<F> };
}

/** `Extra` is what the layers above attach to a method: who may call it, what errors it has. Nothing here reads it. */
export interface Method<I extends Fields = Fields, O extends Fields = Fields, Extra = unknown> {
  readonly documentation: string;
  readonly input: I;
  readonly output: O;
  /** Whether the method can, or has to, be called with the 'more' flag and then answers with several replies. */
  readonly more: 'supports' | 'requires' | undefined;
  readonly extra: Extra;
}

export interface MethodOptions<I extends Fields, O extends Fields> {
  readonly documentation?: string;
  readonly input: I;
  readonly output: O;
  readonly more?: 'supports' | 'requires';
}

export function method<I extends Fields, O extends Fields>(options: MethodOptions<I, O>): Method<I, O, undefined>;
export function method<I extends Fields, O extends Fields, Extra>(
  options: MethodOptions<I, O> & { readonly extra: Extra },
): Method<I, O, Extra>;
export function method<I extends Fields, O extends Fields>(options: MethodOptions<I, O> & { readonly extra?: unknown }): Method<I, O> {
  return {
    documentation: options.documentation ?? '',
    input: options.input,
    output: options.output,
    more: options.more,
    extra: options.extra,
  };
}

/** What a handler of the method gets. */
export type Input<M extends Method> = FieldValues<M['input']>;
/** What a handler of the method answers with, once or, with 'more', several times. */
export type Output<M extends Method> = FieldValues<M['output']>;

export interface ErrorDeclaration<F extends Fields = Fields> {
  readonly documentation: string;
  readonly fields: F;
}

export function error(documentation?: string): ErrorDeclaration<Record<never, never>>;
export function error<F extends Fields>(documentation: string, fields: F): ErrorDeclaration<F>;
export function error(documentation = '', fields: Fields = {}): ErrorDeclaration {
  return { documentation, fields };
}

export interface Interface<
  M extends Readonly<Record<string, Method>> = Readonly<Record<string, Method>>,
  E extends Readonly<Record<string, ErrorDeclaration>> = Readonly<Record<string, ErrorDeclaration>>,
> {
  /** With dots: 'org.example.Sample'. */
  readonly name: string;
  readonly documentation: string;
  readonly types: readonly NamedType<unknown>[];
  readonly methods: M;
  readonly errors: E;
}

/** Throws if the declaration uses a type that it does not list, or one name twice. */
export function varlinkInterface<
  const Name extends string,
  M extends Readonly<Record<string, Method>>,
  E extends Readonly<Record<string, ErrorDeclaration>>,
>(declaration: {
  readonly name: Name;
  readonly documentation?: string;
  readonly types: readonly NamedType<unknown>[];
  readonly methods: M;
  readonly errors: E;
}): Interface<M, E> & { readonly name: Name } {
  const names = [...declaration.types.map((type) => type.name), ...Object.keys(declaration.methods), ...Object.keys(declaration.errors)];
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw new Error(`${declaration.name} declares ${twice} twice`);
  const listed = new Set(declaration.types.map((type) => type.name));
  for (const name of namesUsed(declaration)) {
    if (!listed.has(name)) throw new Error(`${declaration.name} uses the type ${name}, but does not list it`);
  }
  return { documentation: '', ...declaration };
}

function* namesUsed(declaration: Pick<Interface, 'types' | 'methods' | 'errors'>): Generator<string> {
  for (const type of declaration.types) yield* namesIn(type.definition);
  for (const { input, output } of Object.values(declaration.methods)) {
    for (const field of [...fieldShapes(input), ...fieldShapes(output)]) yield* namesIn(field.shape);
  }
  for (const { fields } of Object.values(declaration.errors)) {
    for (const field of fieldShapes(fields)) yield* namesIn(field.shape);
  }
}

function* namesIn(shape: Shape): Generator<string> {
  if (shape.kind === 'named') yield shape.name;
  if ('of' in shape) yield* namesIn(shape.of);
  if (shape.kind === 'struct') for (const field of shape.fields) yield* namesIn(field.shape);
}
