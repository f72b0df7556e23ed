import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { WireError } from '../../src/wire/dbus/errors.js';
import { formatMatchRule, parseMatchRule } from '../../src/wire/dbus/match-rule.js';
import { marshal } from '../../src/wire/dbus/marshal.js';
import { MessageReader } from '../../src/wire/dbus/message-reader.js';
import { encodeMessage } from '../../src/wire/dbus/message.js';
import type { Message } from '../../src/wire/dbus/message.js';
import { parseAddresses } from '../../src/wire/dbus/address.js';
import { escapeLabel, unescapeLabel } from '../../src/wire/dbus/object-path.js';
import type { ReceivedMessage } from '../../src/wire/dbus/received.js';
import { SaslClient } from '../../src/wire/dbus/sasl.js';
import { parseSignature } from '../../src/wire/dbus/signature.js';
import { unmarshal } from '../../src/wire/dbus/unmarshal.js';

interface Sample {
  readonly signature: string;
  readonly value: unknown;
}

const text = fc.string({ unit: 'binary', maxLength: 80 }).filter((value) => !value.includes('\0'));
const objectPath = fc
  .array(fc.stringMatching(/^[A-Za-z0-9_]{1,9}$/), { maxLength: 4 })
  .map((elements) => `/${elements.join('/')}`);
const basicValues: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
  y: fc.integer({ min: 0, max: 0xff }),
  b: fc.boolean(),
  n: fc.integer({ min: -0x8000, max: 0x7fff }),
  q: fc.integer({ min: 0, max: 0xffff }),
  i: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
  u: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  x: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  t: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  d: fc.double(),
  s: text,
  o: objectPath,
  g: fc.constantFrom('', 's', 'a{sv}', '(ii)ay'),
};

/** A signature of one complete type; variants draw the types of their contents themselves. */
const { type: singleType } = fc.letrec<{ type: string }>((tie) => ({
  type: fc.oneof(
    { maxDepth: 4, depthSize: 'small' },
    fc.constantFrom(...Object.keys(basicValues), 'ay', 'v'),
    tie('type').map((type) => `a${type}`),
    fc.array(tie('type'), { minLength: 1, maxLength: 3 }).map((types) => `(${types.join('')})`),
    fc.tuple(fc.constantFrom('s', 'u', 'o', 'x'), tie('type')).map(([key, value]) => `a{${key}${value}}`),
  ),
}));

function valueOf(type: string, variants: number): fc.Arbitrary<unknown> {
  const parsed = parseSignature(type).types[0]!;
  switch (parsed.kind) {
    case 'basic':
      return basicValues[parsed.code]!;
    case 'variant':
      return variants === 0 ? fc.constant({ signature: 'y', value: 0 }) : sampleOf(singleType, variants - 1);
    case 'array':
      if (type === 'ay') return fc.uint8Array({ maxLength: 40 });
      return fc.array(valueOf(type.slice(1), variants), { maxLength: 4 });
    case 'dictionary':
      return fc
        .array(fc.tuple(basicValues[parsed.key]!, valueOf(type.slice(3, -1), variants)), { maxLength: 3 })
        .map((entries) => new Map(entries));
    case 'struct':
      return fc.tuple(...parseSignature(type.slice(1, -1)).parts.map((part) => valueOf(part, variants)));
  }
}

function sampleOf(types: fc.Arbitrary<string>, variants: number): fc.Arbitrary<Sample> {
  return types.chain((signature) => valueOf(signature, variants).map((value) => ({ signature, value })));
}

const samples = fc.array(sampleOf(singleType, 2), { maxLength: 3 }).map((parts) => ({
  signature: parts.map((part) => part.signature).join(''),
  values: parts.map((part) => part.value),
})).filter(({ signature }) => signature.length <= 255);

const message: fc.Arbitrary<Message> = fc.record({
  sample: samples,
  serial: fc.integer({ min: 1, max: 2 ** 32 - 1 }),
  kind: fc.constantFrom('call' as const, 'signal' as const, 'return' as const, 'error' as const),
  path: objectPath.filter((path) => path !== '/org/freedesktop/DBus/Local'),
}).map(({ sample, serial, kind, path }) => {
  const common = { serial, sender: ':1.2', destination: 'a.b', signature: sample.signature, body: sample.values };
  switch (kind) {
    case 'call':
      return { ...common, messageType: kind, path, member: 'M' };
    case 'signal':
      return { ...common, messageType: kind, path, interface: 'a.b', member: 'M' };
    case 'return':
      return { ...common, messageType: kind, replySerial: serial };
    case 'error':
      return { ...common, messageType: kind, replySerial: serial, errorName: 'a.b' };
  }
});

function readAll(reader: MessageReader): ReceivedMessage[] {
  const messages: ReceivedMessage[] = [];
  for (let next = reader.next(); next !== undefined; next = reader.next()) messages.push(next);
  return messages;
}

/** Runs it, and lets nothing but a WireError pass. */
function mayRefuse(action: () => void): void {
  try {
    action();
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
  }
}

test('values survive the way there and back in both byte orders', () => {
  fc.assert(
    fc.property(samples, fc.boolean(), ({ signature, values }, littleEndian) => {
      assert.deepEqual(unmarshal(signature, marshal(signature, values, littleEndian).bytes, littleEndian), values);
    }),
    { numRuns: 2000 },
  );
});

test('messages come out the same however the stream is cut', () => {
  const messages = fc.array(message, { minLength: 1, maxLength: 4 });
  const cuts = fc.infiniteStream(fc.integer({ min: 1, max: 90 }));
  fc.assert(
    fc.property(messages, cuts, fc.boolean(), (sent, lengths, littleEndian) => {
      const stream = Buffer.concat(sent.map((one) => encodeMessage(one, littleEndian).bytes));
      const reader = new MessageReader();
      const received: ReceivedMessage[] = [];
      for (let position = 0; position < stream.length; ) {
        const { value: length } = lengths.next() as { value: number };
        reader.push(stream.subarray(position, position + length));
        received.push(...readAll(reader));
        position += length;
      }
      assert.deepEqual(received.map((one) => one.serial), sent.map((one) => one.serial));
      assert.deepEqual(received.map((one) => one.body()), sent.map((one) => one.body));
    }),
    { numRuns: 300 },
  );
});

test('a spoilt message is refused or read, nothing else', () => {
  const changes = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(message, changes, (original, spoilt) => {
      const { bytes } = encodeMessage(original);
      for (const [position, byte] of spoilt) bytes[position % bytes.length] = byte;
      mayRefuse(() => {
        const reader = new MessageReader();
        reader.push(bytes);
        for (const one of readAll(reader)) one.body();
      });
    }),
    { numRuns: 10_000 },
  );
});

test('what is read of random bytes can be written again, to the same value', () => {
  const bytes = fc.uint8Array({ maxLength: 60 }).map((random) => random.map((byte) => (byte < 160 ? byte % 5 : byte)));
  fc.assert(
    fc.property(singleType, bytes, (signature, random) => {
      mayRefuse(() => {
        const values = unmarshal(signature, random);
        assert.deepEqual(unmarshal(signature, marshal(signature, values).bytes), values);
      });
    }),
    { numRuns: 5000 },
  );
});

test('random bytes and text are refused or read, nothing else', () => {
  const telling = fc.string({ unit: fc.constantFrom(...'asv{}()ygy=\',\\:;%0_/') });
  const noise = fc.oneof(fc.string({ unit: 'binary' }), telling);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), noise, (bytes, garbage) => {
      mayRefuse(() => {
        const reader = new MessageReader();
        reader.push(bytes);
        readAll(reader);
      });
      mayRefuse(() => void new SaslClient(0).push(bytes));
      mayRefuse(() => void parseSignature(garbage));
      mayRefuse(() => void parseAddresses(garbage));
      mayRefuse(() => void parseMatchRule(garbage));
      unescapeLabel(garbage);
    }),
    { numRuns: 5000 },
  );
});

test('labels and match rules give back what was put in', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (value) => {
      assert.equal(unescapeLabel(escapeLabel(value)), value);
      const rule = { args: new Map([[3, value]]) };
      assert.deepEqual(parseMatchRule(formatMatchRule(rule)), rule);
    }),
    { numRuns: 2000 },
  );
});
