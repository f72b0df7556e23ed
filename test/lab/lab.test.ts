/** The lab itself: hosts of all ages boot, with the real systemd-machined, and behave like hosts. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { bootHost, systemdVersions, untilTrue } from './harness.js';

for (const name of ['bookworm', 'trixie', 'sid'] as const) {
  suite(`a ${name} host`, () => {
    test('has its own systemd, a bus, and the real daemon', async () => {
      await using host = await bootHost({ suite: name, name: `lab-${name}`, daemon: 'real' });

      assert.equal(await host.succeed(['systemctl', 'is-system-running']), 'running');
      assert.match(await host.succeed(['systemctl', '--version']), new RegExp(`^systemd ${systemdVersions[name]}\\b`));
      assert.match(await host.succeed(['machinectl', 'list']), /No machines/);
      assert.match(await host.succeed(['hostname']), new RegExp(`^lab-${name}-`));
    });

    test('shows the project and its packages to node, read-only', async () => {
      await using host = await bootHost({ suite: name, name: `lab-${name}`, daemon: 'none' });

      await host.succeed(['node', '-e', 'require("node:module").createRequire("/src/bin/machined")("koffi")']);
      assert.notEqual((await host.run(['touch', '/src/written'])).status, 0);
    });

    test('boots a container with users of its own, which is listed', async () => {
      await using host = await bootHost({ suite: name, name: `lab-${name}`, daemon: 'real' });

      const leader = await host.container('crate', { privateUsers: true });

      const [listed] = JSON.parse(await host.succeed(['machinectl', 'list', '--output=json'])) as { machine: string }[];
      assert.equal(listed?.machine, 'crate');
      assert.equal(
        await host.succeed(['machinectl', 'show', 'crate', '--property=Leader', '--value']),
        String(leader),
      );
      assert.doesNotMatch(await host.file(`/proc/${leader}/uid_map`), /^\s*0\s+0\s/);

      await host.succeed(['machinectl', 'poweroff', 'crate']);
      await untilTrue('the container is gone', async () => (await host.succeed(['machinectl', 'list'])).includes('No machines'));
    });
  });
}

suite('a host', () => {
  test('runs commands as another user, with an environment and an input, and reports how they end', async () => {
    await using host = await bootHost({ suite: 'trixie', name: 'lab-run', daemon: 'none' });

    const result = await host.shell('id -un; echo "$GREETING"; cat; echo oops >&2; exit 7', {
      user: 'testuser',
      env: { GREETING: 'good morning' },
      input: 'from outside',
    });

    assert.deepEqual(result, { status: 7, stdout: 'testuser\ngood morning\nfrom outside', stderr: 'oops\n' });
    await assert.rejects(host.run(['sleep', '60'], { timeout: 200 }), /did not end in time/);
    assert.equal((await host.run(['pgrep', '-x', 'sleep'])).status, 1);
  });

  test('has nobody on the bus as machine1 if asked for none', async () => {
    await using host = await bootHost({ suite: 'sid', name: 'lab-none', daemon: 'none' });

    const call = await host.run(['busctl', 'call', 'org.freedesktop.machine1', '/org/freedesktop/machine1',
      'org.freedesktop.machine1.Manager', 'ListMachines']);
    assert.notEqual(call.status, 0);
  });

  test('gives processes units of their own', async () => {
    await using host = await bootHost({ suite: 'trixie', name: 'lab-leader', daemon: 'none' });

    const leader = await host.leader('one');

    assert.match(await host.file(`/proc/${leader}/cgroup`), /^0::\/system\.slice\/leader-one\.service$/m);
  });
});

test('a host without systemd has the tools, a cgroup tree and a reaping PID 1, but no bus', async () => {
  await using host = await bootHost({ suite: 'trixie', name: 'lab-bare', daemon: 'none', systemd: false });

  assert.equal((await host.file('/proc/1/comm')).trim(), 'bash');
  assert.equal((await host.run(['test', '-e', '/run/systemd/system'])).status, 1);
  assert.equal((await host.run(['test', '-e', '/run/dbus/system_bus_socket'])).status, 1);
  await host.succeed(['mkdir', '/sys/fs/cgroup/machines']);
  for (const tool of ['systemd-nspawn', 'machinectl', 'busctl', 'dbus-daemon']) await host.succeed(['which', tool]);

  await host.shell('(sleep 0.1 &)');
  await untilTrue('the orphan is reaped', async () => {
    return !(await host.succeed(['ps', '-eo', 'ppid,comm'])).includes('1 sleep <defunct>');
  });
});
