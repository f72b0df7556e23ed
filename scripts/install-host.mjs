// Puts the built daemon and machinectl on this host in the place of systemd-machined and its machinectl, or takes them off
// again.
//
//   node scripts/install-host.mjs install|uninstall [--root DIR] [--dry-run]
//
// --root DIR works in the file system tree at DIR (for an image or a package) and starts and stops nothing; --dry-run
// only says what would be done. A manifest lists every file that was made and what had to move out of its way, so that
// uninstalling leaves the host as it was.
import { createHash } from 'node:crypto';
import { spawnSync } from 'node:child_process';
import {
  chmodSync, copyFileSync, existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, renameSync,
  rmdirSync, rmSync, statSync, symlinkSync, writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const project = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const home = '/usr/local/lib/machined';
const manifestFile = `${home}/manifest.json`;
const program = `${home}/bin/machined`;
const units = '/usr/local/lib/systemd/system';
const enabled = '/etc/systemd/system';
const ourUnits = ['machined.socket', 'machined.service'];
const theirUnits = ['systemd-machined.socket', 'systemd-machined.service'];
const movedAside = '.before-machined';
const rehash = 'A shell that has run machinectl before may look for it in the old place: hash -r.';

const { positionals, values: options } = parseArgs({
  allowPositionals: true,
  options: { root: { type: 'string', default: '/' }, 'dry-run': { type: 'boolean', default: false } },
});
const root = path.resolve(options.root);
const dryRun = options['dry-run'];
const usage = 'Usage: install-host.mjs install|uninstall [--root DIR] [--dry-run]';

// dbus-daemon and polkit read their files as users of their own
process.umask(0o022);
try {
  if (positionals.length !== 1) throw new Error(usage);
  if (isLive() && !dryRun && process.getuid() !== 0) throw new Error('Only root may change this host: use sudo.');
  if (positionals[0] === 'install') install();
  else if (positionals[0] === 'uninstall') uninstall();
  else throw new Error(usage);
} catch (error) {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}

function install() {
  checkBuilt();
  checkNode();
  const replaced = readManifest();
  const toRestart = replaced?.toRestart ?? activeUnits(theirUnits);
  const wasActive = activeUnits([...ourUnits, ...theirUnits]).some((unit) => unit.endsWith('.service'));

  // The units go by the same names before and after, so that systemd must not see them change while they run.
  systemctl('stop', activeUnits([...ourUnits, ...theirUnits]));
  if (replaced !== undefined) removeAll(replaced.entries);
  const steps = plan();
  const entries = [...missingDirectories(steps), ...steps.map(entryOf)];
  // Written first: an installation that fails half way can be taken off as well.
  change(`write ${manifestFile}`, () => {
    mkdirSync(inRoot(home), { recursive: true });
    writeFileSync(inRoot(manifestFile), JSON.stringify({ version: 1, toRestart, entries }, undefined, 2) + '\n');
  });
  steps.forEach(perform);
  systemctl('daemon-reload');
  if (steps.some((step) => step.path === `${units}/machined.socket`)) {
    systemctl('start', wasActive ? ourUnits : ['machined.socket']);
  }
  sayWhatIsNext();
}

function uninstall() {
  const manifest = readManifest();
  if (manifest === undefined) throw new Error(`Nothing to take off: there is no ${inRoot(manifestFile)}.`);
  systemctl('stop', activeUnits(ourUnits));
  if (isLive() && exists('/etc/init.d/machined')) stopUnderOpenrc();
  removeAll(manifest.entries);
  systemctl('daemon-reload');
  systemctl('start', manifest.toRestart);
  say(`\nmachined is off this host. ${rehash}`);
}

function checkBuilt() {
  if (['machined', 'machinectl'].every((name) => existsSync(path.join(project, `dist/${name}.cjs`)))) return;
  throw new Error("This is not built: run 'npm run build'.");
}

/** The daemon runs as root, with the node that runs this: nobody else may be able to change it. */
function checkNode() {
  const node = process.execPath;
  if (!/^[\w./+-]+$/.test(node)) throw new Error(`A unit cannot name ${node}: install Node.js elsewhere.`);
  if (isLive() && statSync(node).uid !== 0) {
    throw new Error(`${node} does not belong to root: install Node.js for all users, and run this with that.`);
  }
}

/**
 * What is to be made, in order. A step is { kind: 'copy', path, from, mode }, { kind: 'text', path, text, mode } or
 * { kind: 'link', path, target }.
 */
function plan() {
  const steps = [...programSteps(), ...commandSteps(), ...busSteps()];
  if (['/usr/lib/systemd/systemd', '/lib/systemd/systemd'].some(exists)) steps.push(...systemdSteps());
  if (['/sbin/openrc-run', '/usr/sbin/openrc-run'].some(exists)) {
    steps.push(template('openrc/machined', '/etc/init.d/machined', 0o755));
  }
  return steps;
}

/** The daemon and machinectl, and the one library that they use. */
function programSteps() {
  const library = JSON.parse(readFileSync(path.join(project, 'node_modules/koffi/package.json'), 'utf8'));
  const binaries = Object.keys(library.optionalDependencies ?? {}).map((name) => `node_modules/${name}`);
  return ['package.json', 'bin', 'dist', 'node_modules/koffi', ...binaries]
    .filter((name) => existsSync(path.join(project, name)))
    .flatMap(filesBelow)
    .map((name) => (name.startsWith('bin/') ? command(name) : copy(name, `${home}/${name}`, modeOf(name))));
}

/** With the node that runs this: that of a user's PATH, if there is one, may be any. */
function command(name) {
  const text = readFileSync(path.join(project, name), 'utf8').replace(/^#!.*/, `#!${process.execPath}`);
  return { kind: 'text', path: `${home}/${name}`, text, mode: 0o755 };
}

/**
 * Every PATH has /usr/local/bin before /usr/bin: machinectl is this project's then, and a distribution's stays where it is,
 * for whoever names it by its path. Shells look for completions in /usr/local/share first, too.
 */
function commandSteps() {
  const commands = ['machined', 'machinectl'].map((name) => link(`/usr/local/bin/${name}`, `../lib/machined/bin/${name}`));
  const completions = [
    ['machinectl.bash', 'bash-completion/completions/machinectl'],
    ['_machinectl', 'zsh/site-functions/_machinectl'],
    ['machinectl.fish', 'fish/vendor_completions.d/machinectl.fish'],
  ];
  return [...commands, ...completions.map(([file, at]) => copy(`share/completions/${file}`, `/usr/local/share/${at}`, 0o644))];
}

/** The bus and polkit are told once: where a distribution's package has done so, its files stay. */
function busSteps() {
  const name = 'org.freedesktop.machine1';
  const files = [
    [`dbus-1/system.d/${name}.conf`, '/etc'],
    ['dbus-1/system.d/io.machined.conf', '/etc'],
    [`dbus-1/system-services/${name}.service`, '/usr/local/share'],
    // polkit before 124 looks nowhere else
    [`polkit-1/actions/${name}.policy`, '/usr/share'],
  ];
  return files
    .filter(([file, ours]) => !exists(`/usr/share/${file}`) && !exists(`${ours}/${file}`))
    .map(([file, ours]) => template(file, `${ours}/${file}`, 0o644));
}

/** The links are those that 'systemctl enable' makes out of the units' [Install] sections. */
function systemdSteps() {
  const [socket, service] = ourUnits.map((unit) => `${units}/${unit}`);
  return [
    template('systemd/machined.service', service, 0o644),
    template('systemd/machined.socket', socket, 0o644),
    link(`${enabled}/dbus-org.freedesktop.machine1.service`, service),
    link(`${enabled}/systemd-machined.service`, service),
    link(`${enabled}/systemd-machined.socket`, socket),
    link(`${enabled}/sockets.target.wants/machined.socket`, socket),
  ];
}

/** A file of share/ with the paths of this host filled in. */
function template(source, target, mode) {
  const text = readFileSync(path.join(project, 'share', source), 'utf8')
    .replaceAll('@machined@', `${process.execPath} ${program}`)
    .replaceAll('@node@', process.execPath)
    .replaceAll('@program@', program);
  return { kind: 'text', path: target, text, mode };
}

function copy(name, at, mode) {
  return { kind: 'copy', path: at, from: path.join(project, name), mode };
}

function link(at, target) {
  return { kind: 'link', path: at, target };
}

function entryOf(step) {
  if (step.kind === 'link') return { kind: 'link', path: step.path, target: step.target };
  const content = step.kind === 'copy' ? readFileSync(step.from) : step.text;
  return { kind: 'file', path: step.path, sha256: digest(content) };
}

function missingDirectories(steps) {
  const missing = new Set();
  for (const step of steps) {
    for (let at = path.dirname(step.path); lstat(at) === undefined; at = path.dirname(at)) missing.add(at);
  }
  return [...missing].sort().map((at) => ({ kind: 'directory', path: at }));
}

function perform(step) {
  const at = inRoot(step.path);
  change(step.kind === 'link' ? `link ${step.path} to ${step.target}` : `write ${step.path}`, () => {
    mkdirSync(path.dirname(at), { recursive: true });
    if (lstat(step.path) !== undefined) moveAside(at);
    if (step.kind === 'link') return symlinkSync(step.target, at);
    if (step.kind === 'copy') copyFileSync(step.from, at);
    else writeFileSync(at, step.text);
    chmodSync(at, step.mode);
  });
}

function moveAside(at) {
  if (lstatSync(at + movedAside, { throwIfNoEntry: false }) !== undefined) {
    throw new Error(`${at}${movedAside} is in the way: remove it, or put it back to ${at}.`);
  }
  renameSync(at, at + movedAside);
}

/** The manifest goes after all the files in it, so that an interrupted removal can be taken up again. */
function removeAll(entries) {
  entries.filter((entry) => entry.kind !== 'directory').forEach(remove);
  change(`remove ${manifestFile}`, () => rmSync(inRoot(manifestFile)));
  entries.filter((entry) => entry.kind === 'directory').reverse().forEach(removeDirectory);
}

function remove(entry) {
  const at = inRoot(entry.path);
  if (lstat(entry.path) !== undefined) {
    if (!isUnchanged(entry)) return say(`left alone, because it has changed: ${entry.path}`);
    change(`remove ${entry.path}`, () => rmSync(at));
  }
  if (lstat(entry.path + movedAside) === undefined) return;
  change(`put back ${entry.path}`, () => renameSync(at + movedAside, at));
}

/** Others may have put something into it. */
function removeDirectory({ path: name }) {
  if (!lstat(name)?.isDirectory()) return;
  if (dryRun || readdirSync(inRoot(name)).length === 0) change(`remove ${name}`, () => rmdirSync(inRoot(name)));
}

function isUnchanged(entry) {
  const found = lstat(entry.path);
  if (entry.kind === 'link') return found.isSymbolicLink() && readlinkSync(inRoot(entry.path)) === entry.target;
  return found.isFile() && digest(readFileSync(inRoot(entry.path))) === entry.sha256;
}

/** undefined where nothing was installed. */
function readManifest() {
  if (!exists(manifestFile)) return undefined;
  const manifest = JSON.parse(readFileSync(inRoot(manifestFile), 'utf8'));
  if (manifest.version !== 1) throw new Error(`${manifestFile} is another version's: uninstall with that one.`);
  return manifest;
}

/** Every file below a file or directory of the project, by its name relative to the project. */
function filesBelow(name) {
  if (!lstatSync(path.join(project, name)).isDirectory()) return [name];
  return readdirSync(path.join(project, name)).flatMap((child) => filesBelow(`${name}/${child}`));
}

function modeOf(name) {
  return lstatSync(path.join(project, name)).mode & 0o100 ? 0o755 : 0o644;
}

function digest(content) {
  return createHash('sha256').update(content).digest('hex');
}

function inRoot(name) {
  return path.join(root, name);
}

function exists(name) {
  return existsSync(inRoot(name));
}

/** undefined where there is nothing; a link that leads nowhere is something. */
function lstat(name) {
  return lstatSync(inRoot(name), { throwIfNoEntry: false });
}

/** Whether services may be started and stopped: this is the running host, not a tree beside it. */
function isLive() {
  return root === '/';
}

/** sd_booted(3). */
function hasSystemd() {
  return isLive() && existsSync('/run/systemd/system');
}

function activeUnits(names) {
  if (!hasSystemd()) return [];
  return names.filter((unit) => spawnSync('systemctl', ['is-active', '--quiet', unit]).status === 0);
}

function stopUnderOpenrc() {
  run(['rc-service', '--ifstarted', 'machined', 'stop']);
  const isIn = (level) => lstat(`/etc/runlevels/${level}/machined`) !== undefined;
  const runlevels = readdirSync('/etc/runlevels').filter(isIn);
  if (runlevels.length > 0) run(['rc-update', 'delete', 'machined', ...runlevels]);
}

/** Does nothing for an empty list of units. */
function systemctl(verb, names) {
  if (hasSystemd() && names?.length !== 0) run(['systemctl', verb, ...(names ?? [])]);
}

function run(command) {
  change(command.join(' '), () => {
    const { status, error } = spawnSync(command[0], command.slice(1), { stdio: 'inherit' });
    if (error !== undefined) throw error;
    if (status !== 0) throw new Error(`'${command.join(' ')}' failed. Undo with 'npm run uninstall-host'.`);
  });
}

function say(text) {
  process.stdout.write(`${text}\n`);
}

function change(what, action) {
  say(dryRun ? `would ${what}` : what);
  if (!dryRun) action();
}

function sayWhatIsNext() {
  if (dryRun) return;
  say(`\nmachined is in ${inRoot(home)}, and machinectl is that of it.`);
  say(`To take it off again: npm run uninstall-host${isLive() ? '' : ` -- --root ${root}`}`);
  if (isLive()) say(`${rehash}\nNext, type:\n${nextCommands().map((words) => `  ${words}`).join('\n')}`);
}

function nextCommands() {
  if (hasSystemd()) return ['systemctl status machined', 'machinectl list'];
  if (exists('/etc/init.d/machined')) return ['rc-update add machined default', 'rc-service machined start'];
  return ['machined'];
}
