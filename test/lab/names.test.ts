/** Machines by their names: their addresses, as systemd's own tools and the C library of the host see them. */
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { bootHost, untilTrue, type LabHost } from './harness.js';

const manager = ['org.freedesktop.machine1', '/org/freedesktop/machine1', 'org.freedesktop.machine1.Manager'];
const varlinkAddress = '/run/systemd/machine/io.systemd.Machine';

/** Argument: the leader's PID. */
const giveAddresses = `
ip link set ve-c1 up; ip addr add 192.0.2.1/24 dev ve-c1; ip addr add 2001:db8::1/64 dev ve-c1 nodad
nsenter -t "$1" --net bash -euc '
  ip addr add 192.0.2.11/24 dev host0; ip addr add 2001:db8::11/64 dev host0 nodad; ip link set host0 up'`;

/**
 * What a virtual machine looks like from outside: a network namespace behind a port of a bridge, and a process that knows
 * nothing of it. Says the index of the port and the PID of the process.
 */
const startVirtualMachine = `
systemd-run --quiet --collect --unit=vm-network --property=PrivateNetwork=yes sleep infinity
machine=$(systemctl show -p MainPID --value vm-network)
ip link add br0 type bridge forward_delay 0; ip link set br0 up
ip addr add 198.51.100.1/24 dev br0; ip addr add 2001:db8:1::1/64 dev br0 nodad
ip link add tap0 type veth peer name eth0 netns "$machine"; ip link set tap0 master br0 up
nsenter -t "$machine" --net bash -euc '
  ip addr add 198.51.100.9/24 dev eth0; ip addr add 2001:db8:1::9/64 dev eth0 nodad; ip link set eth0 up'
cat /sys/class/net/tap0/ifindex`;

suite('machines by their names', () => {
  let host: LabHost;
  let leader: number;

  before(async () => {
    host = await bootHost({ suite: 'sid', name: 'names', daemon: 'ours' });
    leader = await host.container('c1', { privateUsers: true });
    await host.succeed(['bash', '--norc', '-euc', giveAddresses, 'bash', String(leader)]);
  });
  after(async () => {
    await (host as LabHost | undefined)?.[Symbol.asyncDispose]();
  });

  /** The addresses that getent(1) tells, each once and without a scope. */
  const getent = async (database: string, name: string) => {
    const lines = (await host.succeed(['getent', '-s', 'mymachines', database, name])).split('\n');
    return [...new Set(lines.map((line) => line.split(/[ %]/)[0]))].filter((address) => !address?.startsWith('fe80'));
  };

  test('the C library finds a container by nss-mymachines', async () => {
    const both = ['2001:db8::11', '192.0.2.11'];
    await untilTrue('all of them are there', async () => (await getent('ahosts', 'c1')).length === 2, 30_000);
    assert.deepEqual((await getent('ahosts', 'c1')).sort(), both.sort());
    assert.deepEqual(await getent('ahostsv4', 'c1'), ['192.0.2.11']);
    assert.deepEqual(await getent('ahostsv6', 'c1'), ['2001:db8::11']);
    assert.ok(both.includes((await getent('hosts', 'c1'))[0] ?? ''));
    assert.equal((await host.run(['getent', '-s', 'mymachines', 'hosts', 'nobody'])).status, 2);
  });

  test('systemd-resolved asks us for the names of machines, and for no others', async () => {
    const found = await host.succeed(['resolvectl', 'query', 'c1']);
    assert.match(found, /192\.0\.2\.11/);
    assert.match(found, /2001:db8::11/);
    assert.match(found, /Data from: hook/);
    assert.doesNotMatch(await host.succeed(['resolvectl', 'query', '-4', 'c1']), /2001:/);
    assert.match((await host.run(['resolvectl', 'query', 'nobody'])).stderr, /not found|resolve call failed/);
    await host.succeed(['machinectl', 'terminate', 'c1']);
    await untilTrue('the name is gone', async () => (await host.run(['resolvectl', 'query', 'c1'])).status !== 0, 30_000);
    await host.succeed(['systemctl', 'start', 'systemd-nspawn@c1.service']);
    leader = Number(await host.succeed(['machinectl', 'show', 'c1', '--property=Leader', '--value']));
    await host.succeed(['bash', '--norc', '-euc', giveAddresses, 'bash', String(leader)]);
    await untilTrue('the name is back', async () => (await host.run(['resolvectl', 'query', 'c1'])).status === 0, 30_000);
  });

  test('a virtual machine behind a bridge has the addresses that the host has heard of, everywhere', async () => {
    const index = Number(await host.succeed(['bash', '--norc', '-euc', startVirtualMachine]));
    const registration = {
      name: 'wired', class: 'vm', leader: await host.leader('wired'), ifIndices: [index], vSockCid: 77,
      sshAddress: 'vsock/77', sshPrivateKeyPath: '/run/key',
    };
    await host.succeed(['varlinkctl', 'call', varlinkAddress, 'io.systemd.Machine.Register', JSON.stringify(registration)]);
    const addresses = async () => {
      const said = await host.succeed(['busctl', '--json=short', 'call', ...manager, 'GetMachineAddresses', 's', 'wired']);
      const all = (JSON.parse(said) as { data: [[number, number[]][]] }).data[0];
      return all.filter(([, bytes]) => bytes[0] !== 0xfe).map(([family, bytes]) => `${family} ${Buffer.from(bytes).toString('hex')}`);
    };
    await untilTrue('the host has heard of them', async () => {
      await host.run(['bash', '--norc', '-c', 'echo >/dev/udp/198.51.100.9/9; echo >/dev/udp/2001:db8:1::9/9']);
      return (await addresses()).length === 2;
    }, 60_000);
    assert.deepEqual(await addresses(), ['2 c6336409', '10 20010db8000100000000000000000009']);
    assert.match(await host.succeed(['machinectl', 'status', 'wired', '--no-pager']), /Iface: tap0\n\s+Address: 198\.51\.100\.9\n\s+2001:db8:1::9/);
    assert.match(await host.succeed(['machinectl', 'list', '--no-legend']), /wired +vm .*198\.51\.100\.9/);
    assert.match(await host.succeed(['resolvectl', 'query', 'wired']), /198\.51\.100\.9[^]*2001:db8:1::9[^]*Data from: hook/);
    // nss-mymachines knows containers alone; the C library asks systemd-resolved for the others
    assert.match(await host.succeed(['getent', 'ahostsv4', 'wired']), /198\.51\.100\.9/);
    const listed = await host.succeed(['varlinkctl', 'call', varlinkAddress, 'io.systemd.Machine.List', '{"name":"wired","acquireMetadata":"graceful"}']);
    assert.match(listed, /198[,\s]+51[,\s]+100[,\s]+9/);
    for (const call of [
      [...manager, 'GetMachineSSHInfo', 's', 'wired'],
      [manager[0] as string, '/org/freedesktop/machine1/machine/wired', 'org.freedesktop.machine1.Machine', 'GetSSHInfo'],
    ]) assert.equal(await host.succeed(['busctl', 'call', ...call]), 'ss "vsock/77" "/run/key"');
    await host.succeed(['ip', 'link', 'del', 'tap0']);
    assert.deepEqual(await addresses(), []);
  });

  test('commands run in a container with their streams and their exit status', async () => {
    await untilTrue('c1 has booted', async () => (await host.run(['systemctl', '-M', 'c1', 'is-system-running'])).stdout === 'running\n', 60_000);
    const run = ['systemd-run', '-M', 'c1', '--pipe', '--wait', '--quiet'];
    const said = await host.run([...run, 'sh', '-c', 'read line; echo "$line"; echo wrong >&2; exit 7'], { input: 'right\n' });
    assert.deepEqual([said.status, said.stdout, said.stderr], [7, 'right\n', 'wrong\n']);
  });
});
