import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { parseCall, parseReply } from '../../src/wire/varlink/call.js';
import { FrameError, FrameReader } from '../../src/wire/varlink/framing.js';
import { describe, IdlError, parseDescription, printDescription } from '../../src/wire/varlink/idl.js';
import { JsonError, parseJson, repeatedKey, stringifyJson, type JsonValue } from '../../src/wire/varlink/json.js';
import { MethodTable } from '../../src/wire/varlink/validate.js';
import { Sample } from '../unit/varlink-sample.js';

const runs = { numRuns: 2000, interruptAfterTimeLimit: 3000 };
const unsafe = /[\0\p{Noncharacter_Code_Point}\p{Surrogate}]/gu;
const cleanString = fc.string({ unit: 'binary' }).map((text) => text.replace(unsafe, ''));
const integer64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }).map((value) => (Number.isSafeInteger(Number(value)) ? Number(value) : value));

const jsonValue: fc.Arbitrary<JsonValue> = fc.letrec<{ value: JsonValue }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 6 },
    fc.constant(null),
    fc.boolean(),
    integer64,
    // a number without a fraction beyond 2^53 would be read as an exact integer
    fc.double({ noNaN: true, noDefaultInfinity: true }).filter((value) => !Object.is(value, -0) && (!Number.isInteger(value) || Number.isSafeInteger(value))),
    cleanString,
    fc.array(tie('value'), { maxLength: 5 }),
    fc.dictionary(cleanString, tie('value'), { maxKeys: 5, noNullPrototype: true }),
  ),
})).value;

/** Text that is nearly right: some JSON with a few characters changed, removed or put in. */
const nearlyJson = fc
  .tuple(jsonValue, fc.array(fc.tuple(fc.nat(), fc.constantFrom('', '"', '{', '}', '[', ']', ',', ':', '\\', '0', '-', 'e', '.', '\0', ' ', 'u', '\ud800')), { maxLength: 4 }))
  .map(([value, edits]) => edits.reduce((text, [where, what]) => {
    const at = where % (text.length + 1);
    return text.slice(0, at) + what + text.slice(at + 1);
  }, stringifyJson(value)));

function parses(parse: (text: string) => unknown, text: string): boolean {
  try {
    parse(text);
    return true;
  } catch {
    return false;
  }
}

function hasRepeatedKey(value: JsonValue): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return repeatedKey in value || Object.values(value).some(hasRepeatedKey);
}

suite('varlink wire, with anything', () => {
  test('what is written is read as it was', () => {
    fc.assert(fc.property(jsonValue, (value) => assert.deepStrictEqual(parseJson(stringifyJson(value)), value)), runs);
  });

  test('whatever is written can be read', () => {
    fc.assert(fc.property(fc.anything({ withBigInt: false, withNullPrototype: false }).map((value) => JSON.stringify(value)).filter((text) => text !== undefined), (text) => {
      parseJson(stringifyJson(JSON.parse(text) as JsonValue));
    }), runs);
  });

  test('the parser is at least as strict as JSON.parse, and means the same', () => {
    fc.assert(fc.property(nearlyJson, (text) => {
      if (!parses(parseJson, text)) return;
      const ours = parseJson(text);
      const theirs = JSON.parse(text) as JsonValue;
      if (!/\d{16}/.test(text) && !hasRepeatedKey(ours)) assert.deepStrictEqual(ours, theirs);
    }), runs);
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => {
      if (parses(parseJson, text)) JSON.parse(text);
      else assert.throws(() => parseJson(text), JsonError);
    }), runs);
  });

  test('no text does more than make a protocol error', () => {
    const table = new MethodTable([Sample]);
    const method = fc.constantFrom(...Object.keys(Sample.methods)).map((name) => `org.example.Sample.${name}`);
    const field = fc.constantFrom('name', 'pid', 'interactive', 'colour', 'signal', 'level', 'mode', 'uid', 'ids', '__proto__', 'constructor');
    const processId = fc.record({ pid: jsonValue, pidfdId: jsonValue, bootId: jsonValue }, { requiredKeys: [] });
    const parameters = fc.dictionary(field, fc.oneof(jsonValue, processId), { noNullPrototype: true });
    fc.assert(fc.property(method, parameters, fc.boolean(), (name, values, more) => {
      const call = parseCall(stringifyJson({ method: name, parameters: values, more }));
      assert.ok(call.kind === 'call');
      const result = table.resolve(call);
      if (!result.ok && result.error.endsWith('InvalidParameter')) assert.ok(typeof result.parameters['parameter'] === 'string');
    }), runs);
    fc.assert(fc.property(nearlyJson, (text) => {
      parseCall(text);
      parseReply(text);
    }), runs);
  });

  test('frames come out the same however the stream is cut', () => {
    const message = fc.string({ unit: 'binary', maxLength: 40 }).map((text) => text.replace(unsafe, ''));
    fc.assert(fc.property(fc.array(message, { maxLength: 20 }), fc.infiniteStream(fc.integer({ min: 1, max: 30 })), (messages, lengths) => {
      const stream = Buffer.from(messages.map((text) => `${text}\0`).join(''));
      const reader = new FrameReader({ bytes: 400 });
      const texts: string[] = [];
      for (let start = 0; start < stream.length;) {
        const length = lengths.next().value as number;
        reader.push(stream.subarray(start, start + length));
        for (let frame = reader.next(); frame !== undefined; frame = reader.next()) texts.push(frame.text);
        start += length;
      }
      assert.deepEqual(texts, messages);
      assert.equal(reader.midFrame, false);
    }), runs);
  });

  test('bytes of any kind neither crash the reader nor lose a descriptor', () => {
    const chunk = fc.tuple(fc.uint8Array({ maxLength: 30 }), fc.array(fc.nat(), { maxLength: 2 }));
    fc.assert(fc.property(fc.array(chunk, { maxLength: 20 }), fc.nat({ max: 40 }), (chunks, limit) => {
      const reader = new FrameReader({ bytes: limit });
      const received: number[] = [];
      try {
        for (const [bytes, fds] of chunks) {
          reader.push(bytes, fds);
          for (let frame = reader.next(); frame !== undefined; frame = reader.next()) {
            assert.ok(Buffer.byteLength(frame.text) <= limit);
            received.push(...frame.fds);
          }
        }
      } catch (error) {
        assert.ok(error instanceof FrameError);
        for (const [bytes] of chunks) reader.push(bytes);
      }
      received.push(...reader.abandon());
      const sent = chunks.flatMap(([, fds]) => fds);
      assert.deepEqual(received, sent.slice(0, received.length));
    }), runs);
  });

  test('an IDL text is read or refused', () => {
    const text = printDescription(describe(Sample));
    const words = text.match(/\s+|\S+/g) ?? [];
    fc.assert(fc.property(fc.array(fc.tuple(fc.nat(), fc.constantFrom('', ' ', '(', ')', ',', '?', '[]', '->', '# x\n', '\n\n', 'type', 'Colour', 'a', ':'), fc.boolean()), { maxLength: 3 }), (edits) => {
      const edited = [...words];
      for (const [where, what, replace] of edits) edited.splice(where % edited.length, replace ? 1 : 0, what);
      try {
        const description = parseDescription(edited.join(''));
        assert.deepEqual(parseDescription(printDescription(description)), description);
      } catch (error) {
        assert.ok(error instanceof IdlError, String(error));
      }
    }), runs);
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (anything) => {
      assert.throws(() => parseDescription(anything), IdlError);
    }), runs);
  });
});
