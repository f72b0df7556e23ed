import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ValueError, WireError } from '../../src/wire/dbus/errors.js';
import { maximumArrayLength, maximumMessageFds } from '../../src/wire/dbus/limits.js';
import { markUnchanging, marshal } from '../../src/wire/dbus/marshal.js';
import { unmarshal } from '../../src/wire/dbus/unmarshal.js';
import { variant } from '../../src/wire/dbus/value.js';
import type { Variant } from '../../src/wire/dbus/value.js';

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(/\s/g, ''), 'hex');

// Signature, values, little endian, big endian; worked out by hand from the specification's "Marshaling (Wire Format)".
const vectors: readonly (readonly [string, readonly unknown[], string, string])[] = [
  ['y', [0xfe], 'fe', 'fe'],
  ['b', [true], '01000000', '00000001'],
  ['n', [-2], 'feff', 'fffe'],
  ['q', [0x1234], '3412', '1234'],
  ['i', [-2], 'feffffff', 'fffffffe'],
  ['u', [0xdeadbeef], 'efbeadde', 'deadbeef'],
  ['x', [-2n], 'feffffffffffffff', 'fffffffffffffffe'],
  ['t', [0x0123456789abcdefn], 'efcdab8967452301', '0123456789abcdef'],
  ['d', [1.5], '000000000000f83f', '3ff8000000000000'],
  ['s', ['foo'], '03000000 666f6f 00', '00000003 666f6f 00'],
  ['s', ['é€😀'], '09000000 c3a9e282acf09f9880 00', '00000009 c3a9e282acf09f9880 00'],
  ['o', ['/a_1'], '04000000 2f615f31 00', '00000004 2f615f31 00'],
  ['g', ['a{sv}'], '05 617b73767d 00', '05 617b73767d 00'],
  ['yi', [1, 2], '01 000000 02000000', '01 000000 00000002'],
  ['yx', [1, 2n], '01 00000000000000 0200000000000000', '01 00000000000000 0000000000000002'],
  ['ay', [Uint8Array.of(1, 2, 3)], '03000000 010203', '00000003 010203'],
  ['at', [[5n]], '08000000 00000000 0500000000000000', '00000008 00000000 0000000000000005'],
  ['at', [[]], '00000000 00000000', '00000000 00000000'],
  ['as', [['a', 'bc']], '0f000000 01000000 61000000 02000000 626300', '0000000f 00000001 61000000 00000002 626300'],
  ['y(ys)', [1, [2, 'x']], '01 00000000000000 02 000000 01000000 78 00', '01 00000000000000 02 000000 00000001 78 00'],
  ['v', [variant('u', 7)], '01 75 00 00 07000000', '01 75 00 00 00000007'],
  ['a{yv}', [new Map([[1, variant('q', 3)]])], '06000000 00000000 010171000300', '00000006 00000000 010171000003'],
];

test('writes and reads known bytes in both byte orders', () => {
  for (const [signature, values, little, big] of vectors) {
    assert.deepEqual(marshal(signature, values, true).bytes, hex(little), signature);
    assert.deepEqual(marshal(signature, values, false).bytes, hex(big), signature);
    assert.deepEqual(unmarshal(signature, hex(little), true), values);
    assert.deepEqual(unmarshal(signature, hex(big), false), values);
  }
});

test('every type survives the way there and back', () => {
  const cases: readonly (readonly [string, readonly unknown[]])[] = [
    ['yyybbnnqq', [0, 127, 255, true, false, -0x8000, 0x7fff, 0, 0xffff]],
    ['iiuu', [-0x80000000, 0x7fffffff, 0, 0xffffffff]],
    ['xxtt', [-(2n ** 63n), 2n ** 63n - 1n, 0n, 2n ** 64n - 1n]],
    ['ddddd', [-0, NaN, Infinity, 5e-324, Number.MAX_VALUE]],
    ['sss', ['', 'x'.repeat(1000), `\ufeff${'ü'.repeat(100)}`]],
    ['ooo', ['/', '/a/b', `/${'_'.repeat(300)}`]],
    ['ggg', ['', 'sa{sv}', 'y'.repeat(255)]],
    ['aya(ssso)', [new Uint8Array(0), [['a', 'b', 'c', '/'], ['d', 'e', 'f', '/g']]]],
    ['aaaiv', [[[], [[]], [[1], [2, 3]]], variant('v', variant('a{s(ib)}', new Map([['k', [1, true]]])))]],
    ['a{od}a{xs}', [new Map([['/x', 1.5]]), new Map([[1n, 'one'], [2n, 'two']])]],
  ];
  for (const [signature, values] of cases) {
    for (const littleEndian of [true, false]) {
      assert.deepEqual(unmarshal(signature, marshal(signature, values, littleEndian).bytes, littleEndian), values);
    }
  }
});

test('collects descriptors in order, and gives them back', () => {
  const values = [7, [5, 7], variant('h', 9)];
  const { bytes, fds } = marshal('hahv', values);
  assert.deepEqual(fds, [7, 5, 7, 9]);
  assert.deepEqual(unmarshal('hahv', bytes, true, [17, 15, 18, 19]), [17, [15, 18], variant('h', 19)]);
  assert.throws(() => unmarshal('hahv', bytes, true, [17, 15, 18]), WireError);
  assert.throws(() => marshal('ah', [new Array(maximumMessageFds + 1).fill(0)]), ValueError);
});

test('refuses values that do not fit their signature', () => {
  const misfits: readonly (readonly [string, unknown])[] = [
    ['y', 256], ['y', -1], ['y', 1.5], ['y', '1'], ['y', NaN], ['b', 1], ['n', 0x8000], ['q', -1], ['i', 2 ** 31],
    ['i', -(2 ** 31) - 1], ['u', 2 ** 32], ['u', 1n], ['x', 1], ['x', 2n ** 63n], ['x', -(2n ** 63n) - 1n], ['t', -1n],
    ['t', 2n ** 64n], ['d', '1'], ['s', 1], ['s', 'a\0b'], ['s', '\ud800'], ['s', `${'x'.repeat(100)}\udc00`],
    ['s', `${'x'.repeat(100)}\0`], ['s', undefined], ['o', ''], ['o', 'a'], ['o', '/a/'], ['o', '//'], ['o', '/a-b'],
    ['o', '/é'], ['g', 'a'], ['g', 1], ['h', -1], ['ay', [1]], ['as', 'a'], ['as', { length: 1 }], ['a{ss}', {}],
    ['a{ss}', new Map([['a', 1]])], ['(ss)', ['a']], ['(ss)', ['a', 'b', 'c']], ['v', 'x'], ['v', null],
    ['v', { signature: 'ss', value: 'x' }], ['v', { signature: '', value: 'x' }], ['v', { signature: '(', value: 'x' }],
    ['v', { signature: 'u', value: 'x' }],
  ];
  for (const [signature, value] of misfits) assert.throws(() => marshal(signature, [value]), ValueError, signature);
  assert.throws(() => marshal('ss', ['one']), ValueError);
  assert.throws(() => marshal('', ['one']), ValueError);
  assert.throws(() => marshal('(', []), ValueError);
});

test('refuses malformed bytes', () => {
  const malformed: readonly (readonly [string, string, string])[] = [
    ['y', '', 'nothing there'],
    ['u', '010000', 'too short'],
    ['y', '0101', 'bytes left over'],
    ['', '00', 'bytes left over'],
    ['b', '02000000', 'neither true nor false'],
    ['yi', '01 000100 02000000', 'padding'],
    ['at', '00000000 00000001', 'padding of an empty array'],
    ['s', '03000000 666f6f', 'no NUL'],
    ['s', '03000000 666f6f01', 'no NUL'],
    ['s', '03000000 66006f 00', 'NUL inside'],
    ['s', 'ffffffff 66', 'longer than the message'],
    ['s', '02000000 c328 00', 'not UTF-8'],
    ['s', '03000000 eda080 00', 'a surrogate'],
    ['s', '02000000 c080 00', 'overlong'],
    ['o', '00000000 00', 'empty path'],
    ['o', '02000000 2f2f 00', 'empty element'],
    ['o', '03000000 2f612f 00', 'slash at the end'],
    ['o', '02000000 2f2d 00', 'character'],
    ['g', '01 61 00', 'half a signature'],
    ['g', '01 79 01', 'no NUL'],
    ['g', 'ff 79', 'longer than the message'],
    ['v', '00 00', 'no type'],
    ['v', '02 7979 00 01 02', 'two types'],
    ['v', '01 61 00', 'no complete type'],
    ['au', '03000000 010000', 'element beyond the array'],
    ['au', '05000000 01000000 02000000', 'element beyond the array'],
    ['ay', '04000000 010203', 'array beyond the message'],
    ['as', '05000000 01000000 6100', 'last element one beyond'],
  ];
  for (const [signature, bytes, problem] of malformed) {
    assert.throws(() => unmarshal(signature, hex(bytes)), WireError, `${signature}: ${problem}`);
  }
  assert.throws(() => unmarshal('(', hex('')), WireError);
});

test('an array may have 64 MiB, and no byte more', () => {
  const longest = new Uint8Array(maximumArrayLength);
  const { bytes } = marshal('ay', [longest]);
  assert.equal((unmarshal('ay', bytes)[0] as Uint8Array).length, maximumArrayLength);
  assert.throws(() => marshal('ay', [new Uint8Array(maximumArrayLength + 1)]), ValueError);
  assert.throws(() => marshal('aay', [[longest]]), ValueError);
  const tooLong = Buffer.alloc(4 + maximumArrayLength + 1);
  tooLong.writeUInt32LE(maximumArrayLength + 1);
  assert.throws(() => unmarshal('ay', tooLong), /too long/);
});

function nest(levels: number): Variant {
  let value: Variant = { signature: 'y', value: 1 };
  for (let level = 1; level < levels; level++) value = { signature: 'v', value };
  return value;
}

test('64 containers may be around a value, and not one more, variants included', () => {
  const { bytes } = marshal('v', [nest(64)]);
  assert.deepEqual(unmarshal('v', bytes), [nest(64)]);
  assert.throws(() => marshal('v', [nest(65)]), ValueError);

  // One more level by hand: 'v' in front of what was the outermost value.
  assert.throws(() => unmarshal('v', Buffer.concat([hex('01 76 00'), bytes])), /too deeply/);

  const { bytes: inArray } = marshal('a(v)', [[[nest(62)]]]);
  assert.deepEqual(unmarshal('a(v)', inArray), [[[nest(62)]]]);
  assert.throws(() => marshal('a(v)', [[[nest(63)]]]), ValueError);
  const deep = `${'a('.repeat(32)}y${')'.repeat(32)}`;
  assert.throws(() => marshal('v', [{ signature: deep, value: [] }]), ValueError);
});

test('a depth reached in one value does not count for the next', () => {
  const values = [nest(64), nest(64), new Map([['a', nest(62)], ['b', nest(62)]])];
  assert.deepEqual(unmarshal('vva{sv}', marshal('vva{sv}', values).bytes), values);
});

test('the last value of a repeated key counts', () => {
  const { bytes } = marshal('a(yy)', [[[1, 2], [1, 3]]]);
  assert.deepEqual(unmarshal('a{yy}', bytes), [new Map([[1, 3]])]);
});

test('byte arrays are copies', () => {
  const { bytes } = marshal('ay', [Uint8Array.of(1)]);
  const [copy] = unmarshal('ay', bytes) as [Uint8Array];
  bytes.fill(0);
  assert.deepEqual(copy, Uint8Array.of(1));
});

test('an array that does not change is written as ever, wherever it is in a message', () => {
  const rows = [['a', 1n, '/a'], ['é', 2n, '/b']];
  const kept = markUnchanging([...rows]);
  const bodies: readonly (readonly [string, (array: unknown) => readonly unknown[]])[] = [
    ['a(sto)', (array) => [array]],
    ['ya(sto)', (array) => [7, array]],
    ['sa(sto)y', (array) => ['text', array, 7]],
  ];
  for (const [signature, bodyWith] of bodies) {
    const expected = { little: marshal(signature, bodyWith(rows), true), big: marshal(signature, bodyWith(rows), false) };
    for (const order of ['little', 'little', 'big', 'big', 'little'] as const) {
      assert.deepEqual(marshal(signature, bodyWith(kept), order === 'little'), expected[order], `${signature} ${order}`);
    }
  }
  assert.deepEqual(marshal('a(sxs)', [kept]), marshal('a(sxs)', [rows]), 'by another signature');
  assert.deepEqual(marshal('a(sto)', [markUnchanging([])]), marshal('a(sto)', [[]]));
});

test('an array that does not change is marshalled once', () => {
  let reads = 0;
  const row = new Proxy(['a', '/a'], {
    get: (target, key) => {
      if (key === '0') reads += 1;
      return Reflect.get(target, key) as unknown;
    },
  });
  const kept = markUnchanging([row]);
  for (let time = 0; time < 3; time++) marshal('a(so)', [kept]);
  assert.equal(reads, 1);
});

test('descriptors and variants are never kept', () => {
  const withDescriptor = markUnchanging([[5]]);
  assert.deepEqual([marshal('a(h)', [withDescriptor]).fds, marshal('a(h)', [withDescriptor]).fds], [[5], [5]]);
  const content: { signature: string; value: unknown } = variant('u', 1);
  const withVariant = markUnchanging([[content]]);
  marshal('a(v)', [withVariant]);
  content.value = 2;
  assert.deepEqual(marshal('a(v)', [withVariant]), marshal('a(v)', [[[variant('u', 2)]]]));
});

test('what cannot be written is refused every time', () => {
  const kept = markUnchanging([['a'], [1]]);
  for (let time = 0; time < 2; time++) assert.throws(() => marshal('a(s)', [kept]), ValueError);
});
