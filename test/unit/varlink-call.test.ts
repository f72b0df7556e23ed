import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { call, errorReply, parseCall, parseReply, reply } from '../../src/wire/varlink/call.js';
import { stringifyJson } from '../../src/wire/varlink/json.js';

const plain = { kind: 'call', method: 'a.B', parameters: {}, more: false, oneway: false, upgrade: false };

const calls: readonly (readonly [string, object])[] = [
  ['{"method":"a.B"}', plain],
  [' {"parameters":{"x":[1]},"method":"a.B"} \n', { ...plain, parameters: { x: [1] } }],
  ['{"method":"a.B","parameters":null}', plain],
  ['{"method":"a.B","more":true}', { ...plain, more: true }],
  ['{"method":"a.B","more":false,"oneway":true,"upgrade":false}', { ...plain, oneway: true }],
  ['{"method":"a.B","upgrade":true}', { ...plain, upgrade: true }],
  ['{"method":""}', { ...plain, method: '' }],
  ['{"method":"no interface"}', { ...plain, method: 'no interface' }],
];

/** systemd closes the connection on every one of these, without an answer. */
const noCalls = [
  'this is not json', '', ' ', 'null', '[]', '"x"', '[{"method":"a.B"}]', '{}', '{"parameters":{}}', '{"method":7}', '{"method":null}',
  '{"method":["x"]}', '{"method":true}', '{"method":"a.B","parameters":"x"}', '{"method":"a.B","parameters":[]}',
  '{"method":"a.B","parameters":5}', '{"method":"a.B","parameters":false}', '{"method":"a.B","frob":1}', '{"method":"a.B","continues":true}',
  '{"method":"a.B","error":"x"}', '{"method":"a.B","__proto__":{}}', '{"method":"a.B","more":true,"oneway":true}',
  '{"method":"a.B","more":true,"upgrade":true}', '{"method":"a.B","oneway":true,"upgrade":true}', '{"method":"a.B","more":1}',
  '{"method":"a.B","more":null}', '{"method":"a.B","oneway":null}', '{"method":"a.B","oneway":"x"}', '{"method":"a.B","upgrade":null}',
  '{"method":"a.B","upgrade":"x"}', '{"method":"a.B","method":"a.C"}', '{"method":"a.B","parameters":{},"parameters":{}}',
  '{"method":"a.B","parameters":{"a":01}}', '{"method":"a.B","parameters":{"a":"\\u0000"}}', '{"method":"a.B","parameters":{"\\u0000":1}}',
  `{"method":"a.B","parameters":{"name":${'['.repeat(5000)}${']'.repeat(5000)}}}`,
];

suite('varlink calls', () => {
  for (const [text, expected] of calls) test(`is a call: ${text}`, () => assert.deepEqual(parseCall(text), expected));
  for (const text of noCalls) {
    test(`is none: ${text.slice(0, 70)}`, () => assert.equal(parseCall(text).kind, 'protocol-error'));
  }

  test('a key that is there twice in the parameters is the parameters’ affair', () => {
    assert.equal(parseCall('{"method":"a.B","parameters":{"a":1,"a":2}}').kind, 'call');
  });

  test('are written', () => {
    assert.equal(stringifyJson(call('a.B')), '{"method":"a.B"}');
    assert.equal(stringifyJson(call('a.B', { id: 2n ** 64n - 1n }, { more: true })), '{"method":"a.B","parameters":{"id":18446744073709551615},"more":true}');
    assert.equal(stringifyJson(call('a.B', {}, { oneway: true })), '{"method":"a.B","oneway":true}');
  });
});

suite('varlink replies', () => {
  test('are written, without parameters if there are none', () => {
    assert.equal(stringifyJson(reply()), '{}');
    assert.equal(stringifyJson(reply({})), '{}');
    assert.equal(stringifyJson(reply({ name: 'x', id: undefined }, { continues: true })), '{"parameters":{"name":"x"},"continues":true}');
    assert.equal(stringifyJson(reply({}, { continues: false })), '{}');
    assert.equal(stringifyJson(errorReply('a.NoSuchThing')), '{"error":"a.NoSuchThing"}');
    assert.equal(stringifyJson(errorReply('a.Odd', { why: 'x' })), '{"error":"a.Odd","parameters":{"why":"x"}}');
  });

  test('are read', () => {
    assert.deepEqual(parseReply('{}'), { kind: 'reply', parameters: {}, continues: false });
    assert.deepEqual(parseReply('{"parameters":{"id":9007199254740993},"continues":true}'), { kind: 'reply', parameters: { id: 9007199254740993n }, continues: true });
    assert.deepEqual(parseReply('{"error":"a.Odd","parameters":{"why":"x"}}'), { kind: 'error', error: 'a.Odd', parameters: { why: 'x' } });
    assert.deepEqual(parseReply('{"error":"a.Odd","parameters":null,"continues":false}'), { kind: 'error', error: 'a.Odd', parameters: {} });
  });

  for (const text of ['x', '[]', '{"method":"a.B"}', '{"parameters":[]}', '{"continues":1}', '{"error":5}', '{"error":null}', '{"error":"a.B","continues":true}', '{"x":1}']) {
    test(`are not: ${text}`, () => assert.equal(parseReply(text).kind, 'protocol-error'));
  }
});
