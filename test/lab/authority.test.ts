import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bootHost, systemdVersions, type Suite } from './harness.js';

for (const suite of Object.keys(systemdVersions) as Suite[]) {
  test(`polkit of ${suite} decides for users`, async () => {
    await using host = await bootHost({ suite, name: `authority-${suite}`, daemon: 'none' });
    const tests = '/src/build/test/lab/inside/authority.js';
    const { status, stdout } = await host.run(['node', '--test', tests], { timeout: 120_000 });
    assert.equal(status, 0, stdout);
    assert.match(stdout, /polkit is an Authority/);
  });
}
