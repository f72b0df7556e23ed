/** A container that does not answer costs whoever wants something of it an error within seconds, and nobody else anything. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bootHost, untilTrue, type LabHost } from './harness.js';

const manager = ['org.freedesktop.machine1', '/org/freedesktop/machine1', 'org.freedesktop.machine1.Manager'];

/** In front of the host's directories; the server of the file system never says a word. Arguments: the PID, the directory. */
const hang = `
exec 3<>/dev/fuse
nsenter -t "$1" --mount mount -i -t fuse -o fd=3,rootmode=40000,user_id=0,group_id=0,allow_other hung "$2"
systemd-run --quiet --collect --scope setsid sleep infinity 3<&3 >/dev/null 2>&1 &`;

const call = (host: LabHost, ...words: readonly string[]) => host.run(['busctl', '--timeout=150', 'call', ...manager, ...words], { timeout: 160_000 });

test('while a container hangs at every turn, others are served as ever', async () => {
  await using host = await bootHost({ suite: 'sid', name: 'hostile', daemon: 'ours' });
  const hostile = await host.container('hostile', { privateUsers: false });
  const honest = await host.container('honest', { privateUsers: true });
  await host.succeed(['nsenter', '-t', String(hostile), '--mount', 'mkdir', '-p', '/srv/tree/hung']);
  for (const directory of ['/srv/tree/hung', '/etc']) { // mount(8) itself looks into /etc
    await host.succeed(['bash', '--norc', '-euc', hang, 'bash', String(hostile), directory]);
  }
  const before = await host.succeed(['bash', '--norc', '-c', 'ls /proc/$1/fd | wc -l', 'bash', String(await host.pidOfOurs())]);

  // goes on until somebody ends it, or it has not got any further for a minute
  const stuck = call(host, 'CopyFromMachine', 'sss', 'hostile', '/srv/tree', '/srv/copy');
  await untilTrue('it has begun', async () => (await host.succeed(['ls', '-A', '/srv'])).includes('.#copy-'), 30_000);
  const operations = ['busctl', '--json=short', 'call', 'org.freedesktop.machine1', '/io/machined', 'io.machined.Operations'];
  const [[[id]]] = (JSON.parse(await host.succeed([...operations, 'ListOperations'])) as { data: [[[number]]] }).data;

  const attacks = [
    ['GetMachineOSRelease', 's', 'hostile'],
    ['CopyFromMachine', 'sss', 'hostile', '/etc/hostname', '/srv/stolen'],
    ['CopyToMachine', 'sss', 'hostile', '/etc/hostname', '/etc/planted'],
    ['BindMountMachine', 'sssbb', 'hostile', '/srv', '/etc/bound', 'false', 'true'],
    ['OpenMachineShell', 'sssasas', 'hostile', 'root', '/bin/true', '0', '0'],
  ].flatMap((attack) => Array.from({ length: 3 }, () => attack));
  let over = false;
  const answers = Promise.all(attacks.map((attack) => call(host, ...attack))).finally(() => (over = true));

  let served = 0;
  do {
    const found = await host.run(['busctl', '--timeout=10', 'call', ...manager, 'GetMachine', 's', 'honest']);
    assert.equal(found.status, 0, found.stderr);
    const release = await host.run(['busctl', '--timeout=20', 'call', ...manager, 'GetMachineOSRelease', 's', 'honest']);
    assert.match(release.stdout, /"ID" "debian"/, release.stderr);
    await host.succeed(['machinectl', 'copy-to', '--force', 'honest', '/usr/lib/os-release', '/srv/copied']);
    served++;
  } while (!over);
  assert.ok(served > 0);
  for (const { status, stderr } of (await answers).filter((_, index) => (attacks[index] as string[])[0] !== 'OpenMachineShell')) {
    assert.equal(status, 1);
    assert.match(stderr, /[Tt]imed out|keeps a look at its files waiting/);
  }

  await host.run([...operations, 'CancelOperation', 't', String(id)]); // it may have been given up by now
  assert.match((await stuck).stderr, /Operation canceled|was given up/);
  assert.equal((await host.run(['sh', '-c', 'ls -A /srv | grep -e copy -e stolen'])).stdout, '');
  await host.succeed(['nsenter', '-t', String(honest), '--all', 'test', '-s', '/srv/copied']);

  await host.succeed(['machinectl', 'terminate', 'hostile']);
  // processes that were killed while they hung in the container are waited for, and those without work for a while kept
  const descriptors = async () => Number(await host.succeed(['bash', '--norc', '-c', 'ls /proc/$1/fd | wc -l', 'bash', String(await host.pidOfOurs())]));
  await untilTrue('no descriptors are left behind', async () => (await descriptors()) <= Number(before) + 6, 150_000);
  assert.doesNotMatch(await host.journal(), /unexpected error/i);
});
