/** Images as machinectl shows them: the same under the real daemon and under ours, on one and the same host. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bootHost, type LabHost } from './harness.js';

// /var/lib/machines is btrfs, /srv and /etc are not. Older versions of systemd-machined disagree on what is read-only, and
// on the times of subvolumes.
const makeImages = `
cd /var/lib/machines
mkdir -p tree .hidden immutable /srv/target /etc/machines/hides hides /usr/local/lib/machines/vendor
chattr +i immutable
btrfs -q subvolume create subvolume
btrfs -q subvolume create frozen
btrfs property set frozen ro true
truncate -s 5M disk.raw
dd if=/dev/urandom of=disk.raw bs=1M count=2 conv=notrunc status=none
truncate -s 1M kept.raw
chmod 444 kept.raw
touch -d '2020-02-02 02:02:02' kept.raw
ln -s /srv/target link
ln -s nowhere dangling
mkfifo pipe.raw
echo text >file
mkdir mounted
mount --bind /srv/target mounted
mount -o remount,bind,ro mounted
sync`;

const makeVersions = `
cd /var/lib/machines
mkdir -p versions.v/versions_{1.0,1.10,1.9,2.0+0-3,1.10_x86-64,1.10_arm64} stack.mstack disks.raw.v
truncate -s 1M disks.raw.v/disks_{1,2}.raw`;

const makeQuotas = `
cd /var/lib/machines
btrfs quota enable .
btrfs qgroup limit 100M subvolume
btrfs qgroup limit -e 50M subvolume
btrfs quota rescan -w .
sync`;

/** Everything that there is to see of images, as text. */
async function look(host: LabHost): Promise<Record<string, string>> {
  const listed = await host.succeed(['machinectl', 'list-images', '--all', '--no-legend', '--full']);
  const names = listed.split('\n').map((line) => line.trim().split(/\s+/)[0] ?? '');
  const seen: Record<string, string> = { list: listed.split('\n').map((line) => line.trimEnd()).sort().join('\n') };
  for (const name of names) {
    seen[`show ${name}`] = await host.succeed(['machinectl', 'show-image', '--all', name]);
    const { stdout } = await host.shell('machinectl image-status "$NAME" 2>&1', { env: { NAME: name } });
    seen[`status ${name}`] = stdout.replace(/; .* ago$/gm, ''); // one daemon is asked later than the other
  }
  return seen;
}

test('images look the same as under the real daemon', async () => {
  await using host = await bootHost({ suite: 'sid', name: 'images', daemon: 'real' });
  for (const script of [makeImages, makeVersions, makeQuotas]) {
    const made = await host.shell(script, { timeout: 60_000 });
    assert.equal(made.status, 0, made.stderr);
  }
  const real = await look(host);
  await host.startOurs();
  assert.deepEqual(await look(host), real);
  assert.ok(Object.keys(real).length > 20);
});
