/** How far long work has come, as who waits for it sees it in a terminal. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { bootHost, untilTrue, type LabHost } from './harness.js';

const machinectl = '/src/bin/machinectl';
const inTerminal = (verb: string) => `TERM=xterm NO_COLOR=1 script -qefc 'trap : INT; ${machinectl} ${verb}; echo "status $?"' /tmp/seen`;

async function shell(host: LabHost, script: string): Promise<string> {
  const { status, stdout, stderr } = await host.shell(`cd /var/lib/machines\n${script}`, { timeout: 120_000 });
  assert.equal(status, 0, `${script}\n${stdout}${stderr}`);
  return stdout;
}

// The helper is stopped as soon as it tells of its work, so that this is not done before it is seen.
const stopWhenSeen = `
  mkfifo /tmp/told
  varlinkctl --more --json=short --timeout=infinity call /run/machined/io.machined io.machined.Operations.List '{}' >/tmp/told 2>&1 &
  while read -r line; do
    [[ "$line" != *'"ready"'* ]] || touch /tmp/ready
    [[ "$line" != *'"progress"'* || -e /tmp/stopped ]] || { pkill -STOP -f '[g]uest-helper'; touch /tmp/stopped; }
  done </tmp/told`;

suite('machinectl’s progress', () => {
  test('a clone shows how far it has come, and leaves nothing of that on the terminal', async () => {
    await using host = await bootHost({ suite: 'sid', name: 'progress', daemon: 'ours' });
    const becomes = (what: string, condition: string) => untilTrue(what, async () => (await host.shell(condition)).status === 0, 60_000);
    await shell(host, 'mkdir large; for i in $(seq 300); do mkdir large/$i; (cd large/$i; touch $(seq 200)); done');
    await shell(host, `(${stopWhenSeen}\n) </dev/null >/dev/null 2>&1 &`);
    await becomes('there is an ear', 'test -e /tmp/ready');
    await shell(host, `(${inTerminal('clone large copy')}) </dev/null >/dev/null 2>&1 &`);
    await becomes('the clone is under way', 'test -e /tmp/stopped');
    await becomes('it is seen', "grep -q ' files' /tmp/seen");
    await shell(host, "pkill -CONT -f '[g]uest-helper'");
    await becomes('the clone is done', "grep -q 'status [0-9]' /tmp/seen");
    const seen = await host.file('/tmp/seen');
    assert.match(seen, /\r[\d []?[^\r\n]* files\x1b\[K/);
    assert.ok(seen.includes('\r\x1b[Kstatus 0'), JSON.stringify(seen.slice(-200)));
    assert.ok(!seen.includes('\x1b[0;'), 'no colours were wanted');
    assert.equal(await shell(host, `find copy | wc -l; ${machinectl} clone large second 2>&1`), '60301\n', 'nor anything without a terminal');
  });

  test('Ctrl-C ends the clone that is shown, and not only who waits for it', async () => {
    await using host = await bootHost({ suite: 'sid', name: 'progress-end', daemon: 'ours' });
    await shell(host, 'mkdir large; for i in $(seq 300); do mkdir large/$i; (cd large/$i; touch $(seq 200)); done');
    const pressed = `until grep -q ' files' /tmp/seen; do sleep 0.05; done; printf '\\003'; until grep -q 'status [0-9]' /tmp/seen; do sleep 0.05; done`;
    await shell(host, `touch /tmp/seen; (${pressed}) | ${inTerminal('clone large copy')} >/dev/null`);
    const seen = await host.file('/tmp/seen');
    assert.ok(seen.includes('\r\x1b[Kstatus 130\r\n'), JSON.stringify(seen.slice(-200)));
    assert.equal(await shell(host, 'ls -A'), 'large\n');
  });

  test('nothing is shown where the daemon does not tell', async () => {
    await using host = await bootHost({ suite: 'sid', name: 'progress-real', daemon: 'real' });
    await shell(host, 'mkdir small; touch small/file');
    const seen = await shell(host, `${inTerminal('clone small copy')} </dev/null`);
    assert.equal(seen, 'status 0\r\n');
  });
});
