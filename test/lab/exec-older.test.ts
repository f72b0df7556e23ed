/** Commands in machines on hosts with older systemds: their kernels' tools, their containers, their bus. */
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { bootHost, untilTrue, type LabHost } from './harness.js';
import { plainContainer } from './plain-container.js';

for (const name of ['bookworm', 'trixie'] as const) {
  suite(`commands in machines of ${name}`, () => {
    let host: LabHost;

    before(async () => {
      host = await bootHost({ suite: name, name: `exec-${name}`, daemon: 'ours' });
      await host.container('c1', { privateUsers: true });
      await host.succeed(['bash', '--norc', '-euc', plainContainer, 'bash', 'plain']);
      await host.succeed(['bash', '--norc', '-euc', plainContainer, 'bash', 'users', '--private-users=pick', '--private-network']);
    });
    after(async () => {
      await (host as LabHost | undefined)?.[Symbol.asyncDispose]();
    });

    const exec = (words: readonly string[], input = '') => host.run(['/src/bin/machinectl', 'exec', ...words], { timeout: 60_000, input });

    for (const machine of ['c1', 'plain', 'users', '.host']) {
      test(`have their streams, their user and their end in ${machine}`, async () => {
        const result = await exec(['-E', 'A=one two', machine, 'sh', '-c', 'cat; echo "$A"; id -un; echo to error >&2; exit 7'], 'typed\n');
        assert.deepEqual([result.stdout, result.stderr, result.status], ['typed\none two\nroot\n', 'to error\n', 7]);
        assert.equal((await exec([machine, 'sh', '-c', 'kill -40 $$'])).status, 128 + 40);
        const missing = await exec([machine, '/no/such/program']);
        assert.match(missing.stderr, /No such file or directory/);
        assert.notEqual(missing.status, 0);
      });
    }

    test('are in the namespaces and in a cgroup of the machine, with no more rights', async () => {
      for (const machine of ['c1', 'plain', 'users']) {
        const leader = await host.succeed(['machinectl', 'show', machine, '--property=Leader', '--value']);
        const look = 'for kind in mnt pid net ipc uts cgroup user; do readlink /proc/$1/ns/$kind; done';
        assert.equal((await exec([machine, 'sh', '-c', look, 'sh', 'self'])).stdout.trimEnd(), await host.succeed(['sh', '-c', look, 'sh', leader]));
        const sleeping = exec([machine, 'sleep', '4331']);
        await untilTrue(`the command is in the cgroup of ${machine}`, async () => {
          return (await host.run(['bash', '--norc', '-c', `cat /proc/$(pgrep -f '^sleep 4331')/cgroup | grep ^0::`])).stdout.includes('/machined-exec-');
        }, 60_000);
        await host.succeed(['pkill', '-f', '^sleep 4331']);
        assert.equal((await sleeping).status, 128 + 15);
      }
    });

    test('can be started on the bus, and end with their caller', async () => {
      const manager = ['org.freedesktop.machine1', '/io/machined', 'io.machined.Manager'];
      await host.succeed(['busctl', 'call', '--', ...manager, 'StartExec', 'ssasassta{sh}', 'plain', 'bob', '2', 'sleep', '4332', '0', '/tmp', '0', '0']);
      await untilTrue('it is gone', async () => (await host.run(['pgrep', '-f', '^sleep 4332'])).status === 1, 60_000);
      await untilTrue('no cgroup is left', async () => (await host.succeed(['find', '/sys/fs/cgroup', '-name', 'machined-exec-*'])) === '', 60_000);
    });
  });
}
