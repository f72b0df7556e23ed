import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync, cpSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

const projectRoot = path.resolve(import.meta.dirname, '../../..');
const enabled = '/etc/systemd/system';
const units = '/usr/local/lib/systemd/system';

/** A made-up project with a built daemon, and a made-up host, so that nothing has to be built or changed for a test. */
class Scene implements Disposable {
  readonly #directory = mkdtempSync(path.join(tmpdir(), 'install-host-'));
  readonly host = path.join(this.#directory, 'host');
  readonly #project = path.join(this.#directory, 'project');

  constructor() {
    mkdirSync(this.host);
    for (const part of ['scripts', 'share']) {
      cpSync(path.join(projectRoot, part), path.join(this.#project, part), { recursive: true });
    }
    this.#addToProject('package.json', '{"type":"module"}');
    for (const name of ['machined', 'machinectl']) {
      this.#addToProject(`bin/${name}`, `#!/usr/bin/env node\n// ${name}\n`);
      chmodSync(path.join(this.#project, `bin/${name}`), 0o755);
      this.#addToProject(`dist/${name}.cjs`, '// one');
    }
    const binaries = { '@koromix/koffi-here': '1', '@koromix/koffi-elsewhere': '1' };
    this.#addToProject('node_modules/koffi/package.json', JSON.stringify({ optionalDependencies: binaries }));
    this.#addToProject('node_modules/@koromix/koffi-here/linux_x64/koffi.node', 'binary');
  }

  rebuild(text: string): void {
    this.#addToProject('dist/machined.cjs', text);
  }

  unbuild(): void {
    rmSync(path.join(this.#project, 'dist'), { recursive: true });
  }

  #addToProject(name: string, text: string): void {
    write(path.join(this.#project, name), text);
  }

  add(name: string, text = ''): void {
    write(path.join(this.host, name), text);
  }

  read(name: string): string {
    return readFileSync(path.join(this.host, name), 'utf8');
  }

  target(name: string): string {
    return readlinkSync(path.join(this.host, name));
  }

  /** Every path of the host, with what is there: 'directory', '-> TARGET', or mode and content. */
  tree(): Record<string, string> {
    const found: Record<string, string> = {};
    for (const name of readdirSync(this.host, { recursive: true }).map(String).sort()) {
      const at = path.join(this.host, name);
      const status = lstatSync(at);
      if (status.isSymbolicLink()) found[`/${name}`] = `-> ${readlinkSync(at)}`;
      else if (status.isDirectory()) found[`/${name}`] = 'directory';
      else found[`/${name}`] = `${(status.mode & 0o777).toString(8)} ${readFileSync(at, 'utf8')}`;
    }
    return found;
  }

  run(...words: string[]): { status: number | null; stdout: string; stderr: string } {
    const script = path.join(this.#project, 'scripts/install-host.mjs');
    return spawnSync(process.execPath, [script, ...words, '--root', this.host], { encoding: 'utf8' });
  }

  succeed(...words: string[]): string {
    const { status, stdout, stderr } = this.run(...words);
    assert.equal(status, 0, stderr);
    return stdout;
  }

  [Symbol.dispose](): void {
    rmSync(this.#directory, { recursive: true });
  }
}

function write(at: string, text: string): void {
  mkdirSync(path.dirname(at), { recursive: true });
  writeFileSync(at, text);
}

/** A Debian host with systemd-container. */
function debian(): Scene {
  const scene = new Scene();
  scene.add('/usr/lib/systemd/systemd');
  scene.add('/usr/lib/systemd/system/systemd-machined.service', 'theirs');
  scene.add('/usr/share/dbus-1/system.d/org.freedesktop.machine1.conf', 'theirs');
  scene.add('/usr/share/dbus-1/system-services/org.freedesktop.machine1.service', 'theirs');
  scene.add('/usr/share/polkit-1/actions/org.freedesktop.machine1.policy', 'theirs');
  return scene;
}

test('the program, the library and the binaries that are there are copied, and runnable as machined', () => {
  using scene = debian();
  scene.succeed('install');
  const tree = scene.tree();
  for (const name of ['machined', 'machinectl']) {
    assert.equal(tree[`/usr/local/lib/machined/bin/${name}`], `755 #!${process.execPath}\n// ${name}\n`);
    assert.equal(scene.read(`/usr/local/bin/${name}`), `#!${process.execPath}\n// ${name}\n`);
  }
  assert.equal(tree['/usr/local/lib/machined/dist/machined.cjs'], '644 // one');
  assert.ok('/usr/local/lib/machined/node_modules/koffi/package.json' in tree);
  assert.equal(tree['/usr/local/lib/machined/node_modules/@koromix/koffi-here/linux_x64/koffi.node'], '644 binary');
  assert.equal(scene.target('/usr/local/bin/machined'), '../lib/machined/bin/machined');
});

test('the units take the names of systemd-machined and of activation by the bus', () => {
  using scene = debian();
  scene.succeed('install');
  const command = new RegExp(`^ExecStart=${process.execPath} /usr/local/lib/machined/bin/machined$`, 'm');
  assert.match(scene.read(`${units}/machined.service`), command);
  assert.equal(scene.target(`${enabled}/systemd-machined.service`), `${units}/machined.service`);
  assert.equal(scene.target(`${enabled}/dbus-org.freedesktop.machine1.service`), `${units}/machined.service`);
  assert.equal(scene.target(`${enabled}/systemd-machined.socket`), `${units}/machined.socket`);
  assert.equal(scene.target(`${enabled}/sockets.target.wants/machined.socket`), `${units}/machined.socket`);
});

test('the links are those that the [Install] sections ask for', () => {
  using scene = debian();
  scene.succeed('install');
  const links = readdirSync(path.join(scene.host, enabled), { recursive: true })
    .map(String)
    .filter((name) => lstatSync(path.join(scene.host, enabled, name)).isSymbolicLink());
  const asked = ['machined.service', 'machined.socket'].flatMap((unit) => {
    const text = scene.read(`${units}/${unit}`);
    const aliases = /^Alias=(.*)$/m.exec(text)?.[1]?.split(' ') ?? [];
    const wantedBy = /^WantedBy=(.*)$/m.exec(text)?.[1]?.split(' ') ?? [];
    return [...aliases, ...wantedBy.map((target) => `${target}.wants/${unit}`)];
  });
  assert.deepEqual(links.sort(), asked.sort());
});

test("machinectl and its completions come before a distribution's, and somebody's own moves aside", () => {
  using scene = debian();
  scene.add('/usr/bin/machinectl', 'theirs');
  scene.add('/usr/share/bash-completion/completions/machinectl', 'theirs');
  scene.add('/usr/local/bin/machinectl', "an administrator's");
  const before = scene.tree();
  scene.succeed('install');
  assert.equal(scene.target('/usr/local/bin/machinectl'), '../lib/machined/bin/machinectl');
  const completions = { machinectl: 'bash-completion/completions', _machinectl: 'zsh/site-functions', 'machinectl.fish': 'fish/vendor_completions.d' };
  for (const [name, directory] of Object.entries(completions)) {
    const source = path.join(projectRoot, 'share/completions', name === 'machinectl' ? 'machinectl.bash' : name);
    assert.equal(scene.read(`/usr/local/share/${directory}/${name}`), readFileSync(source, 'utf8'));
  }
  for (const name of ['/usr/bin/machinectl', '/usr/share/bash-completion/completions/machinectl']) assert.equal(scene.read(name), 'theirs');
  scene.succeed('uninstall');
  assert.deepEqual(scene.tree(), before);
});

test('files that a package has put there stay as they are', () => {
  using scene = debian();
  const before = scene.tree();
  scene.succeed('install');
  const after = scene.tree();
  for (const [name, content] of Object.entries(before)) assert.equal(after[name], content, name);
  assert.equal(after['/etc/dbus-1/system.d/org.freedesktop.machine1.conf'], undefined);
  assert.equal(after['/usr/local/share/dbus-1/system-services/org.freedesktop.machine1.service'], undefined);
});

test('a host without them gets the bus and polkit files', () => {
  using scene = new Scene();
  scene.succeed('install');
  assert.match(scene.read('/etc/dbus-1/system.d/org.freedesktop.machine1.conf'), /<busconfig>/);
  assert.match(scene.read('/usr/share/polkit-1/actions/org.freedesktop.machine1.policy'), /<policyconfig>/);
  const activation = scene.read('/usr/local/share/dbus-1/system-services/org.freedesktop.machine1.service');
  assert.match(activation, new RegExp(`^Exec=${process.execPath} /usr/local/lib/machined/bin/machined$`, 'm'));
});

test('a host gets the files of the service manager that it has', () => {
  using neither = new Scene();
  neither.succeed('install');
  assert.deepEqual(Object.keys(neither.tree()).filter((name) => /init\.d|systemd/.test(name)), []);

  using openrc = new Scene();
  openrc.add('/sbin/openrc-run');
  openrc.succeed('install');
  assert.equal(openrc.tree()[units], undefined);
  const script = openrc.tree()['/etc/init.d/machined'] ?? '';
  assert.match(script, /^755 #!\/sbin\/openrc-run/);
  assert.ok(script.includes(`\ncommand="${process.execPath}"\ncommand_args="/usr/local/lib/machined/bin/machined"\n`));
});

test('no placeholder is left over', () => {
  using scene = new Scene();
  scene.add('/usr/lib/systemd/systemd');
  scene.add('/sbin/openrc-run');
  scene.succeed('install');
  for (const [name, content] of Object.entries(scene.tree())) {
    assert.doesNotMatch(content, /@(machined|node|program)@/, name);
  }
});

test('uninstalling leaves the host as it was', () => {
  for (const prepare of [debian, () => new Scene()]) {
    using scene = prepare();
    const before = scene.tree();
    scene.succeed('install');
    assert.notDeepEqual(scene.tree(), before);
    scene.succeed('uninstall');
    assert.deepEqual(scene.tree(), before);
  }
});

test("an administrator's own unit moves aside, and comes back", () => {
  using scene = debian();
  scene.add(`${enabled}/systemd-machined.service`, "an administrator's");
  symlinkSync('/dev/null', path.join(scene.host, enabled, 'systemd-machined.socket'));
  const before = scene.tree();
  scene.succeed('install');
  assert.equal(scene.target(`${enabled}/systemd-machined.service`), `${units}/machined.service`);
  scene.succeed('uninstall');
  assert.deepEqual(scene.tree(), before);
});

test('installing again replaces what was there, and still can be undone', () => {
  using scene = debian();
  scene.add(`${enabled}/systemd-machined.service`, "an administrator's");
  const before = scene.tree();
  scene.succeed('install');
  scene.rebuild('// two');
  scene.succeed('install');
  assert.equal(scene.read('/usr/local/lib/machined/dist/machined.cjs'), '// two');
  scene.succeed('uninstall');
  assert.deepEqual(scene.tree(), before);
});

test('a file that has changed since is left alone, with its directory', () => {
  using scene = new Scene();
  scene.succeed('install');
  scene.add('/usr/share/polkit-1/actions/org.freedesktop.machine1.policy', "a package's");
  assert.match(scene.succeed('uninstall'), /left alone.*org\.freedesktop\.machine1\.policy/);
  assert.equal(scene.read('/usr/share/polkit-1/actions/org.freedesktop.machine1.policy'), "a package's");
});

test('what moved aside is never overwritten', () => {
  using scene = debian();
  scene.add(`${enabled}/systemd-machined.service`, 'first');
  scene.add(`${enabled}/systemd-machined.service.before-machined`, 'older');
  const { status, stderr } = scene.run('install');
  assert.equal(status, 1);
  assert.match(stderr, /systemd-machined\.service\.before-machined is in the way/);
  assert.equal(scene.read(`${enabled}/systemd-machined.service.before-machined`), 'older');
});

test('an interrupted removal can be taken up again', () => {
  using scene = debian();
  const before = scene.tree();
  scene.succeed('install');
  rmSync(path.join(scene.host, '/usr/local/lib/machined/dist'), { recursive: true });
  rmSync(path.join(scene.host, enabled, 'systemd-machined.service'));
  scene.succeed('uninstall');
  assert.deepEqual(scene.tree(), before);
});

test('a dry run says what it would do, and does nothing', () => {
  using scene = debian();
  const before = scene.tree();
  const said = scene.succeed('install', '--dry-run');
  assert.deepEqual(scene.tree(), before);
  assert.ok(said.includes(`would link ${enabled}/systemd-machined.service to ${units}/machined.service`));

  scene.succeed('install');
  const installed = scene.tree();
  assert.match(scene.succeed('uninstall', '--dry-run'), /would remove \/usr\/local\/bin\/machined/);
  assert.deepEqual(scene.tree(), installed);
});

test('mistakes are said in one line, and change nothing', () => {
  using scene = debian();
  const before = scene.tree();
  assertFails(scene, ['uninstall'], /^Nothing to take off: .*manifest\.json/);
  assertFails(scene, [], /^Usage: /);
  assertFails(scene, ['instal'], /^Usage: /);
  assertFails(scene, ['install', 'uninstall'], /^Usage: /);
  scene.unbuild();
  assertFails(scene, ['install'], /npm run build/);
  assert.deepEqual(scene.tree(), before);
});

function assertFails(scene: Scene, words: string[], message: RegExp): void {
  const { status, stderr } = scene.run(...words);
  assert.equal(status, 1);
  assert.match(stderr, message);
  assert.equal(stderr.trimEnd().split('\n').length, 1);
}
