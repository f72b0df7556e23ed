/** libvirt, which registers each of its virtual machines: the most used client that is not of systemd's own. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { bootHost, untilTrue, type Daemon, type LabHost } from './harness.js';

// emulated, without a disk or a kernel: it lives, and does nothing
const definition = `
<domain type='qemu'>
  <name>tiny</name>
  <memory unit='MiB'>64</memory>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices><memballoon model='none'/></devices>
</domain>`;
const machine = 'qemu-1-tiny';

for (const daemon of ['real', 'ours'] satisfies Daemon[]) {
  suite(`libvirt with the ${daemon} daemon`, () => {
    test('a domain is a machine for as long as it runs', async () => {
      await using host = await bootHost({ suite: 'trixie-libvirt', name: `libvirt-${daemon}`, daemon });
      await startDomain(host);

      const emulator = await host.succeed(['cat', '/run/libvirt/qemu/tiny.pid']);
      assert.deepEqual(await listMachines(host), [machine]);
      const shown = await host.succeed(['machinectl', 'show', machine, '-pClass', '-pService', '-pLeader', '-pUnit']);
      assert.deepEqual(shown.split('\n').sort(), [
        'Class=vm',
        `Leader=${emulator}`,
        'Service=libvirt-qemu',
        `Unit=machine-qemu\\x2d1\\x2dtiny.scope`,
      ]);
      const byPid = ['org.freedesktop.machine1.Manager', 'GetMachineByPID', 'u', emulator];
      const found = await host.succeed(['busctl', 'call', 'org.freedesktop.machine1', '/org/freedesktop/machine1', ...byPid]);
      assert.equal(found, 'o "/org/freedesktop/machine1/machine/qemu_2d1_2dtiny"');
      const scope = ['show', '-pSlice', '-pDescription', '-pDelegate', 'machine-qemu\\x2d1\\x2dtiny.scope'];
      assert.deepEqual((await host.succeed(['systemctl', ...scope])).split('\n').sort(), [
        'Delegate=yes',
        `Description=Virtual Machine ${machine}`,
        'Slice=machine.slice',
      ]);
      assert.match(await host.file(`/proc/${emulator}/cgroup`), /^0::\/machine\.slice\/machine-qemu\\x2d1\\x2dtiny\.scope\//m);

      await virsh(host, 'destroy', 'tiny');
      await untilTrue('the machine is gone', async () => (await listMachines(host)).length === 0);
    });

    test('a domain survives a restart of libvirt, which finds its machine again', async () => {
      await using host = await bootHost({ suite: 'trixie-libvirt', name: `libvirt-${daemon}`, daemon });
      await startDomain(host);

      await host.succeed(['systemctl', 'restart', 'libvirtd.service']);

      assert.equal((await virsh(host, 'domstate', 'tiny')).trim(), 'running');
      assert.deepEqual(await listMachines(host), [machine]);
      await virsh(host, 'destroy', 'tiny');
      await untilTrue('the machine is gone', async () => (await listMachines(host)).length === 0);
    });

    test('terminating the machine ends the domain', async () => {
      await using host = await bootHost({ suite: 'trixie-libvirt', name: `libvirt-${daemon}`, daemon });
      await startDomain(host);

      await host.succeed(['machinectl', 'terminate', machine]);

      await untilTrue('the domain is off', async () => (await virsh(host, 'domstate', 'tiny')).trim() === 'shut off');
      assert.deepEqual(await listMachines(host), []);
    });
  });
}

async function startDomain(host: LabHost): Promise<void> {
  await host.succeed(['tee', '/tmp/tiny.xml'], { input: definition });
  await virsh(host, 'define', '/tmp/tiny.xml');
  await virsh(host, 'start', 'tiny');
}

async function virsh(host: LabHost, ...command: string[]): Promise<string> {
  return host.succeed(['virsh', '--connect=qemu:///system', ...command]);
}

async function listMachines(host: LabHost): Promise<string[]> {
  const listed = JSON.parse(await host.succeed(['machinectl', 'list', '--output=json'])) as { machine: string }[];
  return listed.map((one) => one.machine);
}
