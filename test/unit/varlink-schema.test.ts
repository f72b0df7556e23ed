import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { parseIntegerText } from '../../src/wire/varlink/integer.js';
import { parseJson } from '../../src/wire/varlink/json.js';
import {
  any, arrayOf, error, float, integer, mapOf, method, nullable, object, refined, required, unsigned64, varlinkInterface,
  type Input, type Output, type Type, type Value,
} from '../../src/wire/varlink/schema.js';
import { Colour, Kill, ProcessId, type List } from './varlink-sample.js';

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
type Flat<T> = { [K in keyof T]: T[K] };

/** Compiles only if every type given is `true`. */
function typesAgree<All extends readonly true[]>(...all: All): void {
  assert.ok(all.every((agrees) => agrees));
}

/** What the type makes of a JSON text: its value, 'misfit', or 'refused'. */
function outcome(type: Type<unknown>, text: string): unknown {
  const value = parseJson(text);
  if (!type.fits(value)) return 'misfit';
  const read = type.read(value);
  return read === undefined ? 'refused' : read;
}

suite('varlink schema', () => {
  test('gives TypeScript the types', () => {
    const colour: Same<Value<typeof Colour>, 'red' | 'blue' | 'dark_green'> = true;
    const process: Same<
      Flat<Value<typeof ProcessId>>,
      { readonly pid: number; readonly pidfdId?: bigint | undefined; readonly bootId?: string | undefined }
    > = true;
    const signal: Same<Input<typeof Kill>['signal'], number> = true;
    const optional: Same<Input<typeof Kill>['colour'], Value<typeof Colour> | undefined> = true;
    const output: Same<Output<typeof List>['addresses'], readonly number[] | undefined> = true;
    const extra: Same<(typeof Kill)['extra'], { authorization: string }> = true;
    const noExtra: Same<(typeof List)['extra'], undefined> = true;
    typesAgree(colour, process, signal, optional, output, extra, noExtra);
    assert.deepEqual(Kill.extra, { authorization: 'kill' });
  });

  test('integers', () => {
    const byte = integer({ minimum: 0, maximum: 255 });
    const textual = integer({ text: true });
    const table: readonly [Type<unknown>, string, unknown][] = [
      [byte, '0', 0], [byte, '255', 255], [byte, '256', 'refused'], [byte, '-1', 'refused'], [byte, '-0', 0], [byte, '-0.0', 0],
      [byte, '2.5', 'misfit'], [byte, '25e-1', 'misfit'], [byte, '2.0', 2], [byte, '1e2', 100], [byte, '1000e-1', 100],
      [byte, '"7"', 'refused'], [byte, 'true', 'misfit'], [byte, '[1]', 'misfit'], [byte, '1e400', 'misfit'], [byte, '1e30', 'misfit'],
      [textual, '"7"', 7], [textual, '"x"', 'refused'], [textual, '""', 'refused'], [textual, '9007199254740993', 'refused'],
      [unsigned64(), '18446744073709551615', 18446744073709551615n], [unsigned64(), '18446744073709551616', 'misfit'],
      [unsigned64(), '-1', 'refused'], [unsigned64(), '5', 5n], [unsigned64(), '1e19', 10000000000000000000n],
      [unsigned64(), '9007199254740993', 9007199254740993n], [unsigned64(), '"5"', 'refused'],
      [unsigned64({ text: true }), '"18446744073709551615"', 18446744073709551615n],
      [unsigned64({ text: true }), '"18446744073709551616"', 'refused'],
      [integer(), '-9223372036854775808', 'refused'], [integer(), '-9223372036854779000', 'misfit'],
    ];
    for (const [type, text, expected] of table) assert.deepEqual(outcome(type, text), expected, text);
  });

  test('other types', () => {
    const table: readonly [Type<unknown>, string, unknown][] = [
      [Colour, '"red"', 'red'], [Colour, '"RED"', 'misfit'], [Colour, '"toString"', 'misfit'], [Colour, '1', 'misfit'],
      [float, '1.5', 1.5], [float, '18446744073709551615', 18446744073709551615], [float, '"1"', 'misfit'],
      [object, '{"a":[1]}', { a: [1] }], [object, '[]', 'misfit'], [object, 'null', 'misfit'],
      [any, '[null]', [null]],
      [refined(integer(), (value) => value % 2 === 0), '4', 4], [refined(integer(), (value) => value % 2 === 0), '5', 'refused'],
      [refined(integer(), () => true), 'true', 'misfit'],
      [arrayOf(integer()), '[]', []], [arrayOf(integer()), '[1,2]', [1, 2]], [arrayOf(integer()), '[1,null]', 'misfit'],
      [arrayOf(integer()), '["1"]', 'refused'], [arrayOf(integer()), '{}', 'misfit'],
      [mapOf(integer()), '{"__proto__":1,"b":2}', new Map([['__proto__', 1], ['b', 2]])],
      [mapOf(integer()), '{"a":true}', 'misfit'], [mapOf(integer()), '{"a":1,"a":2}', 'refused'],
      [ProcessId, '{"pid":1}', { pid: 1 }], [ProcessId, '{"pid":1,"pidfdId":null}', { pid: 1 }],
      [ProcessId, '{"pid":1,"bootId":null}', 'refused'], [ProcessId, '{"pid":1,"more":1}', 'misfit'],
      [ProcessId, '{}', 'misfit'], [ProcessId, '{"pid":"0x10","pidfdId":"7"}', { pid: 16, pidfdId: 7n }],
      [ProcessId, '{"pid":1,"pid":1}', 'refused'],
    ];
    for (const [type, text, expected] of table) assert.deepEqual(outcome(type, text), expected, text);
  });

  test('integers given as text', () => {
    const table: readonly [string, bigint | undefined][] = [
      ['15', 15n], [' \t15', 15n], ['+15', 15n], ['-15', -15n], ['-0', 0n], ['0', 0n], ['0x0f', 15n], ['0X0F', 15n], ['0b11', 3n],
      ['0o17', 15n], ['017', 15n], ['-017', -15n], ['00', 0n], ['09', undefined], ['15 ', undefined], ['', undefined], [' ', undefined],
      ['1.0', undefined], ['1e3', undefined], ['+ 1', undefined], ['0x', undefined], ['x', undefined], ['--1', undefined],
      ['9'.repeat(100), undefined], ['\u00a01', undefined],
    ];
    for (const [text, expected] of table) assert.equal(parseIntegerText(text), expected, JSON.stringify(text));
  });

  test('a faulty declaration is a bug', () => {
    const Use = method({ input: { colours: nullable(arrayOf(Colour)) }, output: {} });
    const declaration = { name: 'org.example.X', types: [Colour], methods: { Use }, errors: {} };
    assert.equal(varlinkInterface(declaration).methods.Use, Use);
    assert.throws(() => varlinkInterface({ ...declaration, types: [] }), /uses the type Colour/);
    assert.throws(() => varlinkInterface({ ...declaration, errors: { Use: error() } }), /declares Use twice/);
    assert.throws(
      () => varlinkInterface({ ...declaration, methods: {}, errors: { Bad: error('', { process: required(ProcessId) }) } }),
      /uses the type ProcessId/,
    );
  });
});
