import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { isAbsolutePath, isNormalizedPath } from '../../src/domain/path.js';

test('paths that say where something is, and others', () => {
  for (const good of ['/', '/a', '/a/', '/a/b.c/..d', '/…', `/${'a'.repeat(255)}`, '/a'.repeat(2047)]) assert.ok(isNormalizedPath(good), good);
  for (const bad of ['', 'a', '.', '//', '/a//b', '/.', '/a/..', '/a/../b', '/./a', '/a\0b', `/${'a'.repeat(256)}`, `/${'ü'.repeat(128)}/b`, '/a'.repeat(2048)]) {
    assert.ok(!isNormalizedPath(bad), bad);
  }
});

test('absolute paths need not be normalized', () => {
  for (const good of ['/', '//', '/a//b', '/./a/..', `//${'a/'.repeat(2046)}a`]) assert.ok(isAbsolutePath(good), good);
  for (const bad of ['', 'a', './a', '/a\0', `/${'a'.repeat(256)}`, `//${'a/'.repeat(2047)}`]) assert.ok(!isAbsolutePath(bad), bad);
});

test('what is normalized is below the root, wherever that is', () => {
  const part = fc.constantFrom('a', '..', '.', '', 'b.', '...', '\0');
  fc.assert(
    fc.property(fc.array(part, { maxLength: 8 }), (parts) => {
      const text = `/${parts.join('/')}`;
      const isPlain = path.posix.normalize(text) === text && !text.includes('\0');
      assert.equal(isNormalizedPath(text), isPlain);
    }),
  );
});
