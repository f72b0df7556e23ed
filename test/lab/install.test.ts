import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { bootHost, systemdVersions, untilTrue, type LabHost, type Suite } from './harness.js';

const usersPath = '/usr/local/bin:/usr/bin:/bin';
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
      // as by somebody whose PATH has no node
      assert.match(await host.succeed(['machinectl', '--version'], { env: { PATH: usersPath } }), /^machined /);
      assert.match(await host.succeed(['machinectl', 'list', '--no-legend'], { user: 'testuser', env: { PATH: usersPath } }), /^before /);
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
      assert.match(await host.succeed(['machinectl', '--version'], { env: { PATH: usersPath } }), /^systemd /);
      assert.deepEqual(await fileList(host), files);
      assert.deepEqual(await activeUnits(host), running);
    });

    test('it is confined: it can do what root of a container may do, and no more', async () => {
      await using host = await bootHost({ suite: name, name: `confined-${name}`, daemon: 'real' });
      await host.succeed([...installer, 'install'], { timeout: 60_000 });
      await machines(host);
      const pid = await host.succeed(['systemctl', 'show', '-P', 'MainPID', 'machined.service']);
      const status = await host.file(`/proc/${pid}/status`);
      assert.match(status, /^Seccomp:\t2$/m);
      const capabilities = BigInt(`0x${/^CapEff:\t(.*)$/m.exec(status)?.[1] ?? ''}`);
      assert.equal(capabilities & (1n << kernelModules), 0n);
      assert.notEqual(capabilities & (1n << systemAdministration), 0n);
    });

    test('systemd knows when it is ready, and brings it back when it hangs', async () => {
      await using host = await bootHost({ suite: name, name: `watchdog-${name}`, daemon: 'real' });
      await host.succeed([...installer, 'install'], { timeout: 60_000 });
      await host.succeed(['mkdir', '/run/systemd/system/machined.service.d']);
      const impatient = '[Service]\nWatchdogSec=2s\n';
      await host.succeed(['tee', '/run/systemd/system/machined.service.d/impatient.conf'], { input: impatient });
      await host.succeed(['systemctl', 'daemon-reload']);
      await host.succeed(['systemctl', 'restart', 'machined.service']);
      const property = (of: string) => host.succeed(['systemctl', 'show', '-P', of, 'machined.service']);
      assert.equal(await property('Type'), 'notify');
      assert.equal(await property('ActiveState'), 'active');
      await register(host, 'kept', await host.leader('kept'));

      const pid = await property('MainPID');
      await host.succeed(['sleep', '5']); // more than twice the time that it has
      assert.equal(await property('MainPID'), pid);

      await host.succeed(['kill', '-s', 'STOP', pid]);
      await untilTrue('another process has taken its place', async () => {
        return (await property('NRestarts')) === '1' && (await property('ActiveState')) === 'active';
      }, 20_000);
      assert.match(await host.succeed(['journalctl', '--unit=machined.service', '--no-pager']), /[Ww]atchdog timeout/);
      assert.deepEqual(await machines(host), ['kept']);
    });

    test('after a boot it waits to be asked, and then serves', async () => {
      await using host = await bootHost({ suite: name, name: `boot-${name}`, daemon: 'real' });
      await host.succeed([...installer, 'install'], { timeout: 60_000 });
      // a container is a copy of the host's tree, with all that was installed there, which really boots
      await host.succeed(['mkdir', '/run/systemd/system/systemd-nspawn@copy.service.d']);
      await host.succeed(['tee', '/run/systemd/system/systemd-nspawn@copy.service.d/node.conf'], { input: withNode });
      await host.succeed(['systemctl', 'daemon-reload']);
      await host.container('copy', { privateUsers: false });

      const inside = ['systemctl', '--machine=copy'];
      assert.equal(await host.succeed([...inside, 'is-active', 'machined.socket']), 'active');
      assert.equal(await host.succeed([...inside, 'show', '-P', 'SubState', 'machined.service']), 'dead');
      const list = ['call', 'org.freedesktop.machine1', '/org/freedesktop/machine1', 'org.freedesktop.machine1.Manager'];
      assert.match(await host.succeed(['busctl', '--machine=copy', ...list, 'ListMachines']), /^a\(ssso\) 1 ".host" "host"/);
      assert.equal(await host.succeed([...inside, 'show', '-P', 'SubState', 'machined.service']), 'running');
    });
  });
}

const withNode = `[Service]
ExecStart=
ExecStart=systemd-nspawn --quiet --keep-unit --boot --settings=override --machine=%i --bind-ro=/opt/node
`;

const kernelModules = 16n; // capability.h: CAP_SYS_MODULE
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
