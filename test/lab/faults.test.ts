/** Our daemon when things go wrong around it, and when they go on for long. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { bootHost, systemdVersions, untilTrue, type LabHost, type RunOptions, type Suite } from './harness.js';

const manager = ['org.freedesktop.machine1', '/org/freedesktop/machine1', 'org.freedesktop.machine1.Manager'];
const ready = '/tmp/ready';
const release = '/tmp/release';
const mebibyte = 1 << 20;

suite('when the daemon is killed', () => {
  test('in the middle of 200 registrations, what it acknowledged is there again, and nothing else is left', async (t) => {
    await using host = await bootOurs('sid', 'faults-crash');
    const daemon = await host.pidOfOurs();
    const { acknowledged, leaders } = await act<Crash>(host, ['crash', String(daemon), '200']);
    assert.ok(acknowledged.length >= 100 && acknowledged.length < 200, `${acknowledged.length} were acknowledged`);
    const dead = acknowledged.slice(0, 10);
    await host.succeed(['kill', '-s', 'KILL', ...dead.map((name) => String(leaders[name]))]);

    await host.startOurs();

    const listed = await machineNames(host);
    t.diagnostic(`${acknowledged.length} were acknowledged, ${listed.length} are listed`);
    const lost = acknowledged.filter((name) => !dead.includes(name) && !listed.includes(name));
    assert.deepEqual(lost, []);
    assert.deepEqual(dead.filter((name) => listed.includes(name)), []);
    for (const name of listed) assert.ok(name in leaders);
    const files = (await host.succeed(['ls', '-A', '/run/systemd/machines'])).split('\n');
    const expected = listed.flatMap((name) => [name, `unit:machine-${name.replace('-', '\\x2d')}.scope`]);
    assert.deepEqual(files.sort(), expected.sort());

    // each is as good as before: it can be ended, and its name be used again
    const [first, ...others] = listed.slice(0, 5) as [string, ...string[]];
    for (const name of [first, ...others]) await host.succeed(['machinectl', 'terminate', name]);
    await untilTrue('five are gone', async () => (await machineNames(host)).length === listed.length - 5);
    await create(host, first, await host.leader('again'));
  });
});

suite('when clients misbehave', () => {
  test('10,000 that connect and say nothing keep nobody else out, and are forgotten', async (t) => {
    await using host = await bootOurs('sid', 'faults-silence');
    const before = await footprint(host);
    const silence = act<{ closed: number }>(host, ['silence', '10000', ready, release], { user: 'testuser' });
    await untilTrue('all have connected', async () => isThere(host, ready), 60_000);

    const { descriptors } = await footprint(host);
    assert.ok(descriptors < 10_000, 'nobody can have all of them');
    const milliseconds = await assertServes(host);
    t.diagnostic(`${descriptors} descriptors; two others were served within ${milliseconds} ms`);
    await host.succeed(['machinectl', 'list'], { user: 'testuser' });

    await host.succeed(['touch', release]);
    const { closed } = await silence;
    assert.ok(closed > 5_000, `${closed} were closed`);
    await assertForgotten(host, before);
  });

  test('nonsense on every socket, and calls with wrong arguments, are answered or cut off', async (t) => {
    await using host = await bootOurs('sid', 'faults-garbage');
    await register(host, 'kept', await host.leader('kept'));
    const daemon = await host.pidOfOurs();
    assert.deepEqual(await machineNames(host), ['kept']); // this starts the daemon's helper, which it keeps
    const before = await footprint(host);
    const { calls, errors } = await act<{ calls: number; errors: number }>(host, ['garbage', '200'], { timeout: 90_000 });
    assert.ok(calls > 500 && errors > calls / 2, `${errors} of ${calls} calls were refused`);
    await assertServes(host);
    assert.equal(await host.pidOfOurs(), daemon);
    assert.deepEqual(await machineNames(host), ['kept']);
    await assertForgotten(host, before);
    const grown = (await footprint(host)).memory - before.memory;
    t.diagnostic(`${errors} of ${calls} calls were refused; grown by ${inMebibytes(grown)}`);
    assert.ok(grown < 200 * mebibyte);
  });

  test('one that asks for everything and does not read takes no memory, and gets it all in the end', async (t) => {
    await using host = await bootOurs('sid', 'faults-greed');
    await act(host, ['fill', '1000'], { timeout: 120_000 });
    const before = await footprint(host);
    const greed = act<{ listed: number; answered: number; onBus: number[] }>(
      host, ['greed', '100', '100000', ready, release], { timeout: 120_000 },
    );
    await untilTrue('it has asked for everything', async () => isThere(host, ready), 60_000);

    const during = await footprint(host);
    assert.ok(during.memory - before.memory < 100 * mebibyte, `${during.memory - before.memory} bytes more`);
    const milliseconds = await assertServes(host);
    t.diagnostic(`${inMebibytes(during.memory - before.memory)} more; two others were served within ${milliseconds} ms`);

    await host.succeed(['touch', release]);
    assert.deepEqual(await greed, { listed: 100, answered: 100_000, onBus: [1_001] });
    await assertForgotten(host, before);
  });
});

suite('when leaders end', () => {
  test('at the very moment of their registration, no machine stays', async (t) => {
    await using host = await bootOurs('sid', 'faults-dying');
    const before = await footprint(host);
    const { registered, refused } = await act<{ registered: number; refused: number }>(host, ['dying', '200']);
    assert.equal(registered + refused, 200);
    assert.ok(refused > 0);
    t.diagnostic(`${refused} were refused`);
    await untilTrue('all are gone', async () => (await machineNames(host)).length === 0, 20_000);
    assert.equal((await host.run(['ls', '-A', '/run/systemd/machines'])).stdout, '');
    await untilTrue('their scopes are gone', async () => {
      return (await host.succeed(['systemctl', 'list-units', '--all', '--no-legend', 'machine-*.scope'])) === '';
    });
    await assertForgotten(host, before);
  });
});

suite('in the long run', () => {
  test('500 registrations and 500 scopes leave nothing behind', async (t) => {
    await using host = await bootOurs('sid', 'faults-leaks');
    const leaders: string[] = [];
    for (const name of ['one', 'two', 'three', 'four']) leaders.push(String(await host.leader(name)));
    const cycle = async (count: string) => {
      await act(host, ['churn', count, ...leaders], { timeout: 60_000 });
      await act(host, ['turnover', count], { timeout: 120_000 });
      await untilTrue('no machine is left', async () => (await machineNames(host)).length === 0);
    };
    await cycle('1000'); // until then the heap grows to the size that it needs
    const before = await footprint(host);
    await cycle('500');
    await assertForgotten(host, before);
    const grown = (await footprint(host)).memory - before.memory;
    t.diagnostic(`from ${inMebibytes(before.memory)}, grown by ${inMebibytes(grown)}`);
    assert.ok(grown < 20 * mebibyte, `it has grown by ${grown} bytes`);
    assert.equal((await host.run(['ls', '-A', '/run/systemd/machines'])).stdout, '');
  });
});

for (const [name, version] of Object.entries(systemdVersions) as [Suite, number][]) {
  suite(`around it, with systemd ${version}`, () => {
    test('a restarted bus has it back, with its machines', async () => {
      await using host = await bootOurs(name, `faults-bus-${name}`);
      const daemon = await host.pidOfOurs();
      await register(host, 'kept', await host.leader('kept'));
      await create(host, 'boxed', await host.leader('boxed'));

      await host.succeed(['systemctl', 'restart', 'dbus.service']);

      await untilTrue('it is back on the bus', async () => (await host.run(['machinectl', 'list'])).status === 0, 20_000);
      assert.equal(await host.pidOfOurs(), daemon);
      assert.deepEqual(await machineNames(host), ['boxed', 'kept']);
      await register(host, 'later', await host.leader('later'));
      await create(host, 'later-boxed', await host.leader('later-boxed'));
      await assertEnds(host, ['boxed', 'kept', 'later', 'later-boxed']);
    });

    test('a systemd that reloads or executes itself anew knows its machines, and they end with their units', async () => {
      await using host = await bootOurs(name, `faults-reexec-${name}`);
      const daemon = await host.pidOfOurs();
      await register(host, 'kept', await host.leader('kept'));
      for (const machine of ['boxed', 'stopped']) await create(host, machine, await host.leader(machine));
      for (const verb of ['daemon-reload', 'daemon-reexec']) {
        await host.succeed(['systemctl', verb]);
        assert.deepEqual(await machineNames(host), ['boxed', 'kept', 'stopped']);
        await create(host, verb, await host.leader(verb));
        await host.succeed(['systemctl', 'stop', `machine-${verb.replace('-', '\\x2d')}.scope`]);
        await untilTrue(`${verb} is gone`, async () => !(await machineNames(host)).includes(verb));
      }
      await host.succeed(['systemctl', 'stop', 'machine-stopped.scope']);
      await untilTrue('stopped is gone', async () => !(await machineNames(host)).includes('stopped'));
      await assertEnds(host, ['boxed', 'kept']);
      assert.equal(await host.pidOfOurs(), daemon);
    });

    test('containers that run are taken over from systemd-machined, and handed back', async () => {
      await using host = await bootHost({ suite: name, name: `faults-upgrade-${name}`, daemon: 'real' });
      for (const machine of ['c1', 'c2', 'c3']) await host.container(machine, { privateUsers: machine !== 'c2' });
      const before = await described(host, 'c1');
      const passwd = await host.succeed(['getent', 'passwd', 'vu-c1-0']);

      await host.startOurs();

      assert.deepEqual(await machineNames(host), ['c1', 'c2', 'c3']);
      const taken = await described(host, 'c1');
      for (const [property, value] of before) {
        // systemd-machined 262 itself does not know it after a restart
        if (property !== 'Subgroup') assert.equal(taken.get(property), value, property);
      }
      assert.equal(await host.succeed(['getent', 'passwd', 'vu-c1-0']), passwd);
      assert.equal(await host.succeed(['systemctl', '-M', 'c1', 'is-system-running']), 'running');
      await host.succeed(['machinectl', 'poweroff', 'c2']);
      await untilTrue('c2 is gone', async () => !(await machineNames(host)).includes('c2'), 30_000);
      await create(host, 'ours', await host.leader('ours'));

      await host.stopOurs();
      await host.succeed(['systemctl', 'unmask', 'systemd-machined.service', 'systemd-machined.socket']);
      await host.succeed(['systemctl', 'start', 'systemd-machined.service']);

      assert.deepEqual(await machineNames(host), ['c1', 'c3', 'ours']);
      const back = await described(host, 'c1');
      for (const [property, value] of before) if (property !== 'Subgroup') assert.equal(back.get(property), value, property);
      assert.equal(await host.succeed(['getent', 'passwd', 'vu-c1-0']), passwd);
      await assertEnds(host, ['c1', 'c3', 'ours']);
      assert.equal((await host.run(['ls', '-A', '/run/systemd/machines'])).stdout, '');
    });
  });
}

interface Crash {
  readonly acknowledged: readonly string[];
  readonly leaders: Readonly<Record<string, number>>;
}

interface Footprint {
  readonly descriptors: number;
  /** Of descriptors, files and directories. */
  readonly watches: number;
  readonly children: number;
  /** Bytes. */
  readonly memory: number;
}

async function bootOurs(suiteName: Suite, name: string): Promise<LabHost> {
  return bootHost({ suite: suiteName, name, daemon: 'ours' });
}

/** Lets the program inside/faults.ts do something, and returns what it reports. */
async function act<T = object>(host: LabHost, action: readonly string[], options: RunOptions = {}): Promise<T> {
  const program = ['prlimit', '--nofile=20000', 'node', '--enable-source-maps', '/src/build/test/lab/inside/faults.js'];
  return JSON.parse(await host.succeed([...program, ...action], { timeout: 60_000, ...options })) as T;
}

/** What the daemon holds. */
async function footprint(host: LabHost): Promise<Footprint> {
  const pid = String(await host.pidOfOurs());
  const script = `
    ls /proc/$PID/fd | wc -l
    cat /proc/$PID/fdinfo/* 2>/dev/null | grep -cE '^(tfd|inotify)' || true
    pgrep --count --parent $PID || true
    awk '/^VmRSS/ { print $2 }' /proc/$PID/status`;
  const counted = await host.shell(script, { env: { PID: pid } });
  assert.equal(counted.status, 0, counted.stderr);
  const [descriptors, watches, children, kibibytes] = counted.stdout.split('\n').map(Number) as [number, number, number, number];
  return { descriptors, watches, children, memory: kibibytes * 1024 };
}

/** What it held for somebody has gone back to what it was before; it may take a moment to hear of the end of clients. */
async function assertForgotten(host: LabHost, before: Footprint): Promise<void> {
  let now = before;
  const isBack = async () => {
    now = await footprint(host);
    return now.descriptors <= before.descriptors && now.watches <= before.watches && now.children <= before.children;
  };
  await untilTrue('it has let go of everything', isBack, 15_000).catch(() => assert.deepEqual(now, before));
}

function inMebibytes(bytes: number): string {
  return `${(bytes / mebibyte).toFixed(1)} MiB`;
}

/** Both protocols answer, and soon. Resolves with the milliseconds that it took, of which the clients have their part. */
async function assertServes(host: LabHost): Promise<number> {
  const started = Date.now();
  await host.succeed(['busctl', 'call', ...manager, 'GetMachine', 's', '.host']);
  const list = ['/run/systemd/machine/io.systemd.Machine', 'io.systemd.Machine.List', '{"name":".host"}'];
  await host.succeed(['varlinkctl', 'call', ...list]);
  const milliseconds = Date.now() - started;
  assert.ok(milliseconds < 5_000, `both together took ${milliseconds} ms`);
  return milliseconds;
}

/** Each of them can be terminated, and then is gone. */
async function assertEnds(host: LabHost, machines: readonly string[]): Promise<void> {
  for (const machine of machines) await host.succeed(['machinectl', 'terminate', machine]);
  await untilTrue('all have ended', async () => (await machineNames(host)).length === 0, 30_000);
}

/** Sorted. */
async function machineNames(host: LabHost): Promise<string[]> {
  const lines = await host.succeed(['machinectl', 'list', '--no-legend', '--no-pager']);
  return lines.split('\n').filter((line) => line !== '').map((line) => line.trim().split(/\s+/)[0] as string).sort();
}

async function described(host: LabHost, machine: string): Promise<ReadonlyMap<string, string>> {
  const lines = (await host.succeed(['machinectl', 'show', machine])).split('\n');
  return new Map(lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]));
}

async function register(host: LabHost, name: string, leader: number): Promise<void> {
  const parameters = ['sayssus', name, '0', 'test', 'container', String(leader), ''];
  await host.succeed(['busctl', 'call', ...manager, 'RegisterMachine', ...parameters]);
}

async function create(host: LabHost, name: string, leader: number): Promise<void> {
  const parameters = ['sayssusa(sv)', name, '0', 'test', 'container', String(leader), '', '0'];
  await host.succeed(['busctl', 'call', ...manager, 'CreateMachine', ...parameters]);
}

async function isThere(host: LabHost, file: string): Promise<boolean> {
  return (await host.run(['test', '-e', file])).status === 0;
}
