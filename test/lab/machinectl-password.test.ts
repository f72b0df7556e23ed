/** Actions that take a password: what a user sees who is asked for it on a terminal, by either machinectl and either daemon. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { bootHost, type Daemon, type LabHost } from './harness.js';

const programs = { original: '/usr/bin/machinectl', own: '/src/bin/machinectl' };

interface Scene {
  /** A command of bash, with $machinectl. */
  readonly command: string;
  /** What is typed when the password is asked for; nothing: it is not asked for. */
  readonly typed?: 'secret\\n' | 'wrong\\n' | '\\003';
  readonly sees: RegExp;
}

const right: readonly Scene[] = [
  { command: '$machinectl kill m --signal=CONT', typed: 'secret\\n', sees: /AUTHENTICATION COMPLETE[^]*status 0/ },
  { command: '$machinectl kill m --signal=CONT </dev/null', typed: 'secret\\n', sees: /AUTHENTICATION COMPLETE[^]*status 0/ },
  { command: '$machinectl copy-to m /etc/hostname /tmp/copy-$RANDOM >/dev/null', typed: 'secret\\n', sees: /AUTHENTICATION COMPLETE[^]*status 0/ },
];
const refused: readonly Scene[] = [
  { command: '$machinectl remove image', typed: 'wrong\\n', sees: /AUTHENTICATION FAILED[^]*Could not remove image: Access denied\S*\r\nstatus 1/ },
  { command: '$machinectl shell m /bin/true', typed: 'wrong\\n', sees: /AUTHENTICATION FAILED[^]*Failed to get shell PTY: Access denied\S*\r\nstatus 1/ },
  { command: '$machinectl start image', typed: 'wrong\\n', sees: /AUTHENTICATION FAILED[^]*Failed to start unit: Access denied\S*\r\nstatus 1/ },
  { command: '$machinectl terminate m', typed: '\\003', sees: /Password: status 130/ },
  { command: '$machinectl --no-ask-password terminate m', sees: /^[^=]*Could not terminate machine: Access denied as [^=]*status 1/ },
  { command: 'setsid --wait $machinectl terminate m', sees: /^[^=]*Could not terminate machine: Access denied as [^=]*status 1/ },
];

// Only in a login session are the agents of single commands asked. What is typed before the echo is off would be lost.
const play = `
rm -rf /tmp/play; mkdir --mode=777 /tmp/play; mkfifo /tmp/play/typed
exec 7<>/tmp/play/typed
inside='machinectl=$1; tty >/tmp/play/tty; trap : INT; eval "$2"; echo "status $?"; stty -a | grep -ow -e "-echo" >/tmp/play/echo'
TERM=dumb systemd-run --quiet --expand-environment=no --collect --wait --pty --uid=testuser --property=PAMName=login \\
  --setenv=NO_COLOR=1 --setenv=PATH=/usr/bin:/bin:/opt/node/bin bash --norc -c "$inside" bash "$1" "$2" \\
  <&7 >/tmp/play/seen 2>/tmp/play/errors &
if [[ -n $3 ]]; then
  until grep -qs 'Password: ' /tmp/play/seen && stty -F "$(</tmp/play/tty)" -a | grep -qw -e -echo; do sleep 0.05; done
  printf "$3" >&7
fi
wait $!
cat /tmp/play/errors /tmp/play/echo /tmp/play/seen`;

async function sight(host: LabHost, program: string, { command, typed }: Scene): Promise<string> {
  const { stdout, stderr } = await host.run(['bash', '--norc', '-c', play, 'bash', program, command, typed ?? ''], { timeout: 120_000 });
  // the original ends its messages with a carriage return, and the terminal adds another
  return (stdout + stderr).replaceAll('\r\r\n', '\r\n');
}

async function prepare(daemon: Daemon): Promise<LabHost> {
  const host = await bootHost({ suite: 'sid', name: `password-${daemon}`, daemon });
  await host.succeed(['bash', '-c', 'echo root:secret | chpasswd; mkdir /var/lib/machines/image']);
  await host.succeed([programs.own, 'register', 'm', String(await host.leader('m')), '--quiet']);
  return host;
}

suite('a user who is asked for a password', () => {
  for (const daemon of ['real', 'ours'] as const) {
    test(`sees what the original shows (${daemon})`, async () => {
      await using host = await prepare(daemon);
      for (const scene of [...right, ...refused]) {
        const shown = await sight(host, programs.original, scene);
        assert.match(shown, scene.sees, scene.command);
        const own = await sight(host, programs.own, scene);
        // the original may be gone before its agent has turned the echo on again
        assert.equal(own, shown.replace(/^-echo\n/, ''), scene.command);
      }
      await host.succeed([programs.own, 'show', 'm']);
      await host.succeed(['test', '-d', '/var/lib/machines/image']);
    });
  }

  test('is not left with the question when the command is ended from elsewhere', async () => {
    await using host = await prepare('ours');
    const end = '(until grep -qs "Password: " /tmp/play/seen; do sleep 0.1; done; pkill -TERM -f "^[^ ]*node .*terminate m$") & $machinectl terminate m';
    const shown = await sight(host, programs.own, { command: end, sees: /^/ });
    assert.match(shown, /Password: [^]*status 143/);
    assert.ok(!shown.startsWith('-echo'), shown);
    assert.equal((await host.run(['pgrep', 'pkttyagent'])).status, 1, 'no agent is left');
  });
});
