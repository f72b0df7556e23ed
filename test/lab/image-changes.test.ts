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
  await shell(host, 'machinectl clone c1 c2; machinectl clone c1 c3; machinectl remove c3; systemctl start systemd-nspawn@c2');
  assert.equal(await shell(host, 'machinectl show c1 c2 -p State --value; cat /etc/systemd/nspawn/c2.nspawn'), 'running\n\nrunning\n[Exec]\nPrivateUsers=no');
  await shell(host, 'machinectl terminate c2; systemctl stop systemd-nspawn@c2; machinectl remove c2');
});

/** Holds the locks of a change for as long as its standard input is open. Argument: the image's name. */
const lockProgram = `
const { lockImage } = await import('/src/build/src/host/images/image-locks.js');
const { imagePlaces } = await import('/src/build/src/host/images/host-image-changes.js');
const name = process.argv[1];
lockImage({ name, path: '/var/lib/machines/' + name, type: 'directory' }, { ...imagePlaces, instance: 'test.1' });
(await import('node:fs')).writeFileSync('/run/locked', '');
setInterval(() => undefined, 1000);`;

test('systemd-nspawn starts no image that is being changed', async () => {
  await using host = await bootHost({ suite: 'sid', name: 'image-locks', daemon: 'ours' });
  await shell(host, 'mkdir -p tree/usr/bin tree/usr/lib tree/etc tree/proc tree/sys tree/dev tree/run tree/tmp; cp /usr/bin/true tree/usr/bin/');
  await shell(host, 'ln -s usr/bin tree/bin; ln -s usr/lib tree/lib; ln -s usr/lib64 tree/lib64; cp -a /usr/lib64 tree/usr/; touch tree/usr/lib/os-release');
  await shell(host, 'for file in $(ldd /usr/bin/true | grep -o "/[^ ]*"); do cp --parents $(readlink -f $file) tree; cp -L $file tree/usr/lib/; done');
  const start = 'systemd-nspawn --quiet --register=no --keep-unit -D /var/lib/machines/tree /bin/true';
  await shell(host, start);
  await host.succeed(['systemd-run', '--quiet', '--unit=locker', '/opt/node/bin/node', '--input-type=module', '-e', lockProgram, 'tree']);
  await untilTrue('the locks are held', async () => (await host.run(['test', '-e', '/run/locked'])).status === 0, 30_000);
  const { status, stderr } = await host.shell(start);
  assert.notEqual(status, 0);
  assert.match(stderr, /busy/);
  await shell(host, 'systemctl kill --signal=KILL locker; until ! systemctl is-active --quiet locker; do sleep 0.1; done');
  await shell(host, start);
});

test('limits on btrfs count what is nested, and the images of the pool; nothing is left of them', async () => {
  await using host = await bootHost({ suite: 'sid', name: 'image-limits', daemon: 'ours' });
  const groups = async () => shell(host, 'btrfs qgroup show -pcre --raw . 2>/dev/null | awk \'NR > 2 && $1 !~ /^0.5$/ { print $1, $4 }\'');
  await shell(host, 'btrfs quota enable .; btrfs quota rescan -w . >/dev/null');
  await shell(host, 'for path in x x/nested; do btrfs -q subvolume create $path; done; machinectl set-limit x 20M; machinectl set-limit 200M');
  const write = (file: string, mebi: number) => host.shell(`dd if=/dev/urandom of=/var/lib/machines/${file} bs=1M count=${mebi} conv=fsync`);
  const tooMuch = await write('x/nested/large', 40);
  assert.match(tooMuch.stderr, /Disk quota exceeded/);
  await shell(host, 'rm x/nested/large; sync -f .; machinectl clone x y; btrfs quota rescan -w . >/dev/null');
  assert.equal(await shell(host, 'machinectl show-image y -p Limit --value; machinectl show -p PoolLimit --value'), '20971520\n209715200');
  await write('y/nested/large', 40);
  const before = Number(await shell(host, 'machinectl show -p PoolUsage --value'));
  assert.ok(before > 10 << 20, `the pool uses ${before}`);
  await shell(host, 'machinectl remove y; btrfs quota rescan -w . >/dev/null; machinectl remove x; btrfs subvolume sync . >/dev/null');
  await untilTrue('only the groups of the pool are left', async () => /^0\/\d+ 209715200\n255\/\d+ 209715200$/.test(await groups()), 30_000);
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
