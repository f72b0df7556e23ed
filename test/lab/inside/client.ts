// Runs inside a host of the lab, as root, next to a container 'c1' with a user namespace: the library and whatever daemon
// there is. Arguments: the version of the daemon's release, 'real' or 'ours', PID of c1's leader, two more PIDs to register.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { after, suite, test } from 'node:test';
import { connect, MachinedError, type MachineClient, type MachinedErrorCode, type MachineTerminal } from '../../../src/client/index.js';
import { machineNames, machineOfProcess, machineState } from '../../../src/client/state.js';

const [release = 0, containerLeader = 0, ...leaders] = [process.argv[2], ...process.argv.slice(4)].map(Number);
const isOurs = process.argv[3] === 'ours';
const [plainLeader = 0, scopedLeader = 0] = leaders;

const fails = (code: MachinedErrorCode) => (error: unknown) => {
  assert.ok(error instanceof MachinedError, String(error));
  assert.equal(error.code, code, error.message);
  return true;
};

/** What is shown on a terminal until it ends, or until it shows this. */
async function shown(terminal: MachineTerminal, until?: string): Promise<string> {
  let text = '';
  for await (const bytes of terminal) {
    text += String(bytes);
    if (until !== undefined && text.includes(until)) break;
  }
  return text;
}

test('state files tell of machines without a daemon', async () => {
  assert.ok((await machineNames()).includes('c1'));
  const state = await machineState('c1');
  assert.deepEqual([state?.class, state?.leader?.pid, state?.service], ['container', containerLeader, 'systemd-nspawn']);
  // systemd-nspawn 262 registers less than a unit, and machines are found by their units
  assert.equal(await machineOfProcess(containerLeader), release < 262 ? 'c1' : undefined);
  assert.equal(await machineOfProcess(process.pid), undefined);
  assert.equal(await machineState('nope'), undefined);
});

const transports = release < 257 ? (['auto', 'dbus'] as const) : (['auto', 'varlink', 'dbus'] as const);
for (const transport of transports) {
  suite(`by ${transport}`, { timeout: 300_000 }, () => {
    let connected: Promise<MachineClient> | undefined;
    const client = (): Promise<MachineClient> => (connected ??= connect({ transport }));
    after(async () => (await client()).close());
    /** Varlink of systemd 257 lacks much; there D-Bus would be asked. */
    const lacks = transport === 'varlink' && release < 262;

    test('machines are listed, found and looked into', async () => {
      const registry = await client();
      assert.deepEqual((await registry.list()).map(({ name }) => name).sort(), ['.host', 'c1']);
      const machine = await registry.get('c1');
      assert.deepEqual(
        [machine.class, machine.service, machine.unit, machine.leader?.pid],
        ['container', 'systemd-nspawn', 'systemd-nspawn@c1.service', containerLeader],
      );
      assert.equal((await registry.getByPid(containerLeader)).name, 'c1');
      assert.equal((await registry.osRelease('c1'))['ID'], 'debian');
      const addresses = await registry.addresses('c1');
      for (const { family, address } of addresses) assert.match(address, family === 'ipv4' ? /^[0-9.]+$/ : /^[0-9a-f:]+$/);
      const whole = (await registry.list({ metadata: true })).find(({ name }) => name === 'c1');
      assert.deepEqual([whole?.osRelease?.['ID'], whole?.uidShift], ['debian', await registry.uidShift('c1')]);
      assert.ok((whole?.uidShift ?? 0) > 0);
      await assert.rejects(registry.get('nope'), fails('no-such-machine'));
    });

    test('users are mapped', async () => {
      const registry = await client();
      if (lacks) return assert.rejects(registry.mapUserFrom('c1', 0), fails('not-offered'));
      const shift = await registry.uidShift('c1');
      assert.equal(await registry.mapUserFrom('c1', 0), shift);
      assert.deepEqual(await registry.mapUserTo(shift + 33), { machine: 'c1', id: 33 });
      assert.deepEqual(await registry.mapGroupTo(shift + 34), { machine: 'c1', id: 34 });
    });

    test('machines are registered, watched, and gone again', async () => {
      const registry = await client();
      const heard: string[] = [];
      const stop = new AbortController();
      const watching = (async () => {
        for await (const event of registry.watch({ signal: stop.signal })) heard.push(event.type === 'ready' ? 'ready' : `${event.type} ${event.machine.name}`);
      })();
      const hears = async (what: string) => {
        for (let turn = 0; !heard.includes(what); turn++) {
          assert.ok(turn < 600, `${what} was not heard of: ${heard.join(', ')}`);
          await new Promise((resolve) => setTimeout(resolve, 50));
        }
      };
      await hears('ready');
      assert.ok(heard.includes('present c1'));
      {
        await using held = await registry.register({ name: 'plain', class: 'container', service: 'test', leader: plainLeader });
        await hears('added plain');
        assert.equal((await registry.get(held.name)).leader?.pid, plainLeader);
      }
      await hears('removed plain');
      await assert.rejects(registry.get('plain'), fails('no-such-machine'));
      stop.abort(new Error('enough'));
      await assert.rejects(watching, /enough/);
    });

    // whose leader it is ends with it: so once only
    test('a machine with a scope is signalled and ended', { skip: transport === 'auto' ? false : 'by auto only' }, async () => {
      const registry = await client();
      await registry.register({ name: 'scoped', class: 'container', leader: scopedLeader, allocateUnit: true });
      assert.equal((await registry.get('scoped')).unit, 'machine-scoped.scope');
      await registry.kill('scoped', 'SIGCONT', { whom: 'leader' });
      await registry.terminate('scoped');
      for (let turn = 0; existsSync(`/proc/${scopedLeader}`); turn++) {
        assert.ok(turn < 600, 'the leader goes on');
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    });

    test('terminals show what runs in a machine, and take what is typed', async () => {
      const registry = await client();
      const shell = (script: string) =>
        registry.openTerminal('c1', { mode: 'shell', user: 'root', program: '/bin/sh', arguments: ['/bin/sh', '-c', script], environment: { TERM: 'dumb', WORD: 'a b' } });
      assert.match(await shown(await shell('echo "$WORD"; uname -n; id -un')), /^a b\r\nc1\r\nroot\r\n/);
      const sized = await shell('echo ready; read line; stty size; echo "got $line"');
      let text = '';
      for await (const bytes of sized) {
        text += String(bytes);
        // what is typed before a program runs is lost when its service manager resets the terminal
        if (!/^ready\r\n$/.test(text)) continue;
        sized.resize(100, 30);
        sized.write('typed\n');
      }
      assert.match(text, /30 100\r\ngot typed\r\n/);
      const long = await shell('head -c 300000 /dev/zero | tr "\\0" x; echo; echo end');
      assert.equal((await shown(long)).replaceAll(/[^x]/g, '').length, 300_000);
    });

    // a second one would have to wait until the container's service manager is ready to start a getty again
    test('a login prompt', { skip: transport === 'auto' ? false : 'by auto only' }, async () => {
      const registry = await client();
      const terminal = await registry.openTerminal('c1', { mode: 'login' });
      assert.match(await shown(terminal, 'login:'), /login:/);
      terminal.destroy();
    });

    test('files are copied and bound, and the root directory is opened', async () => {
      const registry = await client();
      const host = `/tmp/client-${transport}`;
      writeFileSync(host, 'from the host\n');
      if (lacks) {
        await assert.rejects(registry.openRoot('c1'), fails('not-offered'));
        return assert.rejects(registry.copyTo('c1', host), fails('not-offered'));
      }
      await registry.copyTo('c1', host);
      {
        using root = await registry.openRoot('c1');
        assert.ok(readdirSync(root.path).includes('etc'));
        assert.equal(readFileSync(`${root.path}${host}`, 'utf8'), 'from the host\n');
      }
      await registry.copyFrom('c1', host, `${host}-back`);
      assert.equal(readFileSync(`${host}-back`, 'utf8'), 'from the host\n');
      rmSync(`${host}-back`);
      if (isOurs) {
        await registry.bind('c1', '/var/lib/machines', '/mnt', { readOnly: true });
        await registry.unbind('c1', '/mnt');
        const told: number[] = [];
        await registry.copyFrom('c1', '/usr/share', `${host}-tree`, { onProgress: ({ filesDone = 0 }) => told.push(filesDone) });
        assert.ok((told.at(-1) ?? 0) > 0, 'nothing was told of the copy');
        rmSync(`${host}-tree`, { recursive: true });
      } else {
        await assert.rejects(registry.unbind('c1', '/mnt'), fails('not-offered'));
      }
    });

    test('commands run, with streams of their own', async () => {
      const registry = await client();
      if (!isOurs) return assert.rejects(registry.exec('c1', ['true']), fails('not-offered'));
      const all = async (stream: AsyncIterable<unknown>): Promise<string> => {
        let text = '';
        for await (const bytes of stream) text += String(bytes);
        return text;
      };
      const settings = { environment: { WORD: 'a b' }, workingDirectory: '/usr' };
      await using command = await registry.exec('c1', ['sh', '-c', 'cat; echo "$WORD" in $PWD; echo wrong >&2; exit 7'], settings);
      command.stdin.end('typed\n');
      const [shownText, errors, ended] = await Promise.all([all(command.stdout), all(command.stderr), command.ended]);
      assert.deepEqual([shownText, errors, ended], ['typed\na b in /usr\n', 'wrong\n', { result: 'exited', status: 7 }]);

      await using sleeper = await registry.exec('c1', ['sleep', '1000']);
      await sleeper.kill('SIGTERM');
      assert.deepEqual(await sleeper.ended, { result: 'signaled', signal: 15 });
      await assert.rejects(sleeper.kill(15), MachinedError);
      await using limited = await registry.exec('c1', ['sleep', '1000'], { timeLimit: 200 });
      assert.equal((await limited.ended).result, 'timeout');

      const abandoned = await registry.exec('c1', ['sleep', '1000']);
      assert.ok(existsSync(`/proc/${abandoned.pid}`));
      await abandoned[Symbol.asyncDispose]();
      for (let turn = 0; existsSync(`/proc/${abandoned.pid}`); turn++) {
        assert.ok(turn < 600, 'the command goes on');
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      await assert.rejects(registry.exec('c1', ['/no/such/program']), MachinedError);
      await assert.rejects(registry.exec('c1', ['true'], { user: 'nobody-at-all' }), fails('no-such-user'));
      await assert.rejects(registry.exec('nope', ['true']), fails('no-such-machine'));
    });

    test('images are cloned, changed and removed', async () => {
      const { images } = await client();
      const found = (await images.list()).find(({ name }) => name === 'c1');
      assert.deepEqual([found?.type, found?.readOnly], ['subvolume', false]);
      await images.clone('c1', 'copied', { readOnly: true });
      assert.equal((await images.get('copied')).readOnly, true);
      await images.setReadOnly('copied', false);
      await images.rename('copied', 'renamed');
      assert.equal((await images.get('renamed', { metadata: true })).osRelease?.['ID'], 'debian');
      await images.remove('renamed');
      await assert.rejects(images.get('renamed'), fails('no-such-image'));
      if (transport === 'varlink') await assert.rejects(images.pool(), fails('not-offered'));
      else assert.equal((await images.pool()).path, '/var/lib/machines');
    });
  });
}
