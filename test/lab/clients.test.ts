/** systemd's own tools, of all ages, work with our daemon in the place of theirs. */
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { bootHost, systemdVersions, untilTrue, type LabHost, type Suite } from './harness.js';

const varlinkAddress = '/run/systemd/machine/io.systemd.Machine';
const busManager = ['org.freedesktop.machine1', '/org/freedesktop/machine1', 'org.freedesktop.machine1.Manager'];

for (const [suiteName, version] of Object.entries(systemdVersions) as [Suite, number][]) {
  suite(`with the tools of systemd ${version}`, () => {
    let host: LabHost;
    /** The leaders of c1, which has users of its own, and c2, which has not. */
    const leaders = { c1: 0, c2: 0 };

    before(async () => {
      host = await bootHost({ suite: suiteName, name: `clients-${suiteName}`, daemon: 'ours' });
      leaders.c1 = await host.container('c1', { privateUsers: true });
      leaders.c2 = await host.container('c2', { privateUsers: false });
    });
    after(async () => {
      await (host as LabHost | undefined)?.[Symbol.asyncDispose]();
    });

    const show = (machine: string, property: string) =>
      host.succeed(['machinectl', 'show', machine, `--property=${property}`, '--value']);

    test('machinectl list names the containers, also for an ordinary user', async () => {
      const listed = JSON.parse(await host.succeed(['machinectl', 'list', '--output=json'])) as Record<string, string>[];
      assert.deepEqual(listed.map((one) => [one['machine'], one['class'], one['service'], one['os']]), [
        ['c1', 'container', 'systemd-nspawn', 'debian'],
        ['c2', 'container', 'systemd-nspawn', 'debian'],
      ]);
      const seen = await host.succeed(['machinectl', 'list', '--no-legend'], { user: 'testuser' });
      assert.deepEqual(seen.split('\n').map((line) => line.split(' ')[0]), ['c1', 'c2']);
    });

    test('machinectl show and status describe a container', async () => {
      assert.equal(await show('c1', 'Leader'), String(leaders.c1));
      assert.equal(await show('c1', 'Unit'), 'systemd-nspawn@c1.service');
      assert.equal(await show('c1', 'RootDirectory'), '/var/lib/machines/c1');
      assert.equal(await show('c1', 'State'), 'running');

      const status = await host.succeed(['machinectl', 'status', 'c1', '--no-pager']);
      assert.match(status, new RegExp(`Leader: ${leaders.c1} \\(systemd\\)`));
      assert.match(status, /OS: Debian/);
      assert.match(status, /Iface: ve-c1/);
      assert.match(status, /Shift: \d{5,}/);
      assert.match(status, /init\.scope\n.*systemd\n/, 'the tree of its cgroups is shown');
      assert.match(await host.succeed(['machinectl', 'status', 'c2', '--no-pager']), /Leader: \d+ \(systemd\)/);
    });

    test('the containers are found by the processes in them', async () => {
      for (const name of ['c1', 'c2'] as const) {
        const inside = (await host.succeed(['pgrep', '--parent', String(leaders[name]), 'systemd-journal'])).trim();
        for (const pid of [String(leaders[name]), inside]) {
          const found = await host.succeed(['busctl', 'call', ...busManager, 'GetMachineByPID', 'u', pid]);
          assert.equal(found, `o "/org/freedesktop/machine1/machine/${name}"`);
        }
      }
      const ofHost = await host.run(['busctl', 'call', ...busManager, 'GetMachineByPID', 'u', '1']);
      assert.match(ofHost.stderr, /does not belong to any known machine/);
    });

    test('systemctl reaches into the containers', async () => {
      const machines = await host.succeed(['systemctl', 'list-machines', '--no-legend', '--no-pager', '--plain']);
      assert.deepEqual(
        machines.split('\n').map((line) => line.trim().split(/\s+/)).slice(1),
        [['c1', 'running', '0', '0'], ['c2', 'running', '0', '0']],
      );
      assert.match(machines, /^\s*clients-\w+-\d+ \(host\) running/);
      for (const name of ['c1', 'c2']) {
        assert.equal(await host.succeed(['systemctl', '-M', name, 'is-system-running']), 'running');
        await host.succeed(['systemctl', '-M', name, 'restart', 'systemd-journald.service']);
        await host.succeed(['systemd-run', '-M', name, '--wait', '--quiet', 'true']);
      }
      assert.match(await host.succeed(['busctl', '--machine=c1', 'list']), /org\.freedesktop\.systemd1/);
      assert.match(await host.succeed(['systemd-cgls', '--no-pager', '-M', 'c1']), /init\.scope/);
    });

    test('ps and systemctl status tell which machine a process is of', async () => {
      const shown = await host.succeed(['ps', '-o', 'machine=', '-p', String(leaders.c1)]);
      // libsystemd finds machines by unit alone, and systemd-nspawn 262 registers less than a unit: no daemon helps there
      assert.equal(shown.trim(), version >= 262 ? '-' : 'c1');
      const status = await host.succeed(['systemctl', 'status', '--no-pager', '--lines=0', String(leaders.c1)]);
      assert.match(status, /systemd-nspawn@c1\.service/);
    });

    test('loginctl works beside it', async () => {
      await host.succeed(['loginctl', 'list-sessions', '--no-legend']);
      await host.succeed(['loginctl', 'list-users', '--no-legend']);
      assert.match(await host.succeed(['loginctl', 'list-seats', '--no-legend']), /seat0/);
    });

    test('users and groups of a container have names on the host', async () => {
      const [, shift] = /^\s*0\s+(\d+)\s/.exec(await host.file(`/proc/${leaders.c1}/uid_map`)) ?? [];
      assert.ok(Number(shift) > 0);
      const root = await host.succeed(['getent', 'passwd', 'vu-c1-0']);
      assert.match(root, new RegExp(`^vu-c1-0:x:${shift}:65534:UID 0 of Container c1:/:/usr/sbin/nologin$`));
      assert.equal(await host.succeed(['getent', 'passwd', String(shift)]), root);
      assert.match(await host.succeed(['getent', 'passwd', String(Number(shift) + 1000)]), /^vu-c1-1000:/);
      assert.match(await host.succeed(['getent', 'group', 'vg-c1-0']), new RegExp(`^vg-c1-0:x:${shift}:$`));
      assert.match(await host.succeed(['getent', 'group', String(shift)]), /^vg-c1-0:/);
      assert.equal((await host.run(['getent', 'passwd', 'vu-nobody-0'])).status, 2);
      assert.match(await host.succeed(['ps', '-o', 'user:32=', '-p', String(leaders.c1)]), /^vu-c1-0/);

      assert.match(await host.succeed(['userdbctl', 'user', 'vu-c1-0', '--no-pager']), new RegExp(`UID: ${shift}\\b`));
      assert.match(await host.succeed(['userdbctl', 'user', String(shift), '--no-pager']), /vu-c1-0/);
      assert.match(await host.succeed(['userdbctl', 'group', 'vg-c1-0', '--no-pager']), new RegExp(`GID: ${shift}\\b`));
      assert.match(await host.succeed(['userdbctl', 'services', '--no-pager']), /io\.systemd\.Machine +yes/);
    });

    test('busctl introspects the objects, and monitors what comes and goes', async () => {
      const tree = await host.succeed(['busctl', 'tree', '--list', 'org.freedesktop.machine1']);
      for (const name of ['_2ehost', 'c1', 'c2']) assert.match(tree, new RegExp(`/machine/${name}$`, 'm'));
      const object = `/org/freedesktop/machine1/machine/c1`;
      assert.match(await host.succeed(['busctl', 'introspect', 'org.freedesktop.machine1', object]), /^\.Terminate /m);

      const seen = await host.shell(monitorScript, { env: { LEADER: String(await host.leader('watched')) } });
      assert.equal(seen.status, 0, seen.stderr);
      const signals = seen.stdout.trim().split('\n').map((line) => JSON.parse(line) as BusSignal);
      const watched = ['watched', '/org/freedesktop/machine1/machine/watched'];
      assert.deepEqual(signals.map(({ member, payload }) => [member, ...payload.data]), [
        ['MachineNew', ...watched],
        ['MachineRemoved', ...watched],
      ]);
    });

    test('libsystemd finds the machines, and is woken when they come and go', async () => {
      const leader = await host.leader('other');
      const program = '/src/build/test/lab/inside/sd-login.js';
      const said = await host.succeed(['node', program, 'c1', String(leaders.c1), String(leader)]);
      const index = await host.file('/sys/class/net/ve-c1/ifindex');
      assert.deepEqual(JSON.parse(said), {
        names: ['c1', 'c2'],
        class: 'container',
        interfaces: [Number(index)],
        machineOfLeader: version >= 262 ? null : 'c1', // as ps has it
        machineOfInit: null,
        sawNew: true,
        classOfNew: 'vm',
        sawRemoved: true,
        namesAfter: ['c1', 'c2'],
      });
    });

    // systemd 252 has no varlinkctl yet
    if (version >= 257) {
      test('varlinkctl lists, describes and calls', async () => {
        assert.match(await host.succeed(['varlinkctl', 'info', varlinkAddress]), /io\.systemd\.Machine\n/);
        const methods = await host.succeed(['varlinkctl', 'list-methods', varlinkAddress]);
        for (const method of ['Register', 'List', 'Terminate']) {
          assert.match(methods, new RegExp(`^io\\.systemd\\.Machine\\.${method}$`, 'm'));
        }
        // it parses what it shows
        for (const name of ['io.systemd.Machine', 'io.systemd.MachineImage', 'io.systemd.service', 'org.varlink.service']) {
          assert.match(await host.succeed(['varlinkctl', 'introspect', varlinkAddress, name]), new RegExp(`interface ${name}`));
        }
        const list = ['varlinkctl', 'call', '--json=short', varlinkAddress, 'io.systemd.Machine.List'];
        // several replies come as a sequence of JSON texts: RFC 7464
        const replies = (await host.succeed([...list.toSpliced(2, 0, '--more'), '{}'])).split('\x1e').slice(1);
        const machines = replies.map((text) => JSON.parse(text) as { name: string; leader: { pid: number } });
        assert.deepEqual(machines.map(({ name }) => name), ['.host', 'c1', 'c2']);
        assert.deepEqual(machines.slice(1).map(({ leader }) => leader.pid), [leaders.c1, leaders.c2]);
        assert.match(await host.succeed([...list, '{"name":"c2"}']), /"systemd-nspawn@c2\.service"/);
        const unknown = await host.run([...list, '{"name":"nobody"}']);
        assert.match(unknown.stderr, /io\.systemd\.Machine\.NoSuchMachine/);
      });
    }

    test('a container that nspawn itself makes a scope for is registered, found, killed', async () => {
      await host.succeed([
        'systemd-run', '--quiet', '--unit=by-hand.service', 'systemd-nspawn', '--quiet', '--ephemeral', '--machine=by-hand',
        '--directory=/var/lib/lab-pool/template', '--private-users=pick', '--slice=machine.slice', 'sleep', 'infinity',
      ]);
      await untilTrue('by-hand is registered', async () => (await machineNames(host)).includes('by-hand'));
      // systemd-nspawn 262 has systemd make a scope, the older ones ask the registry for one
      const unit = version >= 262 ? 'by-hand.scope' : 'machine-by\\x2dhand.scope';
      assert.equal(await show('by-hand', 'Unit'), unit);
      const leader = await show('by-hand', 'Leader');
      assert.ok((await host.file(`/proc/${leader}/cgroup`)).includes(`/machine.slice/${unit}`));
      assert.match(await host.file(`/proc/${leader}/comm`), /^sleep$/m);
      assert.match(await host.succeed(['getent', 'passwd', 'vu-by-hand-0']), /^vu-by-hand-0:/);

      await host.succeed(['machinectl', 'kill', '--kill-whom=leader', '--signal=SIGKILL', 'by-hand']);
      await untilTrue('by-hand is gone', async () => !(await machineNames(host)).includes('by-hand'));
      assert.notEqual((await host.run(['systemctl', 'is-active', '--quiet', unit])).status, 0);
    });

    test('an ordinary user may not end a container', async () => {
      for (const command of [['terminate', 'c2'], ['kill', 'c2'], ['poweroff', 'c2']]) {
        const refused = await host.run(['machinectl', '--no-ask-password', ...command], { user: 'testuser' });
        assert.notEqual(refused.status, 0, command.join(' '));
        assert.match(refused.stderr, /authentication required|Access denied|Permission denied/);
      }
      assert.deepEqual(await machineNames(host), ['c1', 'c2']);
    });

    test('machinectl reboot brings a container back, as a new machine with the same name', async () => {
      const id = await show('c1', 'Id');
      await host.succeed(['machinectl', 'reboot', 'c1']);
      await untilTrue('c1 has another leader', async () => {
        const shown = await host.run(['machinectl', 'show', 'c1', '--property=Leader', '--value']);
        return shown.status === 0 && Number(shown.stdout) !== leaders.c1;
      }, 30_000);
      leaders.c1 = Number(await show('c1', 'Leader'));
      assert.equal(await show('c1', 'Id'), id);
      await untilTrue('c1 runs', async () => {
        return (await host.run(['systemctl', '-M', 'c1', 'is-system-running'])).stdout.trim() === 'running';
      }, 30_000);
    });

    test('machinectl poweroff ends one container in good order, machinectl terminate the other at once', async () => {
      await host.succeed(['machinectl', 'poweroff', 'c1']);
      await untilTrue('c1 is gone', async () => !(await machineNames(host)).includes('c1'), 30_000);
      await untilTrue('its unit has ended', async () => (await unitState(host, 'c1')) === 'inactive');

      await host.succeed(['machinectl', 'terminate', 'c2']);
      await untilTrue('c2 is gone', async () => (await machineNames(host)).length === 0, 30_000);
      await untilTrue('its unit has ended', async () => /^(inactive|failed)$/.test(await unitState(host, 'c2')));
      assert.equal((await host.run(['test', '-e', `/proc/${leaders.c2}`])).status, 1);
      assert.deepEqual((await host.run(['ls', '/run/systemd/machines'])).stdout, '');
      assert.match(await host.succeed(['machinectl', 'list']), /No machines/);
      assert.doesNotMatch(await host.journal(), /unexpected error/i);
    });
  });
}

interface BusSignal {
  readonly member: string;
  readonly payload: { readonly data: readonly string[] };
}

/** Registers and unregisters machine `watched` while busctl looks on; writes what that saw. */
const monitorScript = `
call() { busctl call org.freedesktop.machine1 /org/freedesktop/machine1 org.freedesktop.machine1.Manager "$@"; }
busctl monitor --json=short org.freedesktop.machine1 >/tmp/seen &
monitor=$!
until [[ -s /tmp/seen ]]; do call ListMachines >&2; sleep 0.05; done
call RegisterMachine sayssus watched 0 test container $LEADER "" >&2
call UnregisterMachine s watched
until grep -q '"MachineRemoved"' /tmp/seen; do sleep 0.05; done
kill $monitor
grep -E '"Machine(New|Removed)"' /tmp/seen`;

/** The names of the machines, in the order of machinectl. */
async function machineNames(host: LabHost): Promise<string[]> {
  const lines = await host.succeed(['machinectl', 'list', '--no-legend', '--no-pager']);
  return lines.split('\n').filter((line) => line !== '').map((line) => line.trim().split(/\s+/)[0] as string);
}

async function unitState(host: LabHost, machine: string): Promise<string> {
  return (await host.run(['systemctl', 'is-active', `systemd-nspawn@${machine}.service`])).stdout.trim();
}
