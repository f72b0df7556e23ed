/** The pool's usage and limit, compared with what the real daemon says of the same directory. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bootHost, type LabHost } from './harness.js';

const pool = '/var/lib/machines';
const unknown = '18446744073709551615';

async function real(host: LabHost): Promise<string[]> {
  const manager = ['org.freedesktop.machine1', '/org/freedesktop/machine1', 'org.freedesktop.machine1.Manager'];
  const said = await host.succeed(['busctl', 'get-property', ...manager, 'PoolUsage', 'PoolLimit']);
  return said.split('\n').map((line) => line.replace(/^t /, ''));
}

async function ours(host: LabHost): Promise<string[]> {
  const program = `
    const { ImagePool } = await import('/src/build/src/host/pool.js');
    const pool = new ImagePool();
    console.log(pool.usage() ?? ${unknown}n, pool.limit() ?? ${unknown}n);`;
  const said = await host.succeed(['node', '--input-type=module', '-e', program]);
  return said.replaceAll('n', '').split(' ');
}

test('usage and limit are those that the real daemon reports', async () => {
  await using host = await bootHost({ suite: 'sid', name: 'pool', daemon: 'real' });
  const compare = async (script: string): Promise<string[]> => {
    await host.succeed(['bash', '-euc', script]);
    const expected = await real(host);
    assert.deepEqual(await ours(host), expected, script);
    return expected;
  };

  assert.deepEqual(await compare('true'), [unknown, unknown]);
  const [usage] = await compare(`head -c 5000000 /dev/urandom >${pool}/blob; sync -f ${pool}/blob; btrfs quota enable ${pool}; btrfs quota rescan -w ${pool}`);
  assert.ok(Number(usage) > 5_000_000 && Number(usage) < 50_000_000_000);
  const own = await host.succeed(['btrfs', 'inspect-internal', 'rootid', pool]);
  assert.equal((await compare(`btrfs qgroup limit 900000000 0/${own} ${pool}`))[1], '900000000');
  assert.equal((await compare(`btrfs qgroup limit none 0/${own} ${pool}; btrfs qgroup limit -e 800000000 0/${own} ${pool}`))[1], unknown);
  const setLimit = 'busctl call org.freedesktop.machine1 /org/freedesktop/machine1 org.freedesktop.machine1.Manager SetPoolLimit t';
  assert.equal((await compare(`${setLimit} 3000000000`))[1], '3000000000');
  const group = (id: string, limit: number): string =>
    `btrfs qgroup create ${id} ${pool}; btrfs qgroup assign 0/${own} ${id} ${pool}; btrfs qgroup limit ${limit} ${id} ${pool}`;
  assert.equal((await compare(group('3/9999', 333_000_000)))[1], '3000000000');
  assert.equal((await compare(group(`4/${own}`, 444_000_000)))[1], '444000000');
  await compare(`btrfs subvolume create ${pool}/sub; mkdir ${pool}/sub/directory;
    btrfs qgroup limit 111000000 ${pool}/sub; mount --bind ${pool}/sub/directory ${pool}`);
  await compare(`umount ${pool}; btrfs quota disable ${pool}`);
});
