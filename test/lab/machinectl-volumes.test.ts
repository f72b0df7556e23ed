/** bind-volume and unbind-volume: what is asked of the storage provider and of the machine, by the original and by ours. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bootHost, untilTrue, type LabHost } from './harness.js';

const original = '/usr/bin/machinectl';
const own = '/src/bin/machinectl';
const places = '/run/volumes';

/** Arguments of bind-volume for the machine that has volumes. */
const volumes = [
  'fake:vol', 'fake:vol:', 'fake:vol::', 'fake:vol:nvme', 'fake:vol:nvme:create=new,create-size=1G,read-only=auto', 'fake:vol::template=a:b,ro=no',
  'fake:vol::create=new,size=1.5G,template=foo,ro=yes,request-as=blk', 'fake:vol::request-as=dir,,ro=on,', 'fake:vol\\:x', 'fake:vol::template=a\\,b',
  'fake:a/b', 'fake:vo l', 'fake:vol:create=new', 'fake:vol::size=1G512M', 'fake:vol::size=18446744073709551615', 'fake:vol::size=15E',
  '', 'x', ':', 'x:', ':x', 'a/b:x', '.:x', '..:x', 'fake:vol\\', 'fake:v"l', "fake:v'l", 'fake:v*l', 'fake:v\tl', 'fake:vol:a?b',
  'fake:vol::x', 'fake:vol::x=1', 'fake:vol::create=x', 'fake:vol::create=', 'fake:vol::ro=x', 'fake:vol::ro=AUTO', 'fake:vol::size=0', 'fake:vol::size=x',
  'fake:vol::size=-1', 'fake:vol::size=16E', 'fake:vol::size=1,size=1', 'fake:vol::size=1,create-size=1', 'fake:vol::ro=1,read-only=1', 'fake:vol::=x',
  'fake:vol::template=', 'fake:vol::template="x"', 'fake:vol::template=x,template=x', 'fake:vol::create=new, ro=1', 'fake:vol:::',
  'nope:vol', 'fake:refused-NoSuchVolume', 'fake:refused-CreateSizeRequired', 'fake:unanswered', 'fake:detached-NotSupported', 'fake:hung-up',
] as const;

/** Arguments of unbind-volume. */
const names = [
  'fake:vol', 'fake:vol:', 'fake:a/b', 'nope:x', 'fake:detached-StorageImmutable', 'fake:hung-up', '', 'x', ':', 'x:', ':x', 'a/b:x', '..:x', 'fake:v"l',
  'fake:v\\l',
];

/** Whole lines. */
const others: readonly (readonly string[])[] = [
  ['--no-ask-password', 'bind-volume', 'with', 'fake:vol'], ['--read-only', 'bind-volume', 'with', 'fake:vol'],
  ...['bind-volume', 'unbind-volume'].flatMap((verb) => [
    [verb, 'with'], [verb, 'with', 'fake:vol', 'x'], [verb, 'without', 'fake:vol'], [verb, 'dead', 'fake:vol'], [verb, 'nope', 'fake:vol'],
    [verb, 'nope', 'x'], [verb, '.host', 'fake:vol'], [verb, 'a/b', 'fake:vol'], ['-M', 'nope', verb, 'with', 'x'], ['-M', '.host', verb, 'with', 'fake:vol'],
    ['-H', 'nope.invalid', verb, 'with', 'x'],
  ]),
  ['pause', 'with'], ['pause', 'without'], ['pause', 'dead'], ['resume', 'with'], ['poweroff', 'dead'],
];

test('the same calls, messages and exit statuses', async () => {
  await using host = await bootHost({ suite: 'sid', name: 'volumes', daemon: 'ours' });
  await prepare(host);
  const lines = [...volumes.map((text) => ['bind-volume', 'with', text]), ...names.map((text) => ['unbind-volume', 'with', text]), ...others];
  const expected = await outcomes(host, original, lines);
  const actual = await outcomes(host, own, lines);
  assert.equal(expected.length, lines.length);
  for (const [index, line] of lines.entries()) assert.equal(actual[index], expected[index], `machinectl ${line.join(' ')}`);
});

async function prepare(host: LabHost): Promise<void> {
  await host.succeed(['mkdir', '-p', places, '/run/systemd/io.systemd.StorageProvider']);
  await host.succeed([
    'systemd-run', '--quiet', '--collect', '--service-type=exec', '--unit=volumes.service', `--property=StandardOutput=truncate:${places}/calls`,
    '/opt/node/bin/node', '--enable-source-maps', '/src/build/test/lab/inside/volumes.js', places,
  ]);
  await untilTrue('the provider is ready', async () => /^ready$/m.test(await host.file(`${places}/calls`)), 60_000);
  await host.succeed(['ln', '-s', `${places}/provider`, '/run/systemd/io.systemd.StorageProvider/fake']);
  for (const [name, controlAddress] of [['with', `${places}/machine`], ['dead', `${places}/nobody`], ['without', undefined]] as const) {
    const leader = await host.leader(name);
    const parameters = JSON.stringify({ name, class: 'vm', leader, controlAddress });
    await host.succeed(['varlinkctl', 'call', '/run/systemd/machine/io.systemd.Machine', 'io.systemd.Machine.Register', parameters]);
  }
}

/** For each command line, what it says, and what it makes of the provider and the machine. */
async function outcomes(host: LabHost, program: string, lines: readonly (readonly string[])[]): Promise<readonly string[]> {
  const quoted = lines.map((line) => `attempt ${line.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ')}`);
  const script = `attempt() {
      before=$(wc -l <${places}/calls)
      ${program} --no-pager "$@" && status=0 || status=$?
      echo "status $status"; tail -n +$((before + 1)) ${places}/calls; printf '\\0'
    }
    ${quoted.join('\n')}`;
  const { stdout } = await host.shell(`exec 2>&1; ${script}`, { timeout: 300_000 });
  return stdout.split('\0').slice(0, -1);
}
