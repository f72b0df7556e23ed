/** `machined --user`: a user's machines, on the session bus, in units of that user's systemd. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bootHost, untilTrue, type LabHost } from './harness.js';

const runtime = '/run/user/1000'; // testuser's
const asUser = {
  user: 'testuser',
  env: { XDG_RUNTIME_DIR: runtime, DBUS_SESSION_BUS_ADDRESS: `unix:path=${runtime}/bus` },
} as const;

/** The host's user units stay as they are, but for the program. */
const serviceOfOurs = `[Service]
ExecStart=
ExecStart=/src/bin/machined --user
Environment=PATH=/opt/node/bin:/usr/bin:/bin
MemoryDenyWriteExecute=no
`;

const sessionBus = `[Service]
Type=notify
ExecStart=dbus-daemon --session --address=systemd: --nofork --nopidfile --systemd-activation
`;

test('a user has a registry of machines and images without any rights', async () => {
  await using host = await bootHost({ suite: 'sid', name: 'user-instance', daemon: 'none' });
  await bootUser(host);
  const machinectl = (...words: string[]) => host.succeed(['machinectl', '--user', '--no-pager', ...words], asUser);

  assert.equal(await machinectl('list'), 'No machines.');
  assert.equal(await machinectl('show', '--property=PoolPath', '--value'), '/home/testuser/.local/state/machines');

  const leader = await host.succeed(['bash', '-c', 'sleep infinity </dev/null &>/dev/null & echo $!'], asUser);
  const unit = ['systemd-run', '--user', '--quiet', '--unit=guest', 'sleep', 'infinity'];
  await host.succeed(unit, asUser);
  const inUnit = await host.succeed(['systemctl', '--user', 'show', '--property=MainPID', '--value', 'guest'], asUser);
  await register(host, { name: 'stays', class: 'container', leader: Number(inUnit) });
  await register(host, { name: 'scoped', class: 'container', leader: Number(leader), allocateUnit: true });

  assert.equal(await machinectl('show', 'stays', '--property=Unit', '--value'), 'guest.service');
  assert.equal(await machinectl('show', 'scoped', '--property=Unit', '--value'), 'machine-scoped.scope');
  assert.match(await host.file(`/proc/${leader}/cgroup`), /user@1000\.service\/machine\.slice\/machine-scoped\.scope$/m);
  assert.match(await host.file(`${runtime}/systemd/machines/stays`), /^SCOPE=guest\.service$/m);
  assert.equal(await host.succeed(['stat', '--format=%a %U', `${runtime}/systemd/machine/io.systemd.Machine`]), '600 testuser');

  await machinectl('terminate', 'scoped');
  await host.succeed(['systemctl', '--user', 'stop', 'guest'], asUser);
  await untilTrue('both have ended', async () => (await machinectl('list')) === 'No machines.');

  await host.succeed(['sh', '-c', 'mkdir -p ~/.local/state/machines/tree && echo hello >~/.local/state/machines/tree/file'], asUser);
  await machinectl('clone', 'tree', 'copy');
  assert.equal(await host.file('/home/testuser/.local/state/machines/copy/file'), 'hello\n');
  assert.match(await machinectl('list-images', '--no-legend'), /^copy directory .*\ntree directory /);
  await machinectl('remove', 'copy');
  assert.doesNotMatch(await machinectl('list-images', '--no-legend'), /copy/);
});

/** A session bus for the user's systemd, which starts our daemon in the place of the original. */
async function bootUser(host: LabHost): Promise<void> {
  const dropIn = '/etc/systemd/user/systemd-machined.service.d';
  await host.succeed(['mkdir', '-p', dropIn]);
  await host.succeed(['tee', `${dropIn}/ours.conf`], { input: serviceOfOurs });
  await host.succeed(['mkdir', '-p', '/etc/systemd/user/sockets.target.wants']);
  await host.succeed(['tee', '/etc/systemd/user/dbus.socket'], { input: '[Socket]\nListenStream=%t/bus\n' });
  await host.succeed(['tee', '/etc/systemd/user/dbus.service'], { input: sessionBus });
  await host.succeed(['ln', '-s', '../dbus.socket', '/etc/systemd/user/sockets.target.wants']);
  await host.succeed(['loginctl', 'enable-linger', 'testuser']);
  await untilTrue("the user's systemd is on the session bus", async () => {
    return (await host.run(['busctl', '--user', 'status', 'org.freedesktop.systemd1'], asUser)).status === 0;
  });
  await host.succeed(['systemctl', '--user', 'start', 'systemd-machined.service'], asUser);
}

async function register(host: LabHost, machine: object): Promise<void> {
  const call = ['varlinkctl', 'call', `${runtime}/systemd/machine/io.systemd.Machine`, 'io.systemd.Machine.Register'];
  await host.succeed([...call, JSON.stringify(machine)], asUser);
}
