/** Commands in real machines, over the sockets and the bus that users have. */
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { bootHost, untilTrue, type LabHost, type RunResult } from './harness.js';
import { plainContainer } from './plain-container.js';

const socket = '/run/machined/io.machined';

const until = (description: string, probe: () => Promise<boolean>) => untilTrue(description, probe, 60_000);

suite('commands in machines', () => {
  let host: LabHost;

  before(async () => {
    host = await bootHost({ suite: 'sid', name: 'exec', daemon: 'ours' });
    await host.container('c1', { privateUsers: true });
    await host.succeed(['bash', '--norc', '-euc', plainContainer, 'bash', 'plain']);
    await host.succeed(['bash', '--norc', '-euc', plainContainer, 'bash', 'users', '--private-users=pick', '--private-network']);
    await host.succeed(['bash', '--norc', '-euc', plainContainer, 'bash', 'limited', '--drop-capability=CAP_SYS_PTRACE', '--no-new-privileges=yes']);
  });
  after(async () => {
    await (host as LabHost | undefined)?.[Symbol.asyncDispose]();
  });

  /** As varlinkctl says it: what the command wrote, and the replies. */
  async function run(name: string, command: readonly string[], parameters: object = {}, options: { input?: string; user?: string } = {}) {
    const streams = { inputFileDescriptor: 0, outputFileDescriptor: 1, errorFileDescriptor: 2 };
    const text = JSON.stringify({ name, command, ...streams, ...parameters });
    // varlinkctl's own output goes elsewhere, so that what is written is the command's alone
    const script = `varlinkctl call --json=short --more --timeout=infinity --push-fd=0 --push-fd=3 --push-fd=4 ${socket} io.machined.Machine.Exec "$1" 3>&1 4>&2 >"$2" 2>&1 || true; cat "$2" >&2`;
    const result = await host.run(['bash', '--norc', '-c', script, 'bash', text, `/tmp/replies-of-${options.user ?? 'root'}-${name}`], { timeout: 120_000, ...options });
    const [output, said] = [result.stdout.trimEnd(), result.stderr.trimEnd().replaceAll('\u001e', '').split('\n')]; // RFC 7464 before each reply
    return { output, replies: said.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as object), said };
  }

  const lastOf = ({ replies }: Awaited<ReturnType<typeof run>>) => replies.at(-1);

  for (const name of ['c1', 'plain', 'users', '.host']) {
    test(`have their streams, their user and their status in ${name}`, async () => {
      const script = 'cat; echo "$A"; id -un; pwd; echo to error >&2; exit 7';
      const result = await run(name, ['sh', '-c', script], { environment: ['A=one two'], workingDirectory: '/tmp' }, { input: 'typed\n' });
      assert.equal(result.output, 'typed\none two\nroot\n/tmp', result.said.join('\n'));
      assert.ok(result.said.includes('to error'), result.said.join('\n'));
      assert.deepEqual(Object.keys(result.replies[0] ?? {}), ['id', 'pid']);
      assert.deepEqual(lastOf(result), { result: 'exited', status: 7 });
    });
  }

  test('are of the users and groups of the machine', async () => {
    const result = await run('users', ['sh', '-c', 'id; echo $HOME; pwd'], { user: 'bob' });
    assert.equal(result.output, 'uid=1000(bob) gid=1000(bob) groups=1000(bob),10(wheel)\n/tmp\n/tmp');
    assert.equal((await run('c1', ['id', '-un'], { user: 'testuser' })).output, 'testuser');
  });

  test('are in the namespaces and in a cgroup of the machine, and hold nothing of the host', async () => {
    for (const name of ['c1', 'plain', 'users']) {
      const leader = await host.succeed(['machinectl', 'show', name, '--property=Leader', '--value']);
      const theirs = await host.succeed(['sh', '-c', 'for kind in mnt pid net ipc uts cgroup user; do readlink /proc/$1/ns/$kind; done', 'sh', leader]);
      const script = 'for kind in mnt pid net ipc uts cgroup user; do readlink /proc/self/ns/$kind; done';
      assert.equal((await run(name, ['sh', '-c', script])).output, theirs);
      const fds = await run(name, ['sh', '-c', 'exec 1>&1; ls /proc/self/fd | wc -l']);
      assert.equal(fds.output, '4', name); // the fourth is the directory that is listed
      const sleeper = run(name, ['sleep', '4324']);
      const place = `cat /proc/$(pgrep -f '^sleep 4324')/cgroup | grep ^0::`;
      await until(`the command is in the cgroup of ${name}`, async () => {
        return (await host.run(['bash', '--norc', '-c', place])).stdout.includes('/machined-exec-');
      });
      await host.succeed(['pkill', '-f', '^sleep 4324']);
      assert.deepEqual(lastOf(await sleeper), { result: 'signaled', signal: 15 });
    }
    await until('no cgroup is left', async () => (await host.succeed(['find', '/sys/fs/cgroup', '-name', 'machined-exec-*'])) === '');
  });

  test('are in the cgroup of the machine also if that allows none below it', async () => {
    const limit = (most: string) =>
      host.succeed(['bash', '--norc', '-euc', `
        leader=$(machinectl show plain --property=Leader --value)
        echo ${most} >$(findmnt -n -t cgroup2 -o TARGET | head -n1)$(sed -n 's/^0:://p' /proc/$leader/cgroup)/cgroup.max.descendants`]);
    await limit('0');
    const { output, said } = await run('plain', ['sh', '-c', 'sed -n s/^0:://p /proc/self/cgroup /proc/1/cgroup']);
    await limit('max');
    const [own, theirs] = output.split('\n');
    assert.ok(own !== undefined && own !== '' && own === theirs, said.join('\n') + output);
  });

  test('may do what the machine may', async () => {
    const look = ['sh', '-c', 'grep CapBnd /proc/self/status | cut -f2'];
    const lookAtLeader = ['sh', '-c', 'grep CapBnd /proc/$(machinectl show "$1" --property=Leader --value)/status | cut -f2', 'sh'];
    const bounds = (text: string) => BigInt(`0x${text}`);
    for (const name of ['plain', 'limited']) {
      const allowed = bounds(await host.succeed([...lookAtLeader, name]));
      const { output } = await run(name, look);
      assert.notEqual(output, '', name);
      assert.equal(bounds(output) & ~allowed, 0n, name);
    }
    assert.equal((await run('limited', ['sh', '-c', 'grep NoNewPrivs /proc/self/status | cut -f2'], { user: 'bob' })).output, '1');
  });

  test('see the files of the host as they are, on the host alone', async () => {
    assert.equal((await run('.host', ['sh', '-c', 'touch /usr/written && rm /usr/written && echo yes'])).output, 'yes');
    assert.notEqual((await run('plain', ['sh', '-c', 'touch /usr/written && echo yes'])).output, 'yes');
  });

  test('that cannot be run are refused with a reason', async () => {
    const reasons = [
      [{ command: ['nope'] }, 'ENOENT'], [{ command: ['/etc/passwd'] }, 'EACCES'], [{ command: ['id'], workingDirectory: '/nope' }, 'ENOENT'],
      [{ command: ['id'], workingDirectory: '/etc/passwd' }, 'ENOTDIR'], [{ command: ['id'], user: 'nobody-there' }, 'NoSuchUser'],
      [{ command: ['id'], outputFileDescriptor: 5 }, 'outputFileDescriptor'], [{ name: 'nope', command: ['id'] }, 'NoSuchMachine'],
    ] as const;
    for (const [parameters, reason] of reasons) {
      const { said } = await run('users', [], parameters);
      assert.match(said.join('\n'), new RegExp(reason), JSON.stringify(parameters));
    }
  });

  test('need the permission for a shell', async () => {
    const { said } = await run('plain', ['id'], {}, { user: 'testuser' });
    assert.match(said.join('\n'), /InteractiveAuthenticationRequired/);
  });

  test('end with everything that they have started, when their time is over or their caller is gone', async () => {
    const script = 'setsid sleep 4321 & setsid sh -c "trap : TERM; while :; do sleep 4321; done" & sleep 4321';
    const sleepers = async () => Number((await host.run(['pgrep', '-cf', '^sleep 4321'])).stdout);
    const late = await run('plain', ['sh', '-c', script], { timeLimitUSec: 1_000_000, inputFileDescriptor: undefined, outputFileDescriptor: undefined, errorFileDescriptor: undefined });
    assert.deepEqual(lastOf(late), { result: 'timeout' }, late.said.join('\n'));
    await until('what ran too long is gone', async () => (await sleepers()) === 0);
    const parameters = JSON.stringify({ name: 'users', command: ['sh', '-c', script] });
    const caller = host.run(['varlinkctl', 'call', '--more', '--timeout=infinity', socket, 'io.machined.Machine.Exec', parameters], { timeout: 120_000 });
    await until('the command runs', async () => (await sleepers()) === 3);
    await host.succeed(['pkill', '-KILL', 'varlinkctl']);
    await caller;
    await until('what nobody wants any more is gone', async () => (await sleepers()) === 0);
  });

  for (const [how, kill] of [
    ['', async () => host.killOurs('SIGKILL')],
    [', and with the next one at the latest', async () => {
      await host.succeed(['sh', '-c', 'kill -KILL $(pgrep -f "[c]ommand-launcher.js") $0', String(await host.pidOfOurs())]);
    }],
  ] as const) {
    test(`end with the daemon${how}`, async () => {
      const parameters = JSON.stringify({ name: 'plain', command: ['sleep', '4322'] });
      const caller = host.run(['varlinkctl', 'call', '--more', '--timeout=infinity', socket, 'io.machined.Machine.Exec', parameters], { timeout: 120_000 });
      const sleepers = async () => Number((await host.run(['pgrep', '-cf', '^sleep 4322'])).stdout);
      await until('the command runs', async () => (await sleepers()) === 1);
      await kill();
      assert.notEqual((await caller).status, 0);
      await until('systemd has noticed', async () => (await host.pidOfOurs()) === 0);
      await host.startOurs();
      await until('the command is gone', async () => (await sleepers()) === 0);
    });
  }

  test('in a machine that stands still cost their caller an error, and nobody else anything', async () => {
    await host.succeed(['systemctl', 'freeze', 'plain.scope']);
    try {
      const stuck = run('plain', ['true']);
      assert.equal((await run('users', ['echo', 'served'])).output, 'served');
      assert.match((await stuck).said.join('\n'), /ETIMEDOUT/);
    } finally {
      await host.succeed(['systemctl', 'thaw', 'plain.scope']);
    }
    assert.equal((await run('plain', ['echo', 'again'])).output, 'again');
    await until('no cgroup is left', async () => (await host.succeed(['find', '/sys/fs/cgroup', '-name', 'machined-exec-*'])) === '');
  });

  const manager = ['--', 'org.freedesktop.machine1', '/io/machined', 'io.machined.Manager'];

  test('can be started, signaled and waited for on the bus', async () => {
    // busctl leaves the bus with the answer, and the command ends with that
    const call = async (member: string, ...words: string[]): Promise<RunResult> => host.run(['busctl', 'call', ...manager, member, ...words]);
    const start = await call('StartExec', 'ssasassta{sh}', 'users', 'bob', '2', 'sleep', '4323', '1', 'A=b', '/tmp', '0', '0');
    assert.match(start.stdout, /^tu [0-9]+ [0-9]+$/m, start.stderr);
    const sleepers = async () => Number((await host.run(['pgrep', '-cf', '^sleep 4323'])).stdout);
    await until('what its caller has left is gone', async () => (await sleepers()) === 0);
    assert.match((await call('WaitExec', 't', '1')).stderr, /no command 1/);
    const described = await host.succeed(['busctl', 'introspect', 'org.freedesktop.machine1', '/io/machined', 'io.machined.Manager']);
    for (const member of ['StartExec', 'WaitExec', 'SignalExec', 'OpenShell']) assert.ok(described.includes(`.${member}`), described);
    assert.ok(!(await host.succeed(['busctl', 'tree', 'org.freedesktop.machine1'])).includes('/io'));
  });

  test('a shell is had without the help of the machine, also where it has a service manager', async () => {
    for (const name of ['c1', 'plain', 'users', 'limited']) {
      const parameters = JSON.stringify({ name, path: '/bin/sh', args: ['sh', '-c', 'echo I am $(id -un); tty; sleep 1'] });
      // --exec gives the descriptors of the reply to a program, as sd_listen_fds(3) says
      const said = await host.run(['varlinkctl', 'call', '--exec', socket, 'io.machined.Machine.OpenShell', parameters, '--', 'sh', '-c', 'timeout 20 cat <&3']);
      assert.match(said.stdout, /I am root\r?\n\/dev\/pts\/[0-9]+/, `${name}: ${said.stderr}`);
    }
  });
});
