import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { JsonError, markUnchanging, maximumDepth, parseJson, repeatedKey, stringifyJson, type JsonObject, type Writable } from '../../src/wire/varlink/json.js';

const good: readonly (readonly [string, unknown])[] = [
  ['null', null], ['true', true], [' \t\r\nfalse \n', false], ['0', 0], ['-0', -0], ['-12', -12], ['1e3', 1000], ['1E+3', 1000],
  ['1.5', 1.5], ['0.1e4', 1000], ['1e400', Infinity], ['-1e999999999999999999', -Infinity],
  ['9007199254740991', 9007199254740991], ['9007199254740992', 9007199254740992n], ['9007199254740993', 9007199254740993n],
  ['-9007199254740993', -9007199254740993n], ['18446744073709551615', 18446744073709551615n],
  ['18446744073709551616', 18446744073709552000], ['-9223372036854775808', -9223372036854775808n],
  ['-9223372036854775809', -9223372036854775808], ['123456789012345678901234567890', 1.2345678901234568e29],
  ['9007199254740993.0', 9007199254740992],
  ['""', ''], ['"a\u0080\u2028\ufffdé"', 'a\u0080\u2028\ufffdé'], ['"\\u00e9\\u00E9"', 'éé'], ['"\\ud83d\\ude00"', '😀'], ['"😀"', '😀'],
  ['"\\u007f\\u0001\\b\\f\\n\\r\\t\\/\\\\\\""', '\x7f\u0001\b\f\n\r\t/\\"'], ['"\\\\"', '\\'], ['"\u{10fffd}\ufdf0\ue000"', '\u{10fffd}\ufdf0\ue000'],
  ['[]', []], ['[ 1 , [ ] , { } ]', [1, [], {}]], ['{}', {}], [' { "a" : { "b" : [ null ] } , "" : 2 } ', { a: { b: [null] }, '': 2 }],
  ['{"\\u0061":1}', { a: 1 }],
];

const bad = [
  '', ' ', 'x', 'nul', 'nullx', 'TRUE', 'NaN', 'Infinity', '01', '00', '-', '-01', '+5', '.5', '1.', '1e', '1e+', '0x1', '1 2', '1true',
  '"', '"a', '"\\"', '"\\', '"\\q"', '"\\x2d"', '"\\u00g9"', '"\\u12"', '"\\U00e9"', '"\t"', '"\n"', '"\x00"', '"\x7f"', "'a'",
  '"\\u0000"', '"\\ud800"', '"\\udc00\\ud800"', '"\\ud83dx"', '"\ud800"', '"\\ufffe"', '"\\uffff"', '"\\ufdd0"', '"\\ud83f\\udffe"',
  '"\ufffe"', '"\ufdd0"', '"\u{1ffff}"', '[', '[1', '[1,', '[1,]', '[,1]', '[1 2]', '[1}', ']', '{', '{"a"', '{"a":', '{"a":1', '{"a":1,}', '{,"a":1}',
  '{"a"}', '{a:1}', '{1:2}', '{null:2}', '{"a" 1}', '{"a":1"b":2}', '{"a":1]', '{}{}', '{}x', '{}\0', '\ufeff{}', '\v{}', '\f{}', '\u00a0{}',
  '{}//x', '{/* x */}', '/* c */{}', '{}#',
];

suite('varlink JSON', () => {
  for (const [text, expected] of good) test(`parses ${text}`, () => assert.deepEqual(parseJson(text), expected));
  for (const text of bad) test(`refuses ${JSON.stringify(text)}`, () => assert.throws(() => parseJson(text), JsonError));

  test('a key that is there twice leaves a mark', () => {
    const outer = parseJson('{"x":{"a":1,"b":2,"a":3,"b":4},"y":5}') as { x: JsonObject } & JsonObject;
    assert.equal(outer[repeatedKey], undefined);
    assert.equal(outer.x[repeatedKey], 'a');
    assert.deepEqual({ ...outer.x, [repeatedKey]: undefined }, { a: 1, b: 2, [repeatedKey]: undefined });
  });

  test('__proto__ is a key like any other', () => {
    const object = parseJson('{"__proto__":{"polluted":1}}') as JsonObject;
    assert.deepEqual(Object.keys(object), ['__proto__']);
    assert.equal(Object.getPrototypeOf(object), Object.prototype);
    assert.equal(object['polluted'], undefined);
  });

  test('nesting is limited', () => {
    const nested = (levels: number) => '['.repeat(levels) + ']'.repeat(levels);
    assert.ok(Array.isArray(parseJson(nested(maximumDepth))));
    assert.equal(stringifyJson(parseJson(nested(maximumDepth))), nested(maximumDepth));
    assert.throws(() => parseJson(nested(maximumDepth + 1)), /levels/);
    assert.throws(() => parseJson('{"a":'.repeat(1e6)), /levels/);
    assert.deepEqual(parseJson(`[${'[],'.repeat(3000)}1]`), [...Array.from({ length: 3000 }, () => []), 1]);
  });

  test('a number of a million digits takes no time', () => {
    const start = performance.now();
    assert.equal(parseJson('9'.repeat(1e6)), Infinity);
    assert.ok(performance.now() - start < 500);
  });

  test('writes', () => {
    const table: readonly (readonly [Writable, string])[] = [
      [{ a: 1, b: undefined, c: [true, null, 'x'], d: {} }, '{"a":1,"c":[true,null,"x"],"d":{}}'],
      [{ b: undefined, a: undefined }, '{}'],
      [18446744073709551615n, '18446744073709551615'], [-5n, '-5'], [1e21, '1e+21'], [-0, '0'], [NaN, 'null'], [Infinity, 'null'],
      ['é😀/\u2028', '"é😀/\u2028"'], ['"\\\b\f\n\r\t\u0001', '"\\"\\\\\\b\\f\\n\\r\\t\\u0001"'], ['\x7f', '"\\u007f"'],
      ['a\ud800b\udc00', '"a\ufffdb\ufffd"'], ['\0\ufffe\ufdd0\u{1ffff}', '"\ufffd\ufffd\ufffd\ufffd"'],
      [{ 'a"b': 1, '\ud800': 2 }, '{"a\\"b":1,"\ufffd":2}'], [new Map<string, Writable>([['__proto__', 1], ['b', [2n]]]), '{"__proto__":1,"b":[2]}'],
      [[undefined, 1], '[null,1]'],
    ];
    for (const [value, text] of table) assert.equal(stringifyJson(value), text);
  });
});

suite('an object that does not change', () => {
  const plain = { name: 'é😀\0', list: [1, { deep: 2n }], none: undefined };

  test('has the text that it would have anyway', () => {
    const kept = markUnchanging({ ...plain });
    for (let time = 0; time < 3; time++) assert.equal(stringifyJson({ parameters: kept, continues: true }), stringifyJson({ parameters: plain, continues: true }));
    assert.equal(stringifyJson(markUnchanging({})), '{}');
  });

  test('is looked at once', () => {
    let reads = 0;
    const kept = markUnchanging({
      get name() {
        reads += 1;
        return 'one';
      },
    });
    for (let time = 0; time < 3; time++) assert.equal(stringifyJson([kept]), '[{"name":"one"}]');
    assert.equal(reads, 1);
  });
});
