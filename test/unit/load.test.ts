/** How bin/machined loads its bundle: with the compiled code beside it, where that is of this bundle, and without. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';

const directory = mkdtempSync(path.join(tmpdir(), 'machined-load-'));
const file = path.join(directory, 'bundle.cjs');
const cache = `${file}.cache`;
after(() => rmSync(directory, { recursive: true }));

const bundle = (digest: string, answer: string) => `/* ${digest} */ const { sep } = require('node:path');
exports.main = async (words) => { console.log(${answer}, sep, ...words); };
`;

/** What such a program writes in a process of its own: V8 remembers what it has compiled. */
function printed(program: string, flags: readonly string[] = []): string {
  const module = new URL('../../src/main/load.js', import.meta.url).href;
  const prelude = `import { load, saveCache } from ${JSON.stringify(module)}; const file = ${JSON.stringify(file)};`;
  const words = [...flags, '--input-type=module', '-e', `${prelude}${program}`];
  const { stdout, stderr } = spawnSync(process.execPath, words, { encoding: 'utf8' });
  assert.equal(stderr, '');
  return stdout.trim();
}

const ran = () => printed("await load(file).bundle.main(['x', 'y']);");
const isCacheUsed = (flags: readonly string[] = []) => printed('console.log(load(file).cached);', flags) === 'true';

function build(): void {
  writeFileSync(file, bundle('a', '1'));
  printed('await saveCache(file);');
}

test('what was compiled before is used', () => {
  build();
  assert.ok(isCacheUsed());
  assert.equal(ran(), '1 / x y');
});

test('what was compiled of another bundle is not, even if that is as long', () => {
  build();
  writeFileSync(file, bundle('b', '2'));
  assert.ok(!isCacheUsed());
  assert.equal(ran(), '2 / x y');
});

test('without compiled code, or with some that is damaged or made with other flags, the bundle does', () => {
  build();
  assert.ok(!isCacheUsed(['--no-lazy']));
  const whole = readFileSync(cache);
  const firstLine = whole.indexOf('\n') + 1;
  for (const bytes of [whole.subarray(0, firstLine), whole.subarray(0, firstLine + 40), Buffer.alloc(0), Buffer.alloc(500, 'x')]) {
    writeFileSync(cache, bytes);
    assert.ok(!isCacheUsed());
    assert.equal(ran(), '1 / x y');
  }
  rmSync(cache);
  assert.ok(!isCacheUsed());
  assert.equal(ran(), '1 / x y');
});

test('the cache has what a rehearsal has compiled, besides', () => {
  build();
  const { length } = readFileSync(cache);
  assert.equal(printed("await saveCache(file, ['x']);"), '1 / x');
  assert.ok(readFileSync(cache).length > length);
  assert.equal(ran(), '1 / x y');
});

test('a rehearsal that fails leaves no cache', () => {
  rmSync(cache);
  writeFileSync(file, 'exports.main = async () => 3;\n');
  assert.match(printed('await saveCache(file, []).catch((error) => console.log(error.message));'), /ends with status 3$/);
  assert.ok(!existsSync(cache));
});
