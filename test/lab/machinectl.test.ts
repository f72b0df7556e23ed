/** The machinectl of systemd 262 and the one of this project: the same command lines, in the same host, on either daemon. */
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { bootHost, untilTrue, type Daemon, type LabHost, type RunOptions, type RunResult } from './harness.js';

const original = '/usr/bin/machinectl';
const own = '/src/bin/machinectl';

/** What takes a different time each time. */
function withoutTimes({ status, stdout, stderr }: RunResult): RunResult {
  return { status, stderr, stdout: stdout.replaceAll(/; \S.* ago$/gm, '; … ago') };
}

/** Lines of words; a host has the containers c1 and c2, the machines plain and a-b, and no machine named nope. */
const queries = [
  '', 'list', 'list --no-legend', 'list -l', 'list --max-addresses=all', 'list --max-addresses=0', 'list -a', '-o json list',
  '-o json-pretty list', 'list --no-leg', 'show', 'show c1', 'show c1 plain -p Name -p Class', 'show c2 --value -p Leader', '-P Unit show a-b',
  'show plain -a', 'show c1 -p NetworkInterfaces', 'show c1 -p Nope', 'show nope', 'show c1 nope c2 -p Name', 'status c1 -n0', 'status plain a-b -n0',
  'status c2 -n2 -o cat', 'status nope', 'status', 'kill nope', 'kill plain -s FOO', 'kill plain -s list', '-s help', 'kill plain --kill-whom=nobody',
  'terminate nope', 'poweroff nope', 'reboot nope', 'stop nope', 'pause c1', 'resume nope', 'start nope', 'start a/b', 'enable nope', 'disable nope',
  'shell nope', 'shell @c1', 'login nope', 'login --uid=root c1', 'copy-to nope /etc/hostname /tmp/x', 'copy-to c2 /etc/hostname tmp/x',
  'copy-from c2 etc/hostname /tmp/x', 'copy-from c2 /nope /tmp/x', 'copy-to c2', 'copy-to a b c d', 'bind c2 nope', 'bind nope /etc', 'bind c2 /etc x',
  'statsu', 'lis', 'something-else-entirely', '--foo', '--ma=3', '--mkdir=x', '-E', '--uid', '-n x status c1', '-o foo', '-o help', '--max-addresses=-1', '--runner=x',
  '-E =x list', '--verify=help', '--format=x', '-M nope list', '--machine= list', '-M c1 list', '-M .host list', '-H nope.invalid shell x', '-M a/b list', '--user -H x list',
  '-M root@nope list', '-M root@nope shell x', '-M root@nope cat x', '-M nope login', '-M .host shell nope', '-M root@.host login nope', '-M @ list', '-M root@ list',
  '--host= list', '--host= login', '-M .host cat c1', '-M c1 cat nope', '-M c1 shell nope', '-M .host copy-to c2 etc/hostname /tmp/x',
  'list -p Name', 'list -aP Nope', '-n +3 status plain', '-n 0x2 status plain', '-n 09 status plain', '--max-addresses=0b1 list', '--max-addresses=-0 list',
  'kill nope -s IOT', 'kill nope -s 0xf', 'kill nope -s 010', 'kill nope -s RTMIN+0x2', 'kill nope -s RTMAX-31', 'list --k', 'list --kill=all', 'list --=x',
  'show --prop', '--mkd=x list', '--no=x list', '--ve', 's', 'st', 'image', 'termi', '-o json-sse list', '-o json-seq list', '-o json-seq list-images',
  '-H a@b@c list', '-H h: list', '-H ::1 list', '-H h:1:2 list', '-H [x list', 'cat /', 'cat /root/../x', 'cat /etc//hostname', 'cat /dev/null', 'cat /etc/hostname/x/y',
  'cat /etc/hostname/', 'cat -H x /etc/hostname', 'edit -M nope one', 'show -P Leader,Name c1', '-p Name,Class show plain', 'status c1 -n2 -o cat -l', 'list -- --foo',
];

/** Command lines under other circumstances. */
const circumstances: readonly (readonly [environment: Readonly<Record<string, string>>, words: string])[] = [
  ...['Europe/Berlin', 'EST5EDT', '<+03>-3', 'nonsense/x', ''].map((TZ) => [{ TZ }, 'show plain -p Timestamp'] as const),
  ...[{ LANG: 'C' }, { LANG: '' }, { LC_ALL: 'POSIX' }, { LC_CTYPE: 'C' }, { LANG: 'C', SYSTEMD_UTF8: '1' }, { SYSTEMD_UTF8: '0' }, { LANG: 'xx_YY' }].map((environment) => [environment, 'status c1 -n0'] as const),
  [{ SYSTEMD_URLIFY: '1' }, 'cat /etc/hostname'], [{ SYSTEMD_COLORS: '256' }, 'cat /dev/null'], [{ SYSTEMD_COLORS: '24bit' }, 'list'],
  [{ SYSTEMD_LOG_LEVEL: 'crit' }, 'show nope'], [{ COLUMNS: '20' }, 'list'], ...['list', 'shell c1', 'kill plain'].map((words) => [{ DBUS_SYSTEM_BUS_ADDRESS: 'unix:path=/nope' }, words] as const),
];

for (const daemon of ['real', 'ours'] as const satisfies readonly Daemon[]) {
  suite(`machinectl with ${daemon === 'real' ? 'systemd-machined' : 'this daemon'}`, () => {
    let host: LabHost;
    /** A command of machinectl, by the original or by ours. */
    const by = (program: string, words: string, options?: RunOptions): Promise<RunResult> =>
      host.run([program, '--no-pager', ...words.split(' ').filter((word) => word !== '')], options);
    /** In a terminal of so many columns, with its escape sequences. */
    const onTerminal = async (program: string, words: string, columns: number, environment: string): Promise<string> => {
      const command = `stty cols ${columns}; ${environment} ${program} --no-pager ${words}`;
      return (await host.run(['script', '--quiet', '--return', '--command', command, '/dev/null'])).stdout.replaceAll(/; \S.* ago/g, '; … ago');
    };

    before(async () => {
      host = await bootHost({ suite: 'sid', name: `machinectl-${daemon}`, daemon });
      await host.container('c1', { privateUsers: true });
      await host.container('c2', { privateUsers: false });
      for (const name of ['plain', 'a-b']) {
        const leader = await host.leader(name);
        await host.succeed([
          'busctl', 'call', 'org.freedesktop.machine1', '/org/freedesktop/machine1', 'org.freedesktop.machine1.Manager', 'RegisterMachine',
          'sayssus', name, '0', name === 'plain' ? 'my-service' : '', 'container', String(leader), '',
        ]);
      }
    });
    after(async () => {
      await (host as LabHost | undefined)?.[Symbol.asyncDispose]();
    });

    const compareOnce = async (words: string, options?: RunOptions): Promise<string | undefined> => {
      const answers = await Promise.all([by(original, words, options), by(own, words, options)]);
      const [expected, actual] = answers.map((answer) => JSON.stringify(withoutTimes(answer), undefined, 1));
      return actual === expected ? undefined : `machinectl ${words}\n--- expected\n${expected}\n--- actual\n${actual}`;
    };

    // A process or a line of the journal may come between the two; and of a bridge that ends at once, one time in ten the
    // original gives up by itself before it hears of that, and says something else.
    const compare = async (words: string, options?: RunOptions): Promise<string | undefined> => {
      let difference = await compareOnce(words, options);
      for (let attempt = 1; attempt < 8 && difference !== undefined; attempt++) difference = await compareOnce(words, options);
      return difference;
    };

    test('the same answers, messages and exit statuses', async () => {
      const different: string[] = [];
      for (const words of queries) {
        const difference = await compare(words);
        if (difference !== undefined) different.push(difference);
      }
      assert.deepEqual(different, []);
    });

    test('the same in other languages, time zones and surroundings', async () => {
      const different: string[] = [];
      for (const [env, words] of circumstances) {
        const difference = await compare(words, { env });
        if (difference !== undefined) different.push(JSON.stringify(env) + difference);
      }
      assert.deepEqual(different, []);
    });

    test('the same on terminals: colours, and columns that are squeezed', async () => {
      for (const words of ['list', 'list -l', 'status c1 -n0', 'status plain -n0 -l']) {
        for (const [columns, environment] of [[200, ''], [60, ''], [40, ''], [40, 'NO_COLOR=1'], [80, 'COLORTERM=truecolor'], [30, 'TERM=dumb'], [28, 'LANG=C'], [80, 'SYSTEMD_COLORS=16']] as const) {
          const expected = await onTerminal(original, words, columns, environment);
          assert.equal(await onTerminal(own, words, columns, environment), expected, `${environment} ${words} in ${columns} columns`);
        }
      }
    });

    test('the same to users who may not', async () => {
      const asUser = { user: 'testuser' };
      for (const words of ['--no-ask-password terminate plain', '--no-ask-password kill plain', '--no-ask-password shell c1', '--no-ask-password bind c2 /etc', '-M c2 list', '-M root@c1 list', '-M c2 login', 'list', 'show c1 -p Name']) {
        const expected = await by(original, words, asUser);
        assert.deepEqual(await by(own, words, asUser), expected, words);
      }
    });

    test('signals, files, mounts, starting and ending', async () => {
      assert.deepEqual(await by(own, 'kill plain -s 0'), await by(original, 'kill plain -s 0'));
      assert.deepEqual(await by(own, 'kill plain --kill-whom=leader -s CONT'), await by(original, 'kill plain --kill-whom=leader -s CONT'));

      await host.shell('echo copied >/tmp/to-copy');
      assert.deepEqual(await by(own, 'copy-to c2 /tmp/to-copy /root/copy'), { status: 0, stdout: '', stderr: '' });
      assert.deepEqual(await by(own, 'copy-to c2 /tmp/to-copy /root/copy'), await by(original, 'copy-to c2 /tmp/to-copy /root/copy'));
      assert.equal((await by(own, 'copy-to --force c2 /tmp/to-copy /root/copy')).status, 0);
      const relative = await host.shell(`cd /tmp && ${own} copy-from c2 /root/copy back && cat back`);
      assert.equal(relative.stdout, 'copied\n');

      assert.deepEqual(await by(own, 'bind --mkdir --read-only c2 /tmp /mnt/bound'), { status: 0, stdout: '', stderr: '' });
      const leader = (await by(own, '-P Leader show c2')).stdout.trim();
      assert.equal(await host.succeed(['nsenter', '--mount', '--target', leader, 'cat', '/mnt/bound/to-copy']), 'copied');
      if (daemon === 'ours') {
        assert.deepEqual(await by(own, 'unbind c2 /mnt/bound'), { status: 0, stdout: '', stderr: '' });
        assert.equal((await host.run(['nsenter', '--mount', '--target', leader, 'cat', '/mnt/bound/to-copy'])).status, 1);
      } else {
        assert.match((await by(own, 'unbind c2 /mnt/bound')).stderr, /this project's daemon/);
      }

      await host.succeed(['mkdir', '-p', '/var/lib/machines/with-dash']);
      const dashed = [await by(original, 'enable with-dash'), await by(original, 'disable with-dash')];
      assert.deepEqual([await by(own, 'enable with-dash'), await by(own, 'disable with-dash')], dashed);
      const enabled = await by(original, 'enable c2');
      const disabled = await by(original, 'disable c2');
      assert.deepEqual(await by(own, 'enable c2'), enabled);
      assert.deepEqual(await by(own, 'enable c2'), { status: 0, stdout: '', stderr: '' });
      assert.deepEqual(await by(own, 'disable c2'), disabled);

      assert.deepEqual(await by(own, 'poweroff c2'), { status: 0, stdout: '', stderr: '' });
      const isGone = async (): Promise<boolean> => (await by(own, 'show c2')).status === 1;
      await untilTrue('c2 is powered off', isGone, 60_000);
      await untilTrue('its unit is over', async () => (await host.run(['systemctl', 'is-active', '--quiet', 'systemd-nspawn@c2.service'])).status !== 0, 60_000);
      assert.deepEqual(await by(own, 'start c2', { timeout: 60_000 }), { status: 0, stdout: '', stderr: '' });
      assert.equal((await by(own, '-P Class show c2')).stdout, 'container\n');
      assert.deepEqual(await by(own, 'terminate c2'), { status: 0, stdout: '', stderr: '' });
      await untilTrue('c2 is terminated', isGone, 60_000);
    });

    test('a start that fails says why', async () => {
      await host.succeed(['mkdir', '-p', '/var/lib/machines/empty']);
      // The original tells nothing unless it is told to be quiet.
      const expected = await by(original, '-q start empty', { timeout: 60_000 });
      for (const words of ['-q start empty', 'start empty']) {
        await host.succeed(['systemctl', 'reset-failed']);
        assert.deepEqual(await by(own, words, { timeout: 60_000 }), expected);
      }
    });

    test('a shell has a terminal, and gives what it prints', async () => {
      const { stdout, status } = await by(own, '-q shell c1 /bin/sh -c id');
      assert.equal(status, 0);
      assert.match(stdout, /uid=0\(root\)/);
      const typed = await host.run([own, '-q', 'shell', 'testuser@c1', '/bin/sh'], { input: 'echo "I am $(id -un) on $(tty)"\n' });
      assert.match(typed.stdout, /I am testuser on \/dev\/pts\/\d/);
      const variables = await host.run([own, '-q', 'shell', '-E', 'A=b c', 'c1', '/usr/bin/env'], { env: { TERM: 'vt100' } });
      assert.match(variables.stdout, /^A=b c\r$/m);
      assert.match(variables.stdout, /^TERM=vt100\r$/m);
    });

    test('a shell of the registry in a container, and as another user of this host', async () => {
      const inContainer = async (name: string) => ['nsenter', '--all', '--target', (await by(own, `-P Leader show ${name}`)).stdout.trim()];
      // it has been terminated
      assert.equal((await by(own, 'start c2', { timeout: 60_000 })).status, 0);
      await untilTrue('c2 has booted', async () => {
        return /^(running|degraded)/.test((await host.run([...(await inContainer('c2')), 'systemctl', 'is-system-running'])).stdout);
      }, 60_000);
      for (const name of ['c1', 'c2']) {
        const inside = await inContainer(name);
        await host.succeed([...inside, 'rm', '-f', '/etc/systemd/system/systemd-machined.service', '/etc/systemd/system/systemd-machined.socket']);
        await host.succeed([...inside, 'systemctl', 'daemon-reload']);
        const asked = await by(own, `-M ${name} -q shell .host /bin/sh -c hostname;id`, { timeout: 60_000 });
        assert.match(asked.stdout, new RegExp(`${name}\\r\\n[^]*uid=0\\(root\\)`));
        assert.deepEqual(await by(own, `-M ${name} login nope`), await by(original, `-M ${name} login nope`));
      }
      assert.match((await by(own, '-M root@.host -q shell c2 /bin/hostname')).stdout, /c2\r\n$/);
      assert.match((await by(own, '--no-ask-password -M testuser@.host shell c2')).stderr, /Failed to get shell PTY: Access denied/);
    });

    test('a session ends with ^] three times, and says so; the window has its size', async () => {
      const script = `(for attempt in $(seq 150); do sleep 0.3; grep -q 'I am' /tmp/session && break; echo 'stty size; echo I "am" here'; done; printf '\\x1d\\x1d\\x1d') |
        script --quiet --flush --return --command 'stty cols 77 rows 33; ${own} shell c1' /tmp/session`;
      const { stdout, status } = await host.run(['bash', '--norc', '-c', script], { timeout: 90_000 });
      assert.equal(status, 0);
      assert.match(stdout, /Connected to machine c1\. Press \^\] three times within 1s to exit session\./);
      assert.match(stdout, /I am here/);
      assert.match(stdout, /33 77/);
      assert.match(stdout, /Connection to machine c1 terminated\./);
    });

    test('a session ends with its machine', async () => {
      const leader = await host.container('c3', { privateUsers: false });
      const session = host.run([own, 'shell', 'c3', '/bin/sleep', '4242'], { timeout: 120_000 });
      const sleeps = ['nsenter', '--pid', '--mount', '--target', String(leader), 'pgrep', '--full', 'sleep 4242'];
      await untilTrue('the program runs', async () => (await host.run(sleeps)).status === 0, 60_000);
      assert.equal((await by(own, 'terminate c3')).status, 0);
      const { stderr, status } = await session;
      assert.equal(status, 0);
      assert.match(stderr, /(Machine|Connection to machine) c3 terminated\./);
    });

    test('commands without a terminal: streams, exit statuses, signals', async () => {
      if (daemon === 'real') {
        assert.match((await by(own, 'exec c1 /bin/true')).stderr, /this project's daemon/);
        return;
      }
      const counted = await host.run([own, 'exec', 'c1', '/bin/sh', '-c', 'tr a-z A-Z; echo problem >&2; exit 7'], { input: 'some words\n' });
      assert.deepEqual(counted, { status: 7, stdout: 'SOME WORDS\n', stderr: 'problem\n' });
      assert.equal((await by(own, 'exec testuser@c1 id -un')).stdout, 'testuser\n');
      assert.equal((await host.run([own, 'exec', '-E', 'A=b c', 'c1', 'printenv', 'A'])).stdout, 'b c\n');
      assert.equal((await host.run([own, 'exec', 'c1', 'sh', '-c', 'kill -KILL $$'])).status, 128 + 9);
      const reasons = { 'exec nope true': "No machine 'nope' known", 'exec nobody-here@c1 id': "Machine 'c1' has no user 'nobody-here'", 'exec c1 /nope': 'No such file or directory' };
      for (const [words, reason] of Object.entries(reasons)) {
        assert.deepEqual(await by(own, words), { status: 1, stdout: '', stderr: `Failed to run the command: ${reason}\n` });
      }
      const interrupted = `${own} exec c1 sh -c 'trap "echo told; exit 3" TERM; echo ready; while :; do sleep 0.1; done' >/tmp/said & command=$!
        until grep -q ready /tmp/said; do sleep 0.1; done; kill -TERM $command; wait $command; echo "$? $(tail -n1 /tmp/said)"`;
      assert.equal((await host.run(['bash', '--norc', '-c', interrupted], { timeout: 60_000 })).stdout, '3 told\n');
    });

    test('who stops reading ends what would go on; what cannot be written is told', async () => {
      const pid = await host.leader('passing');
      const script = `{ status=0; timeout 100 ${own} events || status=$?; echo $status >/tmp/events-status; } | head -n 1 >/dev/null &
        until [ -s /tmp/events-status ]; do ${own} register passing ${pid} >/dev/null; ${own} unregister passing; done; cat /tmp/events-status`;
      assert.equal((await host.shell(script, { timeout: 120_000 })).stdout, '141\n');
      const full = await host.shell(`${own} list >/dev/full`);
      assert.deepEqual([full.status, full.stderr], [1, 'Failed to write the output: No space left on device\n']);
      assert.equal((await host.shell(`${own} list >&-`)).status, 0);
    });

    test('whatever is shown can be had as JSON', async () => {
      const [shown] = JSON.parse((await by(own, '--json=short show c1')).stdout) as [Record<string, unknown>];
      assert.equal(shown['Name'], 'c1');
      assert.equal(typeof shown['Leader'], 'number');
      assert.ok(Array.isArray(shown['NetworkInterfaces']));
      const [status] = JSON.parse((await by(own, '--json=pretty status c1')).stdout) as [{ Processes: readonly { pid: number }[]; OSPrettyName: string }];
      assert.match(status.OSPrettyName, /Debian/);
      assert.ok(status.Processes.some(({ pid }) => pid === shown['Leader']));
      assert.equal((await by(own, '--json=short list')).stdout, (await by(original, '-o json list')).stdout);
    });

    test('another host, by ssh and the bridge over there', async () => {
      await host.shell("mkdir -p /opt/fake; printf '#!/bin/sh\\necho \"$@\" >/tmp/ssh-words; shift 3; exec \"$@\"\\n' >/opt/fake/ssh; chmod +x /opt/fake/ssh");
      const env = { SYSTEMD_SSH: '/opt/fake/ssh' };
      const expected = await by(original, '-H over-there list', { env });
      const words = await host.file('/tmp/ssh-words');
      assert.deepEqual(await by(own, '-H over-there list', { env }), expected);
      assert.equal(await host.file('/tmp/ssh-words'), words);
      assert.match(expected.stdout, /plain/);
      for (const remote of ['u@h:22/c', 'h:c', 'h/a b', 'u@:22', '[::1]x:0', '-oProxyCommand=x', '']) {
        await host.run([original, '-H', remote, 'list'], { env });
        const wordsOfOriginal = await host.file('/tmp/ssh-words');
        await host.run([own, '-H', remote, 'list'], { env });
        assert.equal(await host.file('/tmp/ssh-words'), wordsOfOriginal, remote);
      }
    });
  });
}

test('where no systemd runs, machines are seen and ended; what takes systemd says so', async () => {
  await using host = await bootHost({ suite: 'sid', name: 'machinectl-bare', daemon: 'ours', systemd: false });
  const machinectl = (...words: readonly string[]): Promise<RunResult> => host.run([own, '--no-pager', ...words]);
  assert.deepEqual(await machinectl('list'), { status: 0, stdout: 'No machines.\n', stderr: '' });

  const leader = await host.leader('boxed');
  await host.succeed(
    [
      'busctl', 'call', 'org.freedesktop.machine1', '/org/freedesktop/machine1', 'org.freedesktop.machine1.Manager', 'CreateMachine',
      'sayssusa(sv)', 'boxed', '0', '', 'container', String(leader), '', '0',
    ],
    { env: { DBUS_SYSTEM_BUS_ADDRESS: 'unix:path=/run/machined/bus' } },
  );
  assert.match((await machinectl('list', '--no-legend')).stdout, /^boxed container/);
  assert.match((await machinectl('status', 'boxed')).stdout, new RegExp(`Unit: machine-boxed\\.scope\\n\\t\\t  └─${leader} sleep infinity\\n`));
  // As on hosts with cgroup v1, which have v2 beside it: the tree is where the mount table says.
  const elsewhere = `mkdir -p /tmp/unified; mount -t cgroup2 none /tmp/unified; umount -l /sys/fs/cgroup; ${own} --no-pager`;
  const shown = await host.succeed(['unshare', '--mount', 'sh', '-euc', `${elsewhere} status boxed`]);
  assert.match(shown, new RegExp(`└─${leader} sleep infinity`));
  const [used] = JSON.parse(await host.succeed(['unshare', '--mount', 'sh', '-euc', `${elsewhere} --json=short top`])) as [{ tasks: number }];
  assert.equal(used.tasks, 1);

  // it has all of its namespaces in common with the host
  const said = await machinectl('-q', 'shell', 'boxed', '/bin/echo', 'from', 'within');
  assert.deepEqual([said.status, said.stdout.trim()], [0, 'from within'], said.stderr);
  assert.match((await machinectl('-q', 'shell', '.host', '/usr/bin/id', '-u')).stdout, /^0\s*$/);
  for (const words of [['events'], ['login'], ['shell', 'x'], ['list']]) {
    const { status, stderr } = await host.run([own, ...words], { env: { DBUS_SYSTEM_BUS_ADDRESS: 'unix:path=/nowhere' } });
    assert.deepEqual([status, stderr], [1, 'Failed to connect to system scope bus via local transport: No such file or directory\n'], words.join(' '));
  }

  await host.succeed(['mkdir', '-p', '/var/lib/machines/tree/usr']);
  for (const verb of ['start', 'enable', 'disable']) {
    const { status, stderr } = await machinectl(verb, 'tree');
    assert.equal(status, 1);
    assert.match(stderr, /services of systemd, and this host does not run systemd/);
  }
  assert.equal((await machinectl('terminate', 'boxed')).status, 0);
  await untilTrue('the machine has gone', async () => (await machinectl('show', 'boxed')).status === 1, 60_000);
});
