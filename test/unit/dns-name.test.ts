import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dnsLabels } from '../../src/wire/dns-name.js';

// What systemd 262 takes for a domain name was the model for all of these.
test('domain names have labels', () => {
  assert.deepEqual(dnsLabels(''), []);
  assert.deepEqual(dnsLabels('.'), []);
  assert.deepEqual(dnsLabels('a.B'), ['a', 'B']);
  assert.deepEqual(dnsLabels('a.b.'), ['a', 'b']);
  assert.deepEqual(dnsLabels('a\\.b\\\\.\\127'), ['a\\.b\\\\', '\\127']);
  for (const name of [' ', '*', '-a', 'a-', '_x', 'é', '😀', 'a"/:@b', '\u0085']) assert.deepEqual(dnsLabels(name), [name]);
});

test('names that no domain can have', () => {
  for (const name of ['..', '.a', 'a..', 'a..b', 'a\n', '\0', 'a\x7f', '\\', 'a\\', 'a\\04', 'a\\256', 'a\\x', '.host']) {
    assert.equal(dnsLabels(name), undefined, JSON.stringify(name));
  }
});

test('labels and names are not too long', () => {
  for (const longest of ['a'.repeat(63), `${'é'.repeat(31)}a`, '\\097'.repeat(63), `${'a.'.repeat(126)}a`]) {
    assert.ok(dnsLabels(longest) !== undefined, longest);
    assert.ok(dnsLabels(`${longest}.`) !== undefined, longest);
    assert.equal(dnsLabels(`a${longest}.${'b'.repeat(63)}.`.repeat(3)), undefined, longest);
  }
  for (const name of ['a'.repeat(64), 'é'.repeat(32), '\\097'.repeat(64), 'a.'.repeat(127) + 'a']) assert.equal(dnsLabels(name), undefined, name);
});
