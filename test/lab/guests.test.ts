/** What is seen of a real container, compared with what the real daemon sees of it. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { bootHost, untilTrue, type LabHost } from './harness.js';

const manager = ['org.freedesktop.machine1', '/org/freedesktop/machine1', 'org.freedesktop.machine1.Manager'];

interface Seen {
  readonly addresses: readonly (readonly [number, readonly number[]])[] | null;
  readonly release: readonly (readonly [string, string])[] | null;
}

/** Argument: the leader's PID. */
const lookProgram = `
  const { KernelGuests } = await import('/src/build/src/host/guests/kernel-guests.js');
  const guests = new KernelGuests({ warning: console.error }, '/run/mounts-under-test');
  const leader = { pid: Number(process.argv[1]), pidfdId: undefined };
  const addresses = await guests.addresses(leader);
  const release = await guests.osRelease(leader);
  console.log(JSON.stringify({
    addresses: addresses?.map(({ family, bytes }) => [family, [...bytes]]) ?? null,
    release: release === undefined ? null : [...release],
  }));
  guests[Symbol.dispose]();`;

async function ours(host: LabHost, leader: number): Promise<Seen> {
  return JSON.parse(await host.succeed(['node', '--input-type=module', '-e', lookProgram, String(leader)])) as Seen;
}

async function real<T>(host: LabHost, method: string, machine: string): Promise<T> {
  const said = await host.succeed(['busctl', '--json=short', 'call', ...manager, method, 's', machine]);
  return (JSON.parse(said) as { data: [T] }).data[0];
}

for (const privateUsers of [true, false]) {
  suite(`a container ${privateUsers ? 'with' : 'without'} users of its own`, () => {
    test('is seen as the real daemon sees it', async () => {
      await using host = await bootHost({ suite: 'sid', name: `guests-${privateUsers}`, daemon: 'real' });
      const leader = await host.container('crate', { privateUsers });
      await host.succeed(['nsenter', '-t', String(leader), '--net', 'bash', '-euc', `
        ip addr add 192.0.2.7/24 dev host0; ip addr add 2001:db8::7/64 dev host0 nodad; ip addr add 10.0.0.9/8 dev host0
        ip addr add 169.254.1.1/16 dev host0 scope link; ip addr add fd00::1/64 dev host0 nodad preferred_lft 0
        ip addr add 10.1.1.1/32 dev lo; ip link set host0 up`]);
      await host.succeed(['ip', 'link', 'set', 've-crate', 'up']);
      await untilTrue('no address is tentative', async () => {
        return (await host.succeed(['nsenter', '-t', String(leader), '--net', 'ip', 'addr', 'show', 'tentative'])) === '';
      });

      const seen = await ours(host, leader);

      assert.deepEqual(seen.addresses, await real(host, 'GetMachineAddresses', 'crate'));
      assert.ok((seen.addresses?.length ?? 0) >= 5);
      const release = await real<Record<string, string>>(host, 'GetMachineOSRelease', 'crate');
      assert.deepEqual(seen.release, Object.entries(release));
      assert.equal(Object.fromEntries(seen.release ?? [])['ID'], 'debian');
    });
  });
}

test('a machine that shares the network and the files of the host is seen as that', async () => {
  await using host = await bootHost({ suite: 'sid', name: 'guests-host', daemon: 'real' });
  const seen = await ours(host, await host.leader('process'));
  assert.equal(seen.addresses, null);
  assert.deepEqual(seen.release, Object.entries(await real<Record<string, string>>(host, 'GetMachineOSRelease', '.host')));
});
