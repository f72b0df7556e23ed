/** Whether a sweep of images is worth a process. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { mayHoldLeftovers } from '../../src/host/images/leftovers.js';

test('where nothing is left, or nothing is at all, there is nothing to sweep', async (context) => {
  const root = mkdtempSync(path.join(tmpdir(), 'machined-leftovers-'));
  context.after(() => rmSync(root, { recursive: true }));
  const [pool, other, settings, locks] = ['pool', 'other', 'settings', 'locks'].map((name) => path.join(root, name)) as [string, string, string, string];
  const places = { directories: [pool, other], pool, settings: [settings], locks };
  assert.equal(await mayHoldLeftovers(places), false);

  for (const directory of [pool, settings, locks]) mkdirSync(directory);
  writeFileSync(other, 'no directory');
  mkdirSync(path.join(pool, 'image'));
  writeFileSync(path.join(pool, 'disk.raw'), '');
  writeFileSync(path.join(settings, 'image.nspawn'), '');
  assert.equal(await mayHoldLeftovers(places), false);

  const found = [path.join(pool, '.#machined-1-2'), path.join(settings, '.#machined-1-2'), path.join(pool, 'image.v'), path.join(locks, 'inode-1:2')];
  for (const file of found) {
    mkdirSync(file);
    assert.equal(await mayHoldLeftovers(places), true, file);
    rmSync(file, { recursive: true });
  }
  symlinkSync('/srv/image', path.join(pool, 'link'));
  assert.equal(await mayHoldLeftovers(places), true);
});
