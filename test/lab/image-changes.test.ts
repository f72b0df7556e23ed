/** Images that machinectl changes, on btrfs, next to systemd-nspawn; and a daemon that is killed in the middle. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bootHost, untilTrue, type LabHost } from './harness.js';

async function shell(host: LabHost, script: string): Promise<string> {
  const { status, stdout, stderr } = await host.shell(`cd /var/lib/machines\n${script}`, { timeout: 60_000 });
  assert.equal(status, 0, `${script}\n${stdout}${stderr}`);
  return stdout.trim();
}

test('machinectl changes images', async () => {
  await using host = await bootHost({ suite: 'sid', name: 'image-changes', daemon: 'ours' });
  const files = () => shell(host, 'ls -A');
  const describe = async (name: string) =>
    (await shell(host, `machinectl show-image ${name} -p Type -p ReadOnly`)).split('\n').sort().join(' ');

  // a plain directory becomes a subvolume, with all that is in it
  await shell(host, 'mkdir -p tree/etc; echo inside >tree/etc/hostname; chown 123:456 tree/etc; btrfs -q subvolume create tree/nested');
  await shell(host, 'touch tree/nested/file; machinectl clone tree copy');
  assert.equal(await describe('copy'), 'ReadOnly=no Type=subvolume');
  assert.equal(await shell(host, 'stat -c %u:%g copy/etc; ls copy/nested; cat copy/etc/hostname'), '123:456\nfile\ninside');

  // a subvolume with others in it
  await shell(host, 'btrfs -q subvolume create copy/deep; btrfs -q subvolume create copy/deep/deeper; touch copy/deep/deeper/file');
  await shell(host, 'machinectl clone --read-only copy frozen');
  assert.equal(await describe('frozen'), 'ReadOnly=yes Type=subvolume');
  assert.equal(await shell(host, 'ls frozen/deep/deeper; touch frozen/deep/deeper/x 2>/dev/null || echo read-only'), 'file\nread-only');
  await shell(host, 'machinectl rename frozen other; machinectl read-only other no; touch other/x; machinectl read-only copy');
  assert.equal(await describe('copy'), 'ReadOnly=yes Type=subvolume');

  // disks, and what belongs to them
  await shell(host, 'mkdir -p /etc/systemd/nspawn; truncate -s 8M disk.raw; touch disk.verity /etc/systemd/nspawn/disk.nspawn; machinectl clone disk disk2');
  await shell(host, 'machinectl rename disk disk3; machinectl remove disk2; ls /etc/systemd/nspawn');
  assert.equal(await files(), 'copy\ndisk3.raw\ndisk3.verity\nother\ntree');

  // limits
  await shell(host, 'btrfs quota enable .; btrfs quota rescan -w . >/dev/null; machinectl set-limit other 50M; machinectl set-limit 2G');
  assert.equal(await shell(host, 'machinectl show-image other -p Limit --value; machinectl show -p PoolLimit --value'), '52428800\n2147483648');

  await shell(host, 'mkdir .hidden; machinectl clean');
  assert.equal(await files(), 'copy\ndisk3.raw\ndisk3.verity\nother\ntree');
  await shell(host, 'machinectl remove copy other tree disk3');
  assert.equal(await files(), '');
});

test('an image that a container runs from is only cloned', async () => {
  await using host = await bootHost({ suite: 'sid', name: 'image-use', daemon: 'ours' });
  await host.container('c1', { privateUsers: false });
  for (const change of ['remove c1', 'rename c1 c2', 'read-only c1']) {
    const { status, stderr } = await host.shell(`machinectl ${change}`);
    assert.deepEqual([status, /Device or resource busy/.test(stderr)], [1, true], `${change}: ${stderr}`);
  }
  await shell(host, 'machinectl clone c1 c2; machinectl remove c2');
});

const makeLargeTree = `
btrfs -q subvolume create large
for i in $(seq 200); do mkdir large/$i; (cd large/$i; touch $(seq 200)); done
mkdir plain; cp -a large plain/large`;

test('a daemon that is killed leaves no half an image behind', async () => {
  await using host = await bootHost({ suite: 'sid', name: 'image-kill', daemon: 'ours' });
  await shell(host, makeLargeTree);
  const leftOver = async () => shell(host, 'ls -A | grep "^\\.#machined" || true');

  for (const change of ['clone plain copy', 'remove plain']) {
    await host.shell(`systemd-run --quiet --collect machinectl ${change}`);
    await untilTrue(`${change} is under way`, async () => (await leftOver()) !== '');
    await host.killOurs('SIGKILL');
    assert.notEqual(await leftOver(), '', 'it was killed too late');
    await host.startOurs();
    await untilTrue('what was left over is gone', async () => (await leftOver()) === '');
    const images = await shell(host, 'ls -A | grep -v "[.]lck$"'); // locks of who was killed are nobody's
    assert.equal(images, change.startsWith('clone') ? 'large\nplain' : 'large');
  }
});
