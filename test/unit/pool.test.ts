/** A pool where nothing accounts for what is in it; test/lab/pool.test.ts has one with quotas. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ImagePool } from '../../src/host/pool.js';

test('nothing is known of what is no btrfs with quotas, or not there', () => {
  for (const place of ['/proc', '/nonexistent', '/etc/passwd']) {
    const pool = new ImagePool(place);
    assert.equal(pool.path, place);
    assert.equal(pool.usage(), undefined);
    assert.equal(pool.limit(), undefined);
  }
});
