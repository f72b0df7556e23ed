/** The verbs that systemd's machinectl does not have, as their users see them. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { bootHost, type LabHost } from './harness.js';

const machinectl = '/src/bin/machinectl';

suite('machinectl beyond the original', () => {
  for (const daemon of ['ours', 'real'] as const) {
    test(`machines are registered, waited for, watched and measured (${daemon})`, async () => {
      await using host = await bootHost({ suite: 'sid', name: `beyond-${daemon}`, daemon });
      const [first, second] = [await host.leader('first'), await host.leader('second')];
      const run = (...words: string[]) => host.run([machinectl, ...words], { timeout: 60_000 });

      await host.succeed(['systemd-run', '--quiet', '--collect', '--unit=events', '--setenv=PATH=/opt/node/bin:/usr/bin',
        '--property=StandardOutput=file:/run/events', machinectl, 'events', '--json=short']);
      const [waited] = await Promise.all([
        run('wait', 'first', '--timeout=50'),
        listening(host).then(() => run('register', 'first', String(first), '--quiet')),
      ]);
      assert.deepEqual(waited, { status: 0, stdout: '', stderr: '' });
      assert.equal((await run('register', 'second', String(second), '--class=vm', '--quiet')).status, 0);
      assert.equal((await run('register', 'first', String(second))).status, 1, 'the name is taken');

      const [row] = JSON.parse((await run('top', '--json=short')).stdout) as Record<string, unknown>[];
      assert.equal(row?.['tasks'], 1);
      assert.equal(typeof row?.['cpuPercent'], 'number');
      assert.match((await run('top')).stdout, /^MACHINE +TASKS +%CPU +MEMORY .*\nfirst +1 |^MACHINE +TASKS +%CPU +MEMORY .*\nsecond +1 /);

      const late = await run('wait', 'first', 'gone', '--timeout=0.3');
      assert.deepEqual([late.status, late.stderr], [1, "Machine 'first' is not gone yet\n"]);
      await host.succeed(['systemctl', 'stop', 'leader-first.service']);
      assert.equal((await run('wait', 'first', 'gone', '--timeout=50')).status, 0);
      assert.equal((await run('unregister', 'second')).status, 0);
      assert.equal((await run('wait', 'second', 'gone', '--timeout=50')).status, 0);

      await host.succeed(['bash', '-c', 'for i in {1..300}; do [[ $(wc -l </run/events) -ge 4 ]] && exit; sleep 0.1; done; cat /run/events; exit 1'], { timeout: 60_000 });
      const events = (await host.file('/run/events')).trim().split('\n').map((line) => JSON.parse(line) as { event: string; machine: string });
      assert.deepEqual(events.map(({ event, machine }) => `${event} ${machine}`), ['added first', 'added second', 'removed first', 'removed second']);
    });
  }

  test('a terminal shows machines live, and is given back as it was', async () => {
    await using host = await bootHost({ suite: 'sid', name: 'beyond-live', daemon: 'ours' });
    await host.succeed([machinectl, 'register', 'live', String(await host.leader('live')), '--quiet']);
    for (const verb of ['watch', 'top']) {
      const typed = `(sleep 4; printf q) | script -qec '${machinectl} ${verb}' /dev/null`;
      const shown = await host.succeed(['bash', '--norc', '-c', typed], { timeout: 60_000, env: { TERM: 'xterm', COLUMNS: '100' } });
      assert.ok(shown.includes('\x1b[?1049h'), 'it takes the alternate screen');
      assert.match(shown, /live/);
      assert.ok(shown.trimEnd().endsWith('\x1b[?25h\x1b[?1049l'), `and leaves it: ${JSON.stringify(shown.slice(-80))}`);
      // given back while the job is stopped, too, taken again when that goes on, and drawn anew in another size
      await host.succeed(['bash', '--norc', '-c', underJobControl, 'bash', verb], { timeout: 120_000, env: { LC_ALL: 'C.UTF-8' } });
    }
  });
});

// 7 is what the keyboard of the terminal types.
const underJobControl = `
verb=$1
rm -rf /tmp/live; mkdir /tmp/live; mkfifo /tmp/live/typed; : >/tmp/live/seen
exec 7<>/tmp/live/typed
TERM=dumb systemd-run --quiet --collect --wait --pty --setenv=TERM=xterm --setenv=PATH=/usr/bin:/bin:/opt/node/bin \\
  --setenv=HOME=/root bash --norc -i <&7 >/tmp/live/seen 2>&1 &
# Waits for the text behind what was seen last; lengths are of bytes.
before=0
see() {
  local offset='' LC_ALL=C
  until [[ -n $offset ]]; do
    offset=$(tail -c +$((before + 1)) /tmp/live/seen | grep -aboF -e "$1" | head -n 1 | cut -d: -f1)
    sleep 0.05
  done
  before=$((before + offset + \${#1}))
}
entered=$'\\e[?1049h' left=$'\\e[?1049l'
printf 'stty cols 100 rows 30; tty >/tmp/live/tty; ${machinectl} %s\\n' $verb >&7
see "$entered"; see live
printf '\\032' >&7; see "$left"; see Stopped
printf 'fg\\n' >&7; see "$entered"; see live
stty -F "$(</tmp/live/tty)" cols 40; see …
kill -s TSTP "$(pgrep -f "^[^ ]*node .*machinectl $verb")"; see "$left"; see Stopped
printf 'fg\\n' >&7; see "$entered"; see live
printf 'q' >&7; see "$left"
printf 'echo "status is $?"\\n' >&7; see 'status is 0'
printf 'exit\\n' >&7
wait`;

/** Only who listens hears of what comes: the listener has made the registry tell it something. */
async function listening(host: LabHost): Promise<void> {
  const asked = 'for i in {1..300}; do busctl --no-pager list 2>/dev/null | grep -q "events.service" && sleep 1 && exit; sleep 0.1; done; exit 1';
  await host.succeed(['bash', '--norc', '-c', asked], { timeout: 60_000 });
}
