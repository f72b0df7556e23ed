import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { parseCall } from '../../src/wire/varlink/call.js';
import { MethodTable, outputMisfit, readInput } from '../../src/wire/varlink/validate.js';
import { Kill, List, Sample } from './varlink-sample.js';

const table = new MethodTable([Sample]);

/** The input, or the error's name, with the parameter's where there is one. */
function outcome(method: string, parameters: string, flags = ''): unknown {
  const call = parseCall(`{"method":"org.example.Sample.${method}","parameters":${parameters}${flags}}`);
  assert.equal(call.kind, 'call', parameters);
  if (call.kind !== 'call') return undefined;
  const result = table.resolve(call);
  if (result.ok) return result.input;
  const name = result.error.replace('org.varlink.service.', '');
  return [name, ...Object.values(result.parameters)].join(' ').replace('InvalidParameter ', '! ');
}

// What systemd-machined 262 answers to calls of the same shape was the model for all of these.
const outcomes: readonly (readonly [string, string, unknown])[] = [
  // the types of declared fields come first, in the order of declaration, and a missing field counts as one of the wrong type
  ['Kill', '{}', '! signal'],
  ['Kill', '{"frob":1}', '! signal'],
  ['Kill', '{"signal":null}', '! signal'],
  ['Kill', '{"frob":1,"signal":null}', '! signal'],
  ['Kill', '{"frob":1,"signal":15.5}', '! signal'],
  ['Kill', '{"frob":1,"signal":true}', '! signal'],
  ['Kill', '{"frob":1,"signal":1e30}', '! signal'],
  ['Kill', '{"signal":"x","name":5}', '! name'],
  ['Kill', '{"signal":15,"signal":"x","name":5}', '! name'],
  ['Kill', '{"signal":"x","pid":5,"name":5}', '! name'],
  ['Kill', '{"pid":5,"signal":"x"}', '! pid'],
  ['Kill', '{"signal":"x","pid":5}', '! pid'],
  ['Kill', '{"interactive":1,"signal":1}', '! interactive'],
  ['Kill', '{"colour":5,"interactive":5,"signal":1}', '! interactive'],
  ['Kill', '{"signal":"x","colour":"x"}', '! colour'],
  ['Kill', '{"frob":1,"signal":1,"colour":"x"}', '! colour'],
  ['Kill', '{"frob":1,"signal":1,"pid":{"pid":true}}', '! pid'],
  ['Kill', '{"frob":1,"signal":1,"pid":{"pid":null}}', '! pid'],
  ['Kill', '{"frob":1,"signal":1,"pid":{"pidfdId":1}}', '! pid'],
  ['Kill', '{"frob":1,"signal":1,"pid":{"pid":1,"x":1}}', '! pid'],
  // then fields that are not declared, in the order of the message
  ['Kill', '{"frob":1,"brob":1,"signal":1}', '! frob'],
  ['Kill', '{"signal":"x","frob":1}', '! frob'],
  ['Kill', '{"signal":65,"frob":1}', '! frob'],
  ['Kill', '{"name":null,"signal":1,"frob":1}', '! frob'],
  ['Kill', '{"signal":1,"pid":{"pid":"x"},"frob":1}', '! frob'],
  ['Kill', '{"name":"a/b","signal":1,"frob":1}', '! frob'],
  ['Kill', '{"signal":1,"":1}', '! '],
  ['Kill', '{"signal":1,"__proto__":1}', '! __proto__'],
  ['Kill', '{"signal":1,"toString":1}', '! toString'],
  // then the values, in the order of the message: most fields refuse a null, and only some take a string for an integer
  ['Kill', '{"name":null,"signal":"x"}', '! name'],
  ['Kill', '{"signal":"x","name":null}', '! signal'],
  ['Kill', '{"signal":0}', '! signal'],
  ['Kill', '{"signal":65}', '! signal'],
  ['Kill', '{"signal":-1}', '! signal'],
  ['Kill', '{"signal":"term"}', '! signal'],
  ['Kill', '{"signal":"15 "}', '! signal'],
  ['Kill', '{"signal":15,"colour":null}', '! colour'],
  ['Kill', '{"signal":15,"interactive":null}', '! interactive'],
  ['Kill', '{"signal":15,"pid":{"pid":-1}}', '! pid'],
  ['Kill', '{"signal":15,"pid":{"pid":2147483648}}', '! pid'],
  ['Kill', '{"signal":15,"pid":{"pid":1,"bootId":null}}', '! pid'],
  ['Kill', '{"signal":15,"pid":{"pid":1,"pid":1}}', '! pid'],
  ['Kill', '{"signal":15,"signal":15}', '! signal'],
  ['Map', '{"uid":"1000"}', '! uid'],
  ['Map', '{"uid":4294967295}', '! uid'],
  ['Map', '{"ids":["1"]}', '! ids'],
  ['Map', '{"ids":[0]}', '! ids'],
  ['SetLevel', '{"x":1,"level":"z"}', '! x'],
  ['SetLevel', '{}', '! level'],
  ['SetLevel', '{"level":8}', '! level'],
  ['SetLevel', '{"level":"info"}', '! level'],
  // and last the conditions on their own
  ['Kill', '{"name":"a/b","signal":"x"}', '! signal'],
  ['Kill', '{"name":"a/b","signal":15}', '! name'],
  ['Kill', '{"name":"","signal":15}', '! name'],
  ['Kill', '{"name":"a/b","signal":1,"signal":1}', '! signal'],
  // what is right
  ['Kill', '{"signal":"SIGTERM"}', { signal: 15 }],
  ['Kill', '{"signal":"015"}', { signal: 13 }],
  ['Kill', '{"signal":1.5e1,"pid":null}', { signal: 15 }],
  ['Kill', '{"signal":9,"pid":{"pid":"7","pidfdId":18446744073709551615}}', { signal: 9, pid: { pid: 7, pidfdId: 18446744073709551615n } }],
  ['Map', '{"uid":1e3}', { uid: 1000 }],
  ['Map', 'null', {}],
  ['SetLevel', '{"level":null}', {}],
  ['SetLevel', '{"level":"6"}', { level: 6 }],
  ['SetLevel', '{"level":6.0}', { level: 6 }],
];

suite('varlink parameters', () => {
  for (const [method, parameters, expected] of outcomes) {
    test(`${method} ${parameters}`, () => assert.deepEqual(outcome(method, parameters), expected));
  }

  test('a method that is not there', () => {
    for (const method of ['GetInfo', 'com.example.Frob', 'org.example.Sample.', 'org.example.Sample.Ki ll', '', '.', '__proto__']) {
      const call = parseCall(JSON.stringify({ method, parameters: { frob: 1 } }));
      assert.ok(call.kind === 'call');
      assert.deepEqual(table.resolve(call), { ok: false, error: 'org.varlink.service.MethodNotFound', parameters: { method } });
    }
  });

  test("'more' is asked for before the parameters are looked at, and ignored where it is not known", () => {
    assert.equal(outcome('Clean', '{"frob":1}'), 'ExpectedMore');
    assert.equal(outcome('Clean', '{"mode":"x"}', ',"more":true'), '! mode');
    assert.deepEqual(outcome('Clean', '{"mode":"red"}', ',"more":true'), { mode: 'red' });
    assert.deepEqual(outcome('Map', '{}', ',"more":true'), {});
    assert.deepEqual(outcome('List', '{}'), {});
  });

  test('the entry leads to the declaration', () => {
    const entry = table.find('org.example.Sample.Kill');
    assert.deepEqual([entry?.interface, entry?.name, entry?.method], [Sample, 'Kill', Kill]);
    assert.equal(table.find('Kill'), undefined);
  });

  test('readInput is typed', () => {
    const result = readInput(Kill, { parameters: { signal: 9 }, more: false });
    assert.ok(result.ok);
    const signal: number = result.input.signal;
    assert.equal(signal, 9);
  });

  test('output', () => {
    assert.equal(outputMisfit(List, { name: 'x', leader: { pid: 1 } }), undefined);
    assert.equal(outputMisfit(List, { name: 'x', leader: { pid: 1, x: 1 } }), 'leader');
    assert.equal(outputMisfit(List, {}), 'name');
    assert.equal(outputMisfit(List, { name: 'x', y: 1 }), 'y');
  });
});
