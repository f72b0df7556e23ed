/** A small interface with one of everything, for the tests of the Varlink wire room. */
import {
  any, arrayOf, boolean, custom, enumeration, error, float, integer, mapOf, method, nullable, object, required, string,
  structure, unsigned64, varlinkInterface,
} from '../../src/wire/varlink/schema.js';

export const Colour = enumeration('Colour', 'What it looks like', { red: 'Like a rose', blue: '', dark_green: '' });

export const ProcessId = structure('ProcessId', 'A process', {
  pid: required(integer({ minimum: 0, maximum: 0x7fffffff, text: true }), 'Its PID'),
  pidfdId: nullable(unsigned64({ text: true }), 'The inode of its pidfd', { acceptsNull: true }),
  bootId: nullable(string),
});

const signals = new Map([['TERM', 15], ['SIGTERM', 15]]);
const plainSignal = integer({ minimum: 1, maximum: 64, text: true });
export const signal = custom(plainSignal, (value) =>
  (typeof value === 'string' ? signals.get(value) : undefined) ?? plainSignal.read(value));

const lookup = {
  name: nullable(string, 'A name.\nWithout slashes.', { check: (name) => name !== '' && !name.includes('/') }),
  pid: nullable(ProcessId, '', { acceptsNull: true }),
  interactive: nullable(boolean),
};

export const Kill = method({
  documentation: 'Sends a signal',
  input: { ...lookup, colour: nullable(Colour), signal: required(signal, 'A number or a name') },
  output: {},
  extra: { authorization: 'kill' },
});

export const List = method({
  documentation: 'Lists them.\nOne at a time.',
  input: { ...lookup, metadata: nullable(Colour) },
  output: {
    name: required(string),
    leader: nullable(ProcessId),
    addresses: nullable(arrayOf(integer())),
    weight: nullable(float),
    tags: nullable(mapOf(string)),
    record: nullable(object),
    anything: nullable(any),
  },
  more: 'supports',
});

export const Map_ = method({
  input: { uid: nullable(integer({ minimum: 0, maximum: 4294967294 })), ids: nullable(arrayOf(integer({ minimum: 1 }))) },
  output: { uid: nullable(integer()) },
});

export const SetLevel = method({
  input: { level: nullable(integer({ minimum: 0, maximum: 7, text: true }), '', { acceptsNull: true, mandatory: true }) },
  output: {},
});

export const Clean = method({ input: { mode: required(Colour) }, output: {}, more: 'requires' });

export const Sample = varlinkInterface({
  name: 'org.example.Sample',
  documentation: 'A sample',
  types: [Colour, ProcessId],
  methods: { Kill, List, Map: Map_, SetLevel, Clean },
  errors: { NoSuchThing: error('Nothing there'), Odd: error('', { why: required(string), code: nullable(integer()) }) },
});
