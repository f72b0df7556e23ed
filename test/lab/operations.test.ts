/** Long work as the tools of a host see it: told about while it goes on, and canceled. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bootHost, untilTrue, type LabHost } from './harness.js';

const socket = '/run/machined/io.machined';

async function shell(host: LabHost, script: string): Promise<string> {
  const { status, stdout, stderr } = await host.shell(`cd /var/lib/machines\n${script}`, { timeout: 120_000 });
  assert.equal(status, 0, `${script}\n${stdout}${stderr}`);
  return stdout.trim();
}

interface Told {
  readonly event: string;
  readonly operation?: { readonly result?: string; readonly error?: string };
}

// The helper is stopped as soon as it tells of its work, so that this is not done before it can be canceled.
const watch = `
  mkfifo /tmp/told
  varlinkctl --more --json=short --timeout=infinity call ${socket} io.machined.Operations.List '{}' >/tmp/told 2>&1 &
  while read -r line; do
    echo "$line" >>/tmp/events
    [[ "$line" != *'"progress"'* || -e /tmp/stopped ]] || { pkill -STOP -f '[g]uest-helper'; touch /tmp/stopped; }
  done </tmp/told`;

test('a clone is watched and canceled, and leaves nothing', async () => {
  await using host = await bootHost({ suite: 'sid', name: 'operations', daemon: 'ours' });
  const has = (file: string, text: string) => host.shell(`grep -q '${text}' /tmp/${file}`).then(({ status }) => status === 0);
  await shell(host, 'mkdir large; for i in $(seq 300); do mkdir large/$i; (cd large/$i; touch $(seq 200)); done');
  await shell(host, `(${watch}\n) </dev/null >/dev/null 2>&1 &`);
  await untilTrue('there is an ear', () => has('events', '"ready"'), 60_000);
  await shell(host, '(machinectl clone large copy >/tmp/clone 2>&1 || echo "status $?" >>/tmp/clone) </dev/null >/dev/null 2>&1 &');
  await untilTrue('the clone is under way', async () => (await host.shell('test -e /tmp/stopped')).status === 0, 60_000);
  const listed = await shell(host, 'busctl call org.freedesktop.machine1 /io/machined io.machined.Operations ListOperations');
  assert.match(listed, /^a\(tsa\{sv\}\) 1 1 "clone" /);

  // another user may look, but not cancel
  const cancel = ['varlinkctl', 'call', socket, 'io.machined.Operations.Cancel', '{"id":1}'];
  const byUser = await host.run(cancel, { user: 'testuser' });
  assert.match(byUser.stderr, /InteractiveAuthenticationRequired/, byUser.stdout);
  await shell(host, `varlinkctl call ${socket} io.machined.Operations.Cancel '{"id":1}'; pkill -CONT -f '[g]uest-helper'`);
  await untilTrue('machinectl is told', () => has('clone', 'status'), 60_000);
  assert.match(await shell(host, 'cat /tmp/clone'), /Operation canceled\nstatus 1$/);
  await untilTrue('the end is told', () => has('events', '"ended"'), 60_000);
  const events = (await shell(host, 'cat /tmp/events')).split('\n').map((line) => JSON.parse(line.replace(/^\x1e/, '')) as Told);
  assert.deepEqual(events.at(-1)?.operation, { ...events.at(-1)?.operation, result: 'canceled', error: 'Operation canceled' });
  assert.equal(await shell(host, 'ls -A'), 'large');
});
