import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { bootHost, systemdVersions, type LabHost, type Suite } from './harness.js';

// /src is the project, and /opt/node/bin/node the node that runs this test
const installer = ['node', '/src/scripts/install-host.mjs'];

for (const name of Object.keys(systemdVersions) as Suite[]) {
  suite(`on ${name}`, () => {
    test('the daemon takes over from systemd-machined with its machines, and gives all of it back', async () => {
      await using host = await bootHost({ suite: name, name: `install-${name}`, daemon: 'real' });
      const leader = await host.leader('before');
      await register(host, 'before', leader);
      assert.match(await owner(host), /\/systemd-machined$/);
      const files = await fileList(host);
      const running = await activeUnits(host);

      await host.succeed([...installer, 'install'], { timeout: 60_000 });
      assert.match(await owner(host), /\/node$/);
      assert.deepEqual(await machines(host), ['before']);
      const id = await host.succeed(['systemctl', 'show', '-P', 'Id', 'systemd-machined.service']);
      assert.equal(id, 'machined.service');

      await register(host, 'during', await host.leader('during'));
      await host.succeed(['systemctl', 'daemon-reload']);
      await host.succeed(['systemctl', 'restart', 'machined.service']);
      assert.deepEqual(await machines(host), ['before', 'during']);

      // whoever asks first starts it: on the bus, or on the socket
      await host.succeed(['systemctl', 'stop', 'machined.service']);
      assert.deepEqual(await machines(host), ['before', 'during']);
      await host.succeed(['systemctl', 'stop', 'machined.service']);
      await host.succeed(['node', '-e', pingSocket]);
      assert.match(await owner(host), /\/node$/);

      await host.succeed([...installer, 'uninstall'], { timeout: 60_000 });
      assert.match(await owner(host), /\/systemd-machined$/);
      assert.deepEqual(await machines(host), ['before', 'during']);
      assert.deepEqual(await fileList(host), files);
      assert.deepEqual(await activeUnits(host), running);
    });

    test('it is confined: no new privileges, no capability that it does not need', async () => {
      await using host = await bootHost({ suite: name, name: `confined-${name}`, daemon: 'real' });
      await host.succeed([...installer, 'install'], { timeout: 60_000 });
      await machines(host);
      const pid = await host.succeed(['systemctl', 'show', '-P', 'MainPID', 'machined.service']);
      const status = await host.file(`/proc/${pid}/status`);
      assert.match(status, /^NoNewPrivs:\t1$/m);
      assert.match(status, /^Seccomp:\t2$/m);
      const capabilities = BigInt(`0x${/^CapEff:\t(.*)$/m.exec(status)?.[1] ?? ''}`);
      assert.equal(capabilities & (1n << networkAdministration), 0n);
      assert.notEqual(capabilities & (1n << systemAdministration), 0n);
    });
  });
}

const networkAdministration = 12n; // capability.h: CAP_NET_ADMIN
const systemAdministration = 21n; // CAP_SYS_ADMIN

const pingSocket = `
const socket = require('node:net').connect('/run/systemd/machine/io.systemd.Machine');
socket.write('{"method":"org.varlink.service.GetInfo"}\\0');
socket.once('data', () => process.exit(0));
socket.once('close', () => process.exit(1));`;

/** The program of the process that serves org.freedesktop.machine1; it is started if there is none. */
async function owner(host: LabHost): Promise<string> {
  await machines(host);
  const bus = ['org.freedesktop.DBus', '/org/freedesktop/DBus', 'org.freedesktop.DBus'];
  const method = ['GetConnectionUnixProcessID', 's', 'org.freedesktop.machine1'];
  const [, pid] = (await host.succeed(['busctl', 'call', ...bus, ...method])).split(' ');
  return host.succeed(['readlink', `/proc/${pid}/exe`]);
}

/** The names of the machines, sorted. */
async function machines(host: LabHost): Promise<string[]> {
  const lines = await host.succeed(['machinectl', 'list', '--no-legend', '--no-pager']);
  return lines.split('\n').filter((line) => line !== '').map((line) => line.trim().split(/\s+/)[0] as string).sort();
}

async function register(host: LabHost, name: string, leader: number): Promise<void> {
  const manager = ['org.freedesktop.machine1', '/org/freedesktop/machine1', 'org.freedesktop.machine1.Manager'];
  const parameters = ['sayssus', name, '0', 'test', 'container', String(leader), ''];
  await host.succeed(['busctl', 'call', ...manager, 'RegisterMachine', ...parameters]);
}

/** Everything that an installation may touch: type, mode, size, name and where links lead. */
async function fileList(host: LabHost): Promise<string[]> {
  const places = '/etc/systemd /etc/dbus-1 /etc/init.d /usr/local /usr/share/dbus-1 /usr/share/polkit-1';
  const list = await host.shell(`find ${places} ! -type d -printf '%y %m %s %p %l\\n' 2>/dev/null || true`);
  return list.stdout.split('\n').sort();
}

/** Of systemd-machined, on versions which have a socket for it too. */
async function activeUnits(host: LabHost): Promise<string[]> {
  const { stdout } = await host.run(['systemctl', 'is-active', 'systemd-machined.service', 'systemd-machined.socket']);
  return stdout.trim().split('\n');
}
