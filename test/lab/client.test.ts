/** The public library and its examples, with systemd-machined of all ages and with the daemon of this project. */
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { bootHost, systemdVersions, untilTrue, type Daemon, type LabHost, type Suite } from './harness.js';

const hosts: readonly (readonly [Exclude<Suite, 'trixie-libvirt'>, Daemon])[] = [
  ['bookworm', 'real'], ['trixie', 'real'], ['sid', 'real'], ['sid', 'ours'],
];

for (const [suiteName, daemon] of hosts) {
  suite(`the library with ${daemon === 'ours' ? 'our daemon' : `systemd ${systemdVersions[suiteName]}`}`, () => {
    let host: LabHost;
    let container: number;

    before(async () => {
      host = await bootHost({ suite: suiteName, name: `client-${suiteName}-${daemon}`, daemon });
      container = await host.container('c1', { privateUsers: true });
    });
    after(async () => {
      await (host as LabHost | undefined)?.[Symbol.asyncDispose]();
    });

    test('does what it says', async () => {
      const leaders = [await host.leader('plain'), await host.leader('scoped')];
      const program = ['node', '--enable-source-maps', '/src/build/test/lab/inside/client.js'];
      const parameters = [systemdVersions[suiteName], daemon, container, ...leaders].map(String);
      const { status, stdout, stderr } = await host.run([...program, ...parameters], { timeout: 300_000 });
      assert.equal(status, 0, stdout + stderr);
    });

    test('its examples run', async () => {
      const example = (name: string) => `/src/examples/${name}.mjs`;
      const listed = await host.succeed(['node', example('list')]);
      assert.match(listed, /^c1 \(container\): Debian GNU\/Linux/m);

      const watched = '/tmp/watched';
      const watching = host.succeed(['sh', '-c', `node ${example('watch')} ran >${watched}`], { timeout: 120_000 });
      const tells = (line: string) =>
        untilTrue(`the watcher tells '${line}'`, async () => (await host.file(watched)).split('\n').includes(line), 60_000);
      await tells('ready');
      const untilSeen = 'until [ -e /tmp/seen ]; do sleep 0.1; done; exit 7';
      const running = host.run(['node', example('run'), 'ran', 'sh', '-c', untilSeen], { timeout: 120_000 });
      await tells('added ran');
      await host.succeed(['touch', '/tmp/seen']);
      const { status, stdout } = await running;
      assert.deepEqual([status, stdout], [7, 'ran runs in machine-ran.scope\n']);
      await watching;
      assert.match(await host.file(watched), /^present c1$[^]*^ready$[^]*^added ran$[^]*^removed ran$/m);
    });
  });
}
