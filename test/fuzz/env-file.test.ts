/** Whatever is written is read back, and whatever is read ends in time without an unexpected error. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { EnvFileError, formatAssignment, parseEnvFile } from '../../src/wire/env-file.js';

const key = fc.stringMatching(/^[A-Z_][A-Z0-9_]{0,12}$/);
const nasty = fc.constantFrom(...` \t\n\r"'\\$\`#;=~é😀\x01\x7f`, 'a', '\\\n', '"\n', ' \n');
const value = fc.oneof(
  fc.array(nasty).map((parts) => parts.join('')),
  fc.string({ unit: 'grapheme' }).map((text) => text.replaceAll('\0', '')),
);

test('values survive being written and read', () => {
  fc.assert(
    fc.property(fc.dictionary(key, value, { maxKeys: 8 }), (values) => {
      const text = Object.entries(values).map(([name, text]) => formatAssignment(name, text)).join('');
      const read = parseEnvFile(Buffer.from(`# comment\n${text}`));
      assert.deepEqual([...read], Object.entries(values));
    }),
    { numRuns: 3000 },
  );
});

test('any bytes are either read or refused as no text', () => {
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), fc.array(nasty).map((parts) => Buffer.from(parts.join('')))), (bytes) => {
      try {
        for (const name of parseEnvFile(bytes).keys()) assert.ok(name !== '' && !name.includes('=') && !name.includes('\n'));
      } catch (error) {
        if (!(error instanceof EnvFileError)) throw error;
      }
    }),
    { numRuns: 5000 },
  );
});

test('a megabyte of anything takes well under a second', () => {
  for (const piece of ['\\', '"', "'", '=', ' ', 'A', '\n', 'A="', "A='x'", '#', 'A= \\ ', 'A=b ']) {
    const bytes = Buffer.alloc(1 << 20, piece);
    const before = performance.now();
    parseEnvFile(bytes);
    const took = performance.now() - before;
    assert.ok(took < 2000, `${JSON.stringify(piece)}: ${took} ms`);
  }
});
