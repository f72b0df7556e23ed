import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bootHost, systemdVersions, type Suite } from './harness.js';

for (const suite of Object.keys(systemdVersions) as Suite[]) {
  test(`systemd of ${suite} has units for machines`, async () => {
    await using host = await bootHost({ suite, name: `units-${suite}`, daemon: 'none' });
    const tests = '/src/build/test/lab/inside/units.js';
    const { status, stdout } = await host.run(['node', '--enable-source-maps', '--test', tests], { timeout: 120_000 });
    assert.equal(status, 0, stdout);
    assert.match(stdout, /Units: systemd/);
  });
}
