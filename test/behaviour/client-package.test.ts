// The library as it is packed: what a program that depends on it gets, and what it does not get.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';

const projectRoot = path.resolve(import.meta.dirname, '../../..');
const dist = path.join(projectRoot, 'dist');
const directory = mkdtempSync(path.join(tmpdir(), 'machined-consumer-'));
const installed = path.join(directory, 'node_modules/machined');

/** @returns what the program wrote to standard output. */
function succeed(program: string, parameters: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(program, parameters, { cwd: directory, encoding: 'utf8', timeout: 120_000 });
  assert.equal(status, 0, `${program} ${parameters.join(' ')}: ${error?.message ?? ''}\n${stdout}${stderr}`);
  return stdout;
}

before(() => {
  succeed('npm', ['pack', projectRoot, '--ignore-scripts', '--silent', '--pack-destination', directory]);
  const [packed] = readdirSync(directory).filter((name) => name.endsWith('.tgz'));
  mkdirSync(installed, { recursive: true });
  succeed('tar', ['-xf', packed ?? assert.fail('nothing was packed'), '-C', installed, '--strip-components=1']);
  mkdirSync(path.join(directory, 'node_modules/@types'));
  for (const name of ['koffi', '@types/node', 'undici-types']) {
    symlinkSync(path.join(projectRoot, 'node_modules', name), path.join(directory, 'node_modules', name));
  }
  writeFileSync(path.join(directory, 'package.json'), '{ "type": "module" }');
});
after(() => rmSync(directory, { recursive: true }));

const consumer = `
import { connect, isMachinedError, machineVarlink, managerInterface, BusClient, VarlinkClient, type Machine } from 'machined/client';
import { machineNames, machineState } from 'machined/client/state';

const nowhere = { socket: '/nonexistent/socket', ownSocket: '/nonexistent/own', busAddress: 'unix:path=/nonexistent/bus' };

export async function names(): Promise<readonly string[]> {
  await using client = await connect(nowhere);
  const machines: readonly Machine[] = await client.list({ metadata: true, signal: AbortSignal.timeout(1000) });
  for await (const event of client.watch()) if (event.type !== 'ready') event.machine.leader?.pid.toFixed();
  await using held = await client.register({ name: 'web', class: 'container' });
  // @ts-expect-error: there is no such class
  await client.register({ name: 'web', class: 'host' });
  return [held.name, ...machines.map(({ name }) => name)];
}

export async function typed(varlink: VarlinkClient, bus: BusClient): Promise<string> {
  const { ptyPath } = await varlink.call(machineVarlink, 'Open', { name: 'web', mode: 'login' });
  // @ts-expect-error: there is no such mode
  await varlink.call(machineVarlink, 'Open', { name: 'web', mode: 'window' });
  const { machine } = await bus.call(managerInterface, '/org/freedesktop/machine1', 'GetMachineByPID', { pid: 1 });
  // @ts-expect-error: a PID is a number
  await bus.call(managerInterface, '/org/freedesktop/machine1', 'GetMachineByPID', { pid: '1' });
  return ptyPath + machine;
}

names().then(
  () => process.exit(1),
  async (error: unknown) => {
    const code = isMachinedError(error) ? error.code : String(error);
    const known = [await machineNames('/nonexistent'), await machineState('web', '/nonexistent')];
    console.log(JSON.stringify({ code, known }));
  },
);
`;

test('a strict TypeScript program compiles against the packed library, and runs', () => {
  writeFileSync(path.join(directory, 'main.ts'), consumer);
  const options = {
    target: 'ES2022', module: 'NodeNext', lib: ['ES2023', 'ESNext.Disposable'], types: ['node'], strict: true, skipLibCheck: false,
    noUncheckedIndexedAccess: true, exactOptionalPropertyTypes: true, rootDir: '.', outDir: 'out',
  };
  writeFileSync(path.join(directory, 'tsconfig.json'), JSON.stringify({ compilerOptions: options, files: ['main.ts'] }));
  succeed(process.execPath, [path.join(projectRoot, 'node_modules/typescript/bin/tsc'), '-p', '.']);
  assert.deepEqual(JSON.parse(succeed(process.execPath, ['out/main.js'])), { code: 'unreachable', known: [[], null] });
});

test('require() loads it, too, and nothing else of the package is exported', () => {
  const script = `const { connect } = require('machined/client'); console.log(typeof connect);
    try { require('machined/dist/machined.cjs'); } catch (error) { console.log(error.code); }`;
  writeFileSync(path.join(directory, 'main.cjs'), script);
  assert.equal(succeed(process.execPath, ['--no-warnings', 'main.cjs']), 'function\nERR_PACKAGE_PATH_NOT_EXPORTED\n');
});

/** The files that a bundle consists of, as its source map has them: 'client/index.ts'. */
function sourcesOf(bundle: string): readonly string[] {
  const map = JSON.parse(readFileSync(path.join(dist, `${bundle}.map`), 'utf8')) as { readonly sources: readonly string[] };
  return map.sources.map((source) => path.relative(path.join(projectRoot, 'src'), path.resolve(dist, source)));
}

/** A bundle and those that it loads at once; imports within functions are for later. */
function loadedWith(bundle: string): ReadonlySet<string> {
  const text = readFileSync(path.join(dist, bundle), 'utf8');
  const found = [...text.matchAll(/(?:\bfrom|\bimport)\s*"\.\/(client[^"]*\.mjs)"/g)].map(([, name]) => name as string);
  return new Set([bundle, ...found.flatMap((name) => [...loadedWith(name)])]);
}

test('it has nothing of the daemon, and the native library is for those who pass descriptors', () => {
  const bundles = readdirSync(dist).filter((name) => /^client.*\.mjs$/.test(name));
  const sources = bundles.flatMap(sourcesOf);
  assert.ok(sources.includes('client/client.ts') && sources.includes('host/kernel/unix-socket.ts'));
  const rooms = new Set(sources.map((source) => source.split('/')[0]));
  for (const room of ['main', 'front', 'service', 'machinectl']) assert.ok(!rooms.has(room), `${room} is in the library`);
  const ofHost = new Set(sources.filter((source) => source.startsWith('host/')).map((source) => path.dirname(source)));
  assert.deepEqual([...ofHost].sort(), ['host', 'host/kernel', 'host/units']);
  assert.deepEqual(sources.filter((source) => /^host\/(units\/)?[^/]+$/.test(source)).sort(), ['host/state-file.ts', 'host/units/cgroup-path.ts']);

  for (const entry of ['client.mjs', 'client-state.mjs']) {
    for (const bundle of loadedWith(entry)) {
      assert.ok(!/\bfrom\s*"koffi"/.test(readFileSync(path.join(dist, bundle), 'utf8')), `${entry} loads koffi by ${bundle}`);
    }
  }
  assert.ok(bundles.some((bundle) => /\bfrom\s*"koffi"/.test(readFileSync(path.join(dist, bundle), 'utf8'))), 'nothing loads it at all');
});

test('a program that only asks loads no native library', () => {
  const script = `import { connect } from 'machined/client'; import { readFileSync } from 'node:fs';
    await connect({ socket: '/nonexistent', busAddress: 'unix:path=/nonexistent' }).catch(() => undefined);
    console.log(readFileSync('/proc/self/maps', 'utf8').includes('koffi'));`;
  writeFileSync(path.join(directory, 'lazy.mjs'), script);
  assert.equal(succeed(process.execPath, ['lazy.mjs']), 'false\n');
  assert.ok(existsSync(path.join(installed, 'dist/types/client/index.d.ts')));
});
