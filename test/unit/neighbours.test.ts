/** Addresses behind the host's network interfaces: network namespaces that pose as the host and as virtual machines. */
import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import { suite, test } from 'node:test';
import { readNeighbourAddresses } from '../../src/host/guests/neighbour-addresses.js';
import { closeNamespace, inNetworkNamespace, openNetworkNamespace } from '../../src/host/kernel/namespaces.js';
import { Guest, until } from '../support/guest.js';

const hasIp = ['/usr/sbin/ip', '/sbin/ip', '/usr/bin/ip', '/bin/ip'].some((file) => existsSync(file));
const skip = process.getuid?.() !== 0 ? 'needs root' : hasIp ? false : 'needs ip(8)';

/** As seen from the namespace that poses as the host: 'address at interface'. */
function seen(host: Guest, interfaces: readonly number[]): string[] {
  const namespace = openNetworkNamespace(host.leader.pid);
  try {
    const found = inNetworkNamespace(namespace, () => readNeighbourAddresses(interfaces));
    return found.map(({ family, bytes, interfaceIndex }) => {
      assert.equal(bytes.length, family === 2 ? 4 : 16);
      return `${family === 2 ? bytes.join('.') : Buffer.from(bytes).toString('hex')} at ${interfaceIndex}`;
    });
  } finally {
    closeNamespace(namespace);
  }
}

const indexOf = (guest: Guest, name: string): number => Number(guest.inside(`ip -o link show dev ${name} | cut -d: -f1`));

/** A pair of interfaces: `name` in the host, eth0 in the machine, with these addresses. */
function connect(host: Guest, name: string, machine: Guest, addresses: readonly string[]): number {
  host.inside(`ip link add ${name} type veth peer name eth0 netns ${machine.leader.pid}; ip link set ${name} up`);
  machine.inside(addresses.map((address) => `ip addr add ${address} dev eth0${address.includes(':') ? ' nodad' : ''}`).join('\n'));
  machine.inside('ip link set eth0 up');
  return indexOf(host, name);
}

/** Makes the kernel ask who has an address. */
const reach = (host: Guest, ...addresses: readonly string[]): void => {
  for (const address of addresses) host.inside(`bash -c 'echo >/dev/udp/${address}/9' || true`);
};

suite('neighbours', { skip }, () => {
  test('of an interface that leads to one machine are its addresses', async () => {
    using host = await Guest.start();
    using machine = await Guest.start();
    const tap = connect(host, 'tap0', machine, ['10.5.0.2/24', '10.5.0.3/24', '169.254.9.9/16', 'fd05::2/64', 'fe80::99/64']);
    host.inside('ip addr add 10.5.0.1/24 dev tap0; ip addr add 169.254.1.1/16 dev tap0; ip addr add fd05::1/64 dev tap0 nodad');
    assert.deepEqual(seen(host, [tap]), [], 'nobody has been talked to');
    const expected = [
      `10.5.0.2 at ${tap}`, `10.5.0.3 at ${tap}`, `169.254.9.9 at ${tap}`,
      `fd050000000000000000000000000002 at ${tap}`, `fe800000000000000000000000000099 at ${tap}`,
    ];
    await until(() => {
      reach(host, '10.5.0.3', '10.5.0.2', '10.5.0.77', '169.254.9.9', 'fd05::2', 'fe80::99%tap0');
      return seen(host, [tap]).filter((line) => !line.startsWith('fe80') || line.includes('99 at')).length >= expected.length;
    });
    // its link-local address that nobody has given it may have been seen, too; 10.5.0.77 is nobody's
    assert.deepEqual(seen(host, [tap]).filter((line) => !/^fe80(?!.*99 at)/.test(line)), expected);
    assert.deepEqual(seen(host, [tap, tap]), seen(host, [tap]));
  });

  test('of a bridge are the addresses of the machine behind whose port they are', async () => {
    using host = await Guest.start();
    using one = await Guest.start();
    using other = await Guest.start();
    const taps = [
      connect(host, 'tap1', one, ['10.6.0.2/24', 'fd06::2/64']),
      connect(host, 'tap2', other, ['10.6.0.3/24', 'fd06::3/64']),
    ] as const;
    host.inside(`
      ip link add br0 type bridge forward_delay 0; ip link set br0 up; ip link set tap1 master br0; ip link set tap2 master br0
      ip addr add 10.6.0.1/24 dev br0; ip addr add fd06::1/64 dev br0 nodad`);
    const bridge = indexOf(host, 'br0');
    const ofMachine = (index: number, number: number) => {
      const lines = seen(host, [index]).filter((line) => !line.startsWith('fe80'));
      assert.ok(lines.every((line) => line.startsWith(`10.6.0.${number} `) || line.startsWith(`fd06000000000000000000000000000${number} `)), lines.join());
      return lines;
    };
    await until(() => {
      reach(host, '10.6.0.2', '10.6.0.3', 'fd06::2', 'fd06::3');
      return ofMachine(taps[0], 2).length === 2 && ofMachine(taps[1], 3).length === 2;
    });
    assert.deepEqual(ofMachine(taps[0], 2), [`10.6.0.2 at ${bridge}`, `fd060000000000000000000000000002 at ${bridge}`]);
    host.inside('ip link del tap1');
    assert.deepEqual(seen(host, [taps[0]]), []);
    await until(() => {
      reach(host, '10.6.0.3', 'fd06::3'); // the bridge has another address now, so it has to begin anew
      return ofMachine(taps[1], 3).length === 2;
    });
  });

  test('of what stands on a bridge, as VLANs do, are found, and nobody else is', async () => {
    using host = await Guest.start();
    using machine = await Guest.start();
    const tap = connect(host, 'tap1', machine, ['10.8.0.2/24']);
    // a macvlan stands on its bridge as a VLAN does, which not every kernel has
    host.inside(`
      ip link add br0 type bridge forward_delay 0; ip link set br0 up; ip link set tap1 master br0
      ip link add upper0 link br0 type macvlan mode bridge; ip link set upper0 up; ip addr add 10.8.0.1/24 dev upper0
      ip link add elsewhere type dummy || ip link add elsewhere type veth
      ip link set elsewhere up`);
    const upper = indexOf(host, 'upper0');
    await until(() => {
      reach(host, '10.8.0.2');
      return seen(host, [tap]).some((line) => line === `10.8.0.2 at ${upper}`);
    });
    const address = machine.inside("ip -o link show dev eth0 | sed 's/.*ether \\([0-9a-f:]*\\).*/\\1/'").trim();
    host.inside(`ip neigh add 10.8.9.9 lladdr ${address} dev elsewhere`);
    assert.deepEqual(seen(host, [tap]).filter((line) => line.startsWith('10.')), [`10.8.0.2 at ${upper}`]);
  });

  test('of a macvtap are those that its neighbours on the same interface have found', async () => {
    using host = await Guest.start();
    host.inside(`
      ip link add net0 type veth peer name net1; ip link set net0 up
      ip link add link net0 name tap7 address 52:54:00:00:00:07 type macvtap mode bridge
      ip link add link net0 name tap8 address 52:54:00:00:00:08 type macvtap mode bridge
      ip link add link net0 name own0 type macvlan mode bridge; ip link set own0 up
      ip neigh add 10.9.0.7 lladdr 52:54:00:00:00:07 dev own0 nud stale
      ip neigh add 10.9.0.8 lladdr 52:54:00:00:00:08 dev own0 nud reachable
      ip neigh add 10.9.0.9 lladdr 52:54:00:00:00:07 dev net0 nud stale
      ip neigh add 10.9.0.10 lladdr 52:54:00:00:00:07 dev net1 nud stale`);
    const [own, net] = [indexOf(host, 'own0'), indexOf(host, 'net0')].map(String);
    assert.deepEqual(seen(host, [indexOf(host, 'tap7')]).sort(), [`10.9.0.7 at ${own}`, `10.9.0.9 at ${net}`].sort());
    assert.deepEqual(seen(host, [indexOf(host, 'tap8')]), [`10.9.0.8 at ${own}`]);
  });

  test('on a bridge may be told, as libvirt can do it, and the bridge itself is nobody', async () => {
    using host = await Guest.start();
    using machine = await Guest.start();
    const tap = connect(host, 'tap1', machine, []);
    host.inside(`
      ip link add br0 type bridge; ip link set br0 up; ip link set tap1 master br0
      bridge fdb add 52:54:00:00:00:01 dev tap1 master static
      ip neigh add 10.7.0.2 lladdr 52:54:00:00:00:01 dev br0 nud stale
      ip neigh add 10.7.0.3 lladdr 52:54:00:00:00:02 dev br0 nud reachable
      ip neigh add 10.7.0.4 lladdr $(ip -o link show dev tap1 | sed 's/.*ether \\([0-9a-f:]*\\).*/\\1/') dev br0 nud permanent
      ip neigh add 10.7.0.5 lladdr 52:54:00:00:00:01 dev br0 nud noarp`);
    assert.deepEqual(seen(host, [tap]), [`10.7.0.2 at ${indexOf(host, 'br0')}`]);
  });

  test('are looked at and told of up to a limit', async () => {
    using host = await Guest.start();
    using machine = await Guest.start();
    const tap = connect(host, 'tap1', machine, []);
    const lines = Array.from({ length: 20_000 }, (_, index) => `neigh add 10.${index >> 8}.${index & 255}.1 lladdr 52:54:00:00:00:01 dev tap1`);
    writeFileSync(host.file('etc/batch'), `${lines.join('\n')}\n`);
    host.inside('ip -batch "$1/etc/batch"');
    assert.equal(seen(host, [tap]).length, 4096);
    assert.deepEqual(seen(host, [999_999]), []);
  });
});
