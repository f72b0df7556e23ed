import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WireError } from '../../src/wire/dbus/errors.js';
import { isSignature, isSingleType, parseSignature, splitSignature } from '../../src/wire/dbus/signature.js';
import type { FromSignature } from '../../src/wire/dbus/signature.js';
import type { Variant } from '../../src/wire/dbus/value.js';

test('splits a signature into its complete types', () => {
  assert.deepEqual(splitSignature('sa(ssu)a{sv}vaay'), ['s', 'a(ssu)', 'a{sv}', 'v', 'aay']);
  assert.deepEqual(splitSignature(''), []);
});

test('knows alignment and depth', () => {
  const [dictionary, struct] = parseSignature('a{s(iv)}(y)').types;
  assert.equal(dictionary?.alignment, 4);
  assert.equal(dictionary?.depth, 4);
  assert.equal(struct?.alignment, 8);
  assert.equal(struct?.depth, 1);
});

test('refuses what is no signature', () => {
  const malformed = [
    'a', '(', ')', '()', '(s', 's)', '{sv}', 'a{sv', 'a{s}', 'a{}', 'a{vs}', 'a{asv}', 'a{sss}', 'a{s', 'a{', 'z',
    'S', 'a}', ' s', 's\0', 'é', '(s}', 'toString', '_',
  ];
  for (const text of malformed) {
    assert.throws(() => parseSignature(text), WireError, JSON.stringify(text));
    assert.equal(isSignature(text), false);
  }
});

test('is exact about its limits', () => {
  assert.ok(isSignature('y'.repeat(255)));
  assert.ok(!isSignature('y'.repeat(256)));
  assert.ok(isSignature(`${'a'.repeat(32)}y`));
  assert.ok(!isSignature(`${'a'.repeat(33)}y`));
  assert.ok(isSignature(`${'('.repeat(32)}y${')'.repeat(32)}`));
  assert.ok(!isSignature(`${'('.repeat(33)}y${')'.repeat(33)}`));
  assert.ok(isSignature(`${'a('.repeat(32)}y${')'.repeat(32)}`));
  assert.ok(isSignature(`${'a{y'.repeat(32)}y${'}'.repeat(32)}`));
  assert.ok(!isSignature(`${'('.repeat(32)}a{yy}${')'.repeat(32)}`));
});

test('tells single types from others', () => {
  assert.ok(isSingleType('a{sv}'));
  for (const text of ['', 'ss', 'a']) assert.ok(!isSingleType(text), text);
});

// Types are checked when this compiles: a wrong mapping makes the assignment of `true` an error.
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const same = <A, B>(_proof: Same<A, B>): void => undefined;

test('maps signatures to types', () => {
  same<FromSignature<''>, readonly []>(true);
  same<FromSignature<'ynqiuhd'>, readonly [number, number, number, number, number, number, number]>(true);
  same<FromSignature<'xtbsogv'>, readonly [bigint, bigint, boolean, string, string, string, Variant]>(true);
  same<FromSignature<'ayaay'>, readonly [Uint8Array, readonly Uint8Array[]]>(true);
  same<FromSignature<'sa(ssu)'>, readonly [string, readonly (readonly [string, string, number])[]]>(true);
  same<FromSignature<'a{sv}u'>, readonly [ReadonlyMap<string, Variant>, number]>(true);
  same<FromSignature<'a{ya{su}}'>, readonly [ReadonlyMap<number, ReadonlyMap<string, number>>]>(true);
  same<FromSignature<'a{y(ut)}'>, readonly [ReadonlyMap<number, readonly [number, bigint]>]>(true);
  same<FromSignature<'(y(as))'>, readonly [readonly [number, readonly [readonly string[]]]]>(true);
  same<FromSignature<'a(iayst)o'>[0], readonly (readonly [number, Uint8Array, string, bigint])[]>(true);
  same<FromSignature<string>, readonly unknown[]>(true);
  same<FromSignature<'(s'>, never>(true);
  same<FromSignature<'a{s}'>, never>(true);
  same<FromSignature<'Z'>, never>(true);
});
