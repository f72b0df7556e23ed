/** The files of real containers, reached with systemd's own tools and this project's daemon. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { bootHost, untilTrue } from './harness.js';

for (const privateUsers of [true, false]) {
  suite(`a container ${privateUsers ? 'with' : 'without'} users of its own`, () => {
    test('gets and gives files, shows directories of the host, and lets its journal be read', async () => {
      await using host = await bootHost({ suite: 'sid', name: `files-${privateUsers}`, daemon: 'ours' });
      const leader = await host.container('crate', { privateUsers });
      const inside = (script: string) => host.succeed(['nsenter', '-t', String(leader), '--all', 'sh', '-ec', script]);
      const describe = "find . -printf '%P %y %m %n %T@ %l\\n' | sed 's/ d \\([0-7]*\\) [0-9]*/ d \\1/' | sort";
      await host.succeed(['bash', '-euc', `
        mkdir -p /srv/tree/sub; cd /srv/tree; echo one >a; ln a b; ln -s a link; mkfifo fifo; truncate -s 100M sparse
        chmod 4711 a; chmod 2750 sub; chown 7:8 fifo sub; touch -h -d '2001-02-03 04:05:06.123456789' a link sub`]);

      await host.succeed(['machinectl', 'copy-to', 'crate', '/srv/tree', '/srv/copied']);
      assert.equal(await inside(`cd /srv/copied; ${describe}`), await host.succeed(['sh', '-ec', `cd /srv/tree; ${describe}`]));
      assert.equal(await inside('cd /srv/copied; stat -c %u:%g fifo sub'), privateUsers ? '0:0\n0:0' : '7:8\n7:8');
      assert.ok(Number(await inside('stat -c %b /srv/copied/sparse')) < 1000);

      await inside('chown -R 9:9 /srv/copied/sub; chmod 4755 /srv/copied/a');
      await host.succeed(['machinectl', 'copy-from', 'crate', '/srv/copied', '/srv/back']);
      const owner = privateUsers ? '0:0' : '9:9';
      assert.equal(await host.succeed(['stat', '-c', '%u:%g %a', '/srv/back/sub', '/srv/back/a']), privateUsers ? `${owner} 2750\n${owner} 755` : `${owner} 2750\n0:0 4755`);

      // on one btrfs, a copy takes no space
      await host.succeed(['bash', '-euc', 'head -c 4M /dev/urandom >/var/lib/lab-pool/disk; sync']);
      await host.succeed(['machinectl', 'copy-to', 'crate', '/var/lib/lab-pool/disk', '/srv/disk']);
      await host.succeed(['machinectl', 'copy-from', 'crate', '/srv/disk', '/var/lib/lab-pool/disk-back']);
      for (const file of ['/var/lib/machines/crate/srv/disk', '/var/lib/lab-pool/disk-back']) {
        assert.match(await host.succeed(['btrfs', 'filesystem', 'du', '--raw', file]), /^ *4194304 +0 +\S+ +\//m);
      }
      await host.succeed(['cmp', '/var/lib/lab-pool/disk', '/var/lib/lab-pool/disk-back']);

      const again = await host.run(['machinectl', 'copy-to', 'crate', '/etc/hostname', '/srv/copied/a']);
      assert.match(again.stderr, /File exists/);
      await host.succeed(['machinectl', 'copy-to', '--force', 'crate', '/etc/hostname', '/srv/copied/a']);

      await host.succeed(['bash', '-euc', 'mkdir -p /run/shown; echo hello >/run/shown/file']);
      await host.succeed(['machinectl', 'bind', '--mkdir', 'crate', '/run/shown', '/mnt/dir']);
      await host.succeed(['machinectl', 'bind', '--mkdir', '--read-only', 'crate', '/run/shown/file', '/mnt/file']);
      assert.equal(await inside('cat /mnt/dir/file /mnt/file; stat -c %u /mnt/dir/file; touch /mnt/dir/made'), 'hello\nhello\n0');
      assert.equal(await host.succeed(['stat', '-c', '%u:%g', '/run/shown/made']), '0:0');
      await assert.rejects(inside('echo x >/mnt/file'), /Read-only/);

      const own = ['varlinkctl', 'call', '/run/machined/io.machined', 'io.machined.Machine.Unbind'];
      const busy = host.run(['nsenter', '-t', String(leader), '--all', 'sh', '-ec', 'cd /mnt/dir; echo >/run/entered; until test -e /run/leave; do sleep 0.1; done']);
      await untilTrue('the mount is used', async () => (await host.run(['nsenter', '-t', String(leader), '--all', 'test', '-e', '/run/entered'])).status === 0, 30_000);
      const refused = await host.run([...own, '{"name":"crate","destination":"/mnt/dir"}']);
      assert.match(refused.stderr, /EBUSY|Device or resource busy/);
      await inside('echo >/run/leave');
      await busy;
      await host.succeed([...own, '{"name":"crate","destination":"/mnt/dir"}']);
      await host.succeed(['busctl', 'call', 'org.freedesktop.machine1', '/io/machined', 'io.machined.Manager', 'UnbindMachine', 'ss', 'crate', '/mnt/file']);
      assert.equal(await inside('ls -A /mnt/dir; cat /mnt/file'), '');
      for (const mount of ['/', '/proc', '/tmp', '/mnt/dir']) {
        const other = await host.run([...own, JSON.stringify({ name: 'crate', destination: mount })]);
        assert.match(other.stderr, /EINVAL|Invalid argument/, mount);
      }
      const denied = await host.run([...own, '{"name":"crate","destination":"/mnt/dir"}'], { user: 'testuser' });
      assert.match(denied.stderr, /InteractiveAuthenticationRequired|authentication required/i);

      assert.match(await host.succeed(['journalctl', '-M', 'crate', '--no-pager', '--output=cat']), /Startup finished/);
      const id = await inside('cat /etc/machine-id');
      assert.match(await host.succeed(['journalctl', '-M', 'crate', '--no-pager', '--output=export', '-n1']), new RegExp(id));
    });
  });
}

test('a hostile container leads nobody to the host', async () => {
  await using host = await bootHost({ suite: 'sid', name: 'files-hostile', daemon: 'ours' });
  const leader = await host.container('crate', { privateUsers: true });
  await host.succeed(['nsenter', '-t', String(leader), '--all', 'sh', '-ec', 'ln -s /srv/secret /srv/out; ln -s /proc/1/root /srv/magic']);
  await host.succeed(['bash', '-euc', 'mkdir -p /srv/secret /run/shown; echo secret >/srv/secret/key']);
  const refused = async (...command: readonly string[]) => {
    const { status, stderr } = await host.run(['machinectl', ...command]);
    assert.notEqual(status, 0, command.join(' '));
    assert.match(stderr, /No such file|symbolic links|Invalid argument/);
  };
  await refused('copy-from', 'crate', '/srv/out/key', '/srv/stolen');
  await refused('copy-from', 'crate', '/srv/magic/etc/hostname', '/srv/stolen');
  await refused('copy-to', 'crate', '/etc/hostname', '/srv/out/planted');
  await refused('bind', '--mkdir', 'crate', '/run/shown', '/srv/out');
  assert.equal(await host.succeed(['ls', '/srv/secret']), 'key');
  assert.equal((await host.run(['ls', '/srv/stolen'])).status, 2);
});
