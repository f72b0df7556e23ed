/** Names that nobody thought of: of images, of files, of versions. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isImageName } from '../../src/domain/image.js';
import { entriesOfName, readEntryName } from '../../src/domain/image-entry.js';
import { compareVersions, readVersionedEntry, sortVersions } from '../../src/domain/versioned.js';

const part = fc.constantFrom('x', 'y', '.', '..', '.raw', '.mstack', '.v', '_', '+', '#', '/', '\n', 'ü', '\ud800', ' ', '~');
const name = fc.oneof(fc.string({ unit: 'binary' }), fc.array(part, { maxLength: 8 }).map((parts) => parts.join('')));
const versionUnit = fc.constantFrom('0', '1', '2', '9', 'a', 'A', 'b', '~', '^', '.', '-', '_', '+', ' ');
const version = fc.string({ unit: versionUnit, maxLength: 7 });

test('a file is an image of a good name only, and is found by it', () => {
  fc.assert(
    fc.property(name, (file) => {
      for (const entry of readEntryName(file)) {
        assert.ok(isImageName(entry.name));
        assert.equal(entry.name + entry.form.ending, file);
        assert.ok(entriesOfName(entry.name).some((one) => one.file === file && one.form === entry.form));
      }
    }),
    { numRuns: 3000 },
  );
});

test('a name that is asked for never leads out of the directory', () => {
  fc.assert(
    fc.property(name, (asked) => {
      for (const entry of entriesOfName(asked)) {
        assert.equal(entry.name, asked);
        assert.ok(!entry.file.includes('/') && !entry.file.includes('\0') && entry.file !== '.' && entry.file !== '..');
      }
      assert.equal(entriesOfName(asked).length > 0, isImageName(asked));
    }),
    { numRuns: 3000 },
  );
});

test('the order of versions is one', () => {
  fc.assert(
    fc.property(version, version, version, (a, b, c) => {
      const order = (left: string, right: string) => Math.sign(compareVersions(left, right));
      assert.equal(order(a, a), 0);
      assert.equal(order(a, b), 0 - order(b, a));
      if (order(a, b) <= 0 && order(b, c) <= 0) assert.ok(order(a, c) <= 0, JSON.stringify([a, b, c]));
    }),
    { numRuns: 20_000 },
  );
});

test('sorted versions are files that were there, the same in whatever order they were read', () => {
  const files = fc.uniqueArray(fc.tuple(version, fc.constantFrom('', '_x86-64', '_arm64', '+0', '+2-1')), { maxLength: 6 });
  fc.assert(
    fc.property(files, (drawn) => {
      const names = [...new Set(drawn.map(([first, rest]) => `x_${first}${rest}`))];
      const sorted = sortVersions(names, 'x', '', ['x86-64']);
      assert.deepEqual(sortVersions(names.reverse(), 'x', '', ['x86-64']), sorted);
      for (const entry of sorted) assert.deepEqual(readVersionedEntry(entry.file, 'x', ''), entry);
    }),
    { numRuns: 2000 },
  );
});

test('a long name takes no longer than its length', () => {
  const started = performance.now();
  for (const unit of ['_', '+', '1+', '_x86-64', '~', '.raw', '.v']) {
    const long = unit.repeat(100_000 / unit.length);
    readVersionedEntry(`x_${long}`, 'x', '');
    readEntryName(long);
    entriesOfName(long);
  }
  assert.ok(performance.now() - started < 1000);
});
