/** Terminals of real containers, by the tools of systemd of all ages. */
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { bootHost, systemdVersions, untilTrue, type LabHost, type Suite } from './harness.js';
import { plainContainer } from './plain-container.js';

const manager = ['org.freedesktop.machine1', '/org/freedesktop/machine1', 'org.freedesktop.machine1.Manager'];

for (const [suiteName, version] of Object.entries(systemdVersions) as [Suite, number][]) {
  suite(`terminals with systemd ${version}`, () => {
    let host: LabHost;
    const leaders = { c1: 0, c2: 0 };

    before(async () => {
      host = await bootHost({ suite: suiteName, name: `terminals-${suiteName}`, daemon: 'ours' });
      leaders.c1 = await host.container('c1', { privateUsers: true });
      leaders.c2 = await host.container('c2', { privateUsers: false });
      for (const leader of Object.values(leaders)) await host.succeed(['nsenter', '--all', '-t', String(leader), 'passwd', '-d', 'root']);
    });
    after(async () => {
      await (host as LabHost | undefined)?.[Symbol.asyncDispose]();
    });

    /** What a shell writes. machinectl wants a terminal, or some of it may be lost. */
    const shell = async (...words: string[]) => {
      const command = ['machinectl', '--quiet', 'shell', ...words].map((word) => `'${word}'`).join(' ');
      const { stdout } = await host.run(['script', '--quiet', '--command', command, '/dev/null']);
      // what script(1) makes of the end of its input, and machinectl of its terminal
      return stdout.replaceAll(/\r|\^@|\^D|\u0008|\u001b\[[!?0-9;]*[a-zA-Z]|\u001b\][^\u001b]*\u001b\\/g, '').trimEnd();
    };

    /** What a command on a terminal writes to whoever types something each time that something is there to be read. */
    const typed = (command: string, steps: readonly (readonly [awaited: string, keys: string])[]) => {
      const typing = steps.map(([awaited, keys]) => `until grep --text -qF '${awaited}' "$log"; do sleep 0.1; done; printf '${keys}'`);
      const script = `log=$(mktemp); { ${typing.join('; ')}; } | script --quiet --flush --command '${command}' "$log" >/dev/null; cat "$log"`;
      return host.run(['bash', '--norc', '-c', script], { timeout: 90_000 });
    };

    for (const name of ['c1', 'c2'] as const) {
      test(`machinectl shell runs programs in ${name}, as its users`, async () => {
        assert.equal(await shell(name, '/bin/sh', '-c', 'id -un; tty; uname -n; echo $TERM'), `root\n/dev/pts/1\n${name}\nxterm`);
        assert.equal(await shell(`testuser@${name}`, '/bin/sh', '-c', 'id -un; pwd; echo $HOME'), 'testuser\n/home/testuser\n/home/testuser');
        assert.equal(await shell('--setenv=A=one two', name, '/bin/sh', '-c', 'echo "$A"'), 'one two');
      });

      test(`a login shell in ${name} takes what is typed`, async () => {
        const { stdout } = await typed(`machinectl --quiet shell ${name}`, [
          ['# ', 'echo I am $(id -un) in $PWD\\n'], ['I am root', 'exit\\n'],
        ]);
        assert.match(stdout, /I am root in \/root/);
      });

      test(`machinectl login shows a prompt of ${name}, which lets root in`, async () => {
        const { stdout } = await typed(`machinectl --quiet login ${name}`, [
          ['login:', 'root\\n'], ['# ', 'echo logged in as $(id -un)\\n'], ['logged in as root', '\\x1d\\x1d\\x1d'],
        ]);
        assert.match(stdout, /login:/);
        assert.match(stdout, /logged in as root/);
      });
    }

    test('the host has shells and logins, too', async () => {
      assert.equal(await shell('testuser@.host', '/bin/sh', '-c', 'id -un; uname -n'), `testuser\n${await host.succeed(['uname', '-n'])}`);
    });

    test('an unknown user and a missing program are errors that say so', async () => {
      for (const [words, message] of [
        [['nobody-known@c1', '/bin/true'], /no user 'nobody-known'/], [['c1', '/bin/nope'], /no program \/bin\/nope/],
      ] as const) {
        const { status, stderr } = await host.run(['machinectl', '--quiet', 'shell', ...words]);
        assert.equal(status, 1);
        assert.match(stderr, message);
      }
      // older ones do not tell whether it was systemd or the program that ended with it
      if (version >= 257) assert.equal(await shell('c1', '/bin/sh', '-c', 'exit 217'), '', 'that is its own status');
    });

    test('a dead bus costs its caller an error in seconds, and nobody else anything', async () => {
      const stop = (signal: string) => host.succeed(['nsenter', '--all', '-t', String(leaders.c1), 'systemctl', 'kill', '-s', signal, 'dbus']);
      await stop('STOP');
      const start = Date.now();
      const dead = host.run(['machinectl', '--quiet', 'shell', 'c1', '/bin/true']);
      assert.equal(await shell('c2', '/bin/echo', 'alive'), 'alive');
      assert.ok(Date.now() - start < 3000);
      assert.equal((await dead).status, 1);
      assert.ok(Date.now() - start < 10_000);
      await stop('CONT');
    });

    for (const [name, options] of [['plain', []], ['shifted', ['--private-users=pick']]] as const) {
      test(`a guest without bus and systemd gives a shell (${name})`, async () => {
        await host.succeed(['bash', '--norc', '-euc', plainContainer, 'bash', name, ...options]);
        assert.equal(await shell(name, '/bin/sh', '-c', 'id -u; pwd; cat /proc/1/comm'), '0\n/root\nsleep');
        assert.equal(await shell(`bob@${name}`, '/usr/bin/id', '-G'), '1000 10');
        assert.equal(await shell('--setenv=A=one two', name, '/bin/sh', '-c', 'echo "$A"'), 'one two');
        const { status, stderr } = await host.run(['machinectl', '--quiet', 'shell', `eve@${name}`, '/bin/true']);
        assert.equal(status, 1);
        assert.match(stderr, /no user 'eve'/);
      });
    }

    test('a program ends when whoever asked for its terminal has gone', async () => {
      // busctl leaves as soon as it has the answer
      const sleeper = ['plain', 'root', '/bin/sleep', '2', 'sleep', '98765', '0'];
      await host.succeed(['busctl', 'call', ...manager, 'OpenMachineShell', 'sssasas', ...sleeper]);
      await untilTrue('it has ended', async () => (await host.run(['pgrep', '-f', 'sleep 9876[5]'])).status === 1);
    });
  });
}
