/** A host where no systemd runs: cgroups in the place of its units, a bus of the daemon's own, and systemd's tools. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { bootHost, systemdVersions, untilTrue, type LabHost, type RunOptions, type Suite } from './harness.js';

const varlinkSocket = '/run/systemd/machine/io.systemd.Machine';
const scopes = '/sys/fs/cgroup/machine.slice';
const manager = ['org.freedesktop.machine1', '/org/freedesktop/machine1', 'org.freedesktop.machine1.Manager'];

for (const [name, version] of Object.entries(systemdVersions) as [Suite, number][]) {
  test(`machinectl and systemd-nspawn of systemd ${version} work where no systemd runs`, async () => {
    await using host = await bootBare(name, `bare-${name}`);
    assert.match(await host.journal(), /units +no systemd here: plain cgroups below machine\.slice/);
    assert.match(await host.journal(), /bus +no system bus here: .* on a bus of its own, unix:path=\/run\/machined\/bus/);
    assert.match(await host.journal(), /rights +root alone, for there is no polkit/);
    assert.match(await againstOurs(host, 'machinectl', 'list'), /No machines/);

    await startContainer(host, 'crate');

    const leader = await againstOurs(host, 'machinectl', 'show', 'crate', '--property=Leader', '--value');
    assert.equal((await host.file(`/proc/${leader}/comm`)).trim(), 'sleep');
    assert.match(await againstOurs(host, 'machinectl', 'status', 'crate'), new RegExp(`Leader: ${leader} \\(sleep\\)`));
    const [, shift] = /^\s*0\s+(\d+)\s/.exec(await host.file(`/proc/${leader}/uid_map`)) ?? [];
    assert.match(await againstOurs(host, 'getent', 'passwd', 'vu-crate-0'), new RegExp(`^vu-crate-0:x:${shift}:`));
    const found = await againstOurs(host, 'busctl', 'call', ...manager, 'GetMachineByPID', 'u', leader);
    assert.equal(found, 'o "/org/freedesktop/machine1/machine/crate"');

    await againstOurs(host, 'machinectl', 'terminate', 'crate');
    await untilTrue('crate is gone', async () => (await machineNames(host)).length === 0);
    await untilTrue('its processes are gone', async () => (await host.run(['pgrep', 'systemd-nspawn'])).status === 1);
    assert.equal((await host.run(['test', '-e', '/run/systemd/system'])).status, 1, 'nobody else is told that systemd runs');
  });
}

test('the daemon and its bus come up at every start, whatever became of the ones before', async () => {
  await using host = await bootBare('trixie', 'bare-again');
  for (let attempt = 0; attempt < 10; attempt++) {
    await host.killOurs(attempt % 2 === 0 ? 'SIGKILL' : 'SIGTERM');
    await host.startOurs();
    assert.deepEqual(await machineNames(host), []);
  }
  assert.equal((await host.succeed(['pgrep', '--count', 'dbus-daemon'])), '1');
});

suite('machines in cgroups', () => {
  test('CreateMachine makes a scope with its limits, kill and terminate reach all of it', async (t) => {
    await using host = await bootBare('trixie', 'bare-scope');
    const leader = await host.leader('boxed');
    await create(host, 'boxed', leader, ['1', 'TasksMax', 't', '50']);

    const scope = `${scopes}/machine-boxed.scope`;
    assert.equal(await host.file(`${scope}/cgroup.procs`), `${leader}\n`);
    assert.equal(await againstOurs(host, 'machinectl', 'show', 'boxed', '--property=Unit', '--value'), 'machine-boxed.scope');
    if ((await host.run(['test', '-e', `${scope}/pids.max`])).status === 0) {
      assert.equal(await host.file(`${scope}/pids.max`), '50\n');
    } else {
      t.diagnostic('no pids controller in the cgroup v2 tree of this machine');
      assert.match(await host.journal(), /TasksMax|pids/, 'a limit that cannot be set is not dropped in silence');
    }

    // a process beside the leader
    const other = await host.leader('other');
    await host.succeed(['tee', `${scope}/cgroup.procs`], { input: String(other) });
    const found = await againstOurs(host, 'busctl', 'call', ...manager, 'GetMachineByPID', 'u', String(other));
    assert.equal(found, 'o "/org/freedesktop/machine1/machine/boxed"');
    await againstOurs(host, 'machinectl', 'kill', '--signal=SIGSTOP', 'boxed');
    for (const pid of [leader, other]) assert.match(await host.file(`/proc/${pid}/status`), /^State:\tT/m);

    await againstOurs(host, 'machinectl', 'terminate', 'boxed');
    await untilTrue('boxed is gone', async () => (await machineNames(host)).length === 0);
    for (const pid of [leader, other]) assert.equal((await host.run(['kill', '-0', String(pid)])).status, 1);
    assert.equal((await host.run(['test', '-e', scope])).status, 1);
    assert.equal((await host.run(['ls', '/run/systemd/machines'])).stdout, '');
  });

  test('they outlive the daemon, and are known again, unless they ended meanwhile', async () => {
    await using host = await bootBare('trixie', 'bare-restart');
    await startContainer(host, 'crate');
    for (const name of ['boxed', 'doomed', 'emptied']) await create(host, name, await host.leader(name));
    const before = await machineNames(host);
    assert.deepEqual(before, ['boxed', 'crate', 'doomed', 'emptied']);
    const doomed = await againstOurs(host, 'machinectl', 'show', 'doomed', '--property=Leader', '--value');

    await host.killOurs('SIGKILL');
    await host.succeed(['kill', '-s', 'KILL', doomed]);
    await host.shell(`echo 1 >${scopes}/machine-emptied.scope/cgroup.kill`);
    await host.startOurs();

    assert.deepEqual(await machineNames(host), ['boxed', 'crate']);
    assert.match(await host.journal(), /2 machines running/);
    assert.equal(await againstOurs(host, 'machinectl', 'show', 'boxed', '--property=Unit', '--value'), 'machine-boxed.scope');
    const files = (await host.succeed(['ls', '/run/systemd/machines'])).split('\n');
    assert.deepEqual(files, ['boxed', 'crate', 'unit:machine-boxed.scope']);

    await againstOurs(host, 'machinectl', 'terminate', 'boxed');
    await againstOurs(host, 'machinectl', 'terminate', 'crate');
    await untilTrue('both are gone', async () => (await machineNames(host)).length === 0);
    await host.stopOurs();
    assert.equal((await host.run(['pgrep', 'dbus-daemon'])).status, 1, 'its bus went with it');
  });
});

suite('the registry of an ordinary user', () => {
  const runtime = '/run/user/1000';
  const asUser = { user: 'testuser', env: { XDG_RUNTIME_DIR: runtime } } satisfies RunOptions;
  const socket = `${runtime}${varlinkSocket.replace('/run', '')}`;

  test('follows processes by pidfd alone, and only those of the user', async () => {
    await using host = await bootHost({ suite: 'trixie', name: 'bare-user', daemon: 'none', systemd: false });
    await host.succeed(['install', '-d', '-m', '0700', '-o', 'testuser', '-g', 'testuser', runtime]);
    await host.startOurs(asUser);
    assert.match(await host.journal(), /units +no systemd and no cgroup to write to: machines are followed by their leader/);
    assert.match(await host.journal(), /rights +user 1000 alone/);

    const call = (method: string, parameters: object) =>
      host.run(['varlinkctl', 'call', socket, `io.systemd.Machine.${method}`, JSON.stringify(parameters)], asUser);
    const listed = async () => (await call('List', { name: 'mine' })).status === 0;

    const leader = await host.leader('mine', { user: 'testuser' });
    assert.equal((await call('Register', { name: 'mine', class: 'container', leader })).status, 0);
    assert.ok(await listed());
    assert.match((await call('List', { name: 'mine' })).stdout, /"UID":1000/);

    const foreign = await call('Register', { name: 'theirs', class: 'container', leader: await host.leader('theirs') });
    assert.notEqual(foreign.status, 0, 'a process of root');
    assert.match(foreign.stderr, /InteractiveAuthenticationRequired|PermissionDenied/);

    await host.killOurs('SIGKILL');
    await host.startOurs(asUser);
    assert.ok(await listed());

    await host.succeed(['kill', String(leader)]);
    await untilTrue('it is gone with its leader', async () => !(await listed()));
  });
});

test('without dbus-daemon there is Varlink alone, and that is said', async () => {
  await using host = await bootHost({ suite: 'trixie', name: 'bare-varlink', daemon: 'none', systemd: false });
  await host.succeed(['mv', '/usr/bin/dbus-daemon', '/usr/bin/dbus-daemon.away']);
  await host.startOurs();
  assert.match(await host.journal(), /bus +none \(no system bus runs, and dbus-daemon is not installed\): Varlink alone/);

  const call = (method: string, parameters: object, ...flags: string[]) =>
    host.run(['varlinkctl', 'call', ...flags, varlinkSocket, `io.systemd.Machine.${method}`, JSON.stringify(parameters)]);
  const leader = await host.leader('quiet');
  const registered = await call('Register', { name: 'quiet', class: 'container', leader, allocateUnit: true });
  assert.equal(registered.status, 0, registered.stderr);
  assert.match((await call('List', {}, '--more')).stdout, /"quiet"/);
  assert.equal(await host.file(`${scopes}/machine-quiet.scope/cgroup.procs`), `${leader}\n`);
  assert.equal((await call('Terminate', { name: 'quiet' })).status, 0);
  await untilTrue('quiet is gone', async () => (await call('List', { name: 'quiet' })).status !== 0);

  // the tools that need a bus say so, and nothing hangs
  const refused = await host.run(['/src/bin/machined', 'run', 'machinectl', 'list']);
  assert.notEqual(refused.status, 0);
  assert.match(refused.stderr, /bus/);
});

async function bootBare(suiteName: Suite, name: string): Promise<LabHost> {
  return bootHost({ suite: suiteName, name, daemon: 'ours', systemd: false });
}

/** Runs one of systemd's tools in the way that the daemon tells, and returns what it wrote. */
async function againstOurs(host: LabHost, ...command: string[]): Promise<string> {
  return host.succeed(['/src/bin/machined', 'run', ...command]);
}

/** Sorted. */
async function machineNames(host: LabHost): Promise<string[]> {
  const lines = await againstOurs(host, 'machinectl', 'list', '--no-legend', '--no-pager');
  return lines.split('\n').filter((line) => line !== '').map((line) => line.trim().split(/\s+/)[0] as string).sort();
}

/** `properties` is an array of bus properties in busctl's notation. */
async function create(host: LabHost, name: string, leader: number, properties: string[] = ['0']): Promise<void> {
  const parameters = ['sayssusa(sv)', name, '0', 'test', 'container', String(leader), '', ...properties];
  await againstOurs(host, 'busctl', 'call', ...manager, 'CreateMachine', ...parameters);
}

/** A container with users of its own and a copy of the host's tree, in which a process sleeps; waits until it is listed. */
async function startContainer(host: LabHost, name: string): Promise<void> {
  const nspawn = ['systemd-nspawn', '--quiet', '--keep-unit', '--register=yes', '--private-users=pick', `--machine=${name}`];
  const command = [...nspawn, '--directory=/srv/tree', 'sleep', 'infinity'];
  const started = await host.shell(startInBackground, { env: { COMMAND: command.join(' ') } });
  assert.equal(started.status, 0, started.stderr);
  await untilTrue(`${name} is registered`, async () => (await machineNames(host)).includes(name));
}

const startInBackground = `
if [[ ! -d /srv/tree ]]; then
  mkdir /srv/tree
  tar -C / --one-file-system --exclude=./srv --exclude=./usr/share --exclude=./usr/lib/udev --exclude=./var/lib -cf - . |
    tar -C /srv/tree -xf -
fi
setsid /src/bin/machined run $COMMAND </dev/null &>/tmp/nspawn.out &`;
