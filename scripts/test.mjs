// Runs the checks and the tests, all of them or the groups named as arguments, and says plainly what was left out.
// With CI=true nothing may be left out: what cannot run has failed.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { finished } from 'node:stream/promises';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const everythingMustRun = process.env.CI === 'true';
const minute = 60_000;
// What lab/lab calls its trees; all of those that test/lab boots.
const suites = ['bookworm', 'trixie', 'sid', 'trixie-libvirt'];

const checks = {
  typecheck: [['node_modules/.bin/tsc', '-p', 'tsconfig.json']],
  lint: [['node_modules/.bin/eslint', '.'], [process.execPath, 'scripts/check-rooms.mjs'], [process.execPath, 'scripts/api-docs.mjs', '--check']],
  bundle: [[process.execPath, 'scripts/build.mjs'], [process.execPath, 'scripts/build-types.mjs']],
};
// `together`: how many files run at a time; `limit`: the time a file may take.
const tests = {
  unit: { together: 2, limit: 5 * minute },
  behaviour: { together: 2, limit: 5 * minute, needs: ['bundle'] },
  fuzz: { together: 2, limit: 3 * minute },
  lab: { together: 1, limit: 20 * minute, prepare: prepareLab, needs: ['bundle'] },
};

process.chdir(root);
process.env.NODE_OPTIONS = `${process.env.NODE_OPTIONS ?? ''} --enable-source-maps`.trim();

const results = [];
refuseStrays();
for (const name of selectGroups(process.argv.slice(2))) {
  process.stdout.write(`\n=== ${name}\n`);
  const started = Date.now();
  const result = name in checks ? runCheck(checks[name]) : await runTests(name, tests[name]);
  results.push({ name, seconds: (Date.now() - started) / 1000, ...result });
}
report(results);
process.exitCode = verdict(results) === 'passed' ? 0 : 1;

/** The groups to run, in their order; tests need to be compiled whether or not that was asked for. */
function selectGroups(wanted) {
  const all = [...Object.keys(checks), ...Object.keys(tests)];
  const unknown = wanted.filter((name) => !all.includes(name));
  if (unknown.length > 0) {
    process.stderr.write(`no such group: ${unknown.join(', ')} (there are: ${all.join(', ')})\n`);
    process.exit(2);
  }
  if (wanted.length === 0) return all;
  const needed = wanted.flatMap((name) => (name in tests ? ['typecheck', ...(tests[name].needs ?? [])] : []));
  return all.filter((name) => wanted.includes(name) || needed.includes(name));
}

/** A test that no group runs would pass for ever. */
function refuseStrays() {
  const strays = readdirSync('test', { recursive: true })
    .filter((file) => file.endsWith('.test.ts') && !(file.split(path.sep)[0] in tests));
  if (strays.length === 0) return;
  process.stderr.write(`of no group: ${strays.map((file) => path.join('test', file)).join(', ')}\n`);
  process.exit(1);
}

function runCheck(commands) {
  const failed = commands.filter((command) => !succeeds(command)).length;
  return { outcome: failed === 0 ? 'passed' : 'FAILED' };
}

function succeeds([program, ...parameters], options = {}) {
  const { status, error } = spawnSync(program, parameters, { stdio: 'inherit', ...options });
  if (error !== undefined) process.stderr.write(`${program}: ${error.message}\n`);
  return status === 0;
}

async function runTests(name, { together, limit, prepare }) {
  const files = testFiles(name);
  if (files.length === 0) return { outcome: 'empty', note: `no tests in test/${name}`, ...noCounts() };
  const obstacle = prepare?.();
  if (obstacle !== undefined) {
    process.stdout.write(`skipped: ${obstacle}\n`);
    return { outcome: 'SKIPPED', note: obstacle, ...noCounts() };
  }

  const counts = noCounts();
  const events = run({ files, concurrency: together, timeout: limit });
  events.on('test:pass', (event) => count(counts, event, true));
  events.on('test:fail', (event) => count(counts, event, false));
  const output = events.compose(new spec());
  output.pipe(process.stdout, { end: false });
  await finished(output);
  if (name === 'lab') succeeds(['lab/lab', 'reap']);
  return { outcome: counts.failed > 0 || counts.passed === 0 ? 'FAILED' : 'passed', ...counts };
}

function noCounts() {
  return { passed: 0, failed: 0, skipped: 0 };
}

function count(counts, event, passed) {
  if (event.details?.type === 'suite') return;
  // node reports a file in which it found no test as a test that passed
  const isFile = event.file !== undefined && path.resolve(event.name) === event.file;
  if (isFile && passed) process.stdout.write(`no tests in ${event.name}\n`);
  if (event.skip !== undefined) counts.skipped += 1;
  else if (passed && !isFile) counts.passed += 1;
  else counts.failed += 1;
}

/** The compiled form of every test source: build/ may still hold the form of one that is gone. */
function testFiles(group) {
  const folder = path.join('test', group);
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true })
    .filter((file) => file.endsWith('.test.ts'))
    .sort()
    .map((file) => path.resolve('build', folder, file.replace(/\.ts$/, '.js')));
}

/** Makes the lab's trees, two at a time at most. @returns what is in the way of that, if something is. */
function prepareLab() {
  if (process.getuid() !== 0) return 'the lab needs root';
  if (!existsSync('/etc/debian_version')) return 'the lab needs Debian';
  // trixie-libvirt is made from trixie
  const built = succeeds(['bash', '-c', `
    lab/lab build ${suites[0]} ${suites[2]} & first=$!
    lab/lab build ${suites[1]} ${suites[3]} & second=$!
    wait $first; status=$?; wait $second && exit $status`]);
  return built ? undefined : 'the lab could not be built';
}

function report(groups) {
  const total = (column) => groups.reduce((sum, group) => sum + (group[column] ?? 0), 0);
  process.stdout.write('\n');
  row('group', 'outcome', 'passed', 'failed', 'skipped', 'seconds');
  for (const { name, outcome, passed, failed, skipped, seconds, note } of groups) {
    row(name, outcome, passed ?? '-', failed ?? '-', skipped ?? '-', seconds.toFixed(1), note);
  }
  row('all', verdict(groups), total('passed'), total('failed'), total('skipped'), total('seconds').toFixed(1));

  // as node's own summary has it, for whoever reads the end of a log
  const counts = { tests: 0, pass: total('passed'), fail: total('failed'), skipped: total('skipped') };
  counts.tests = counts.pass + counts.fail + counts.skipped;
  process.stdout.write('\n');
  for (const [label, number] of Object.entries(counts)) process.stdout.write(`ℹ ${label} ${number}\n`);
}

function row(name, outcome, passed, failed, skipped, seconds, note = '') {
  const numbers = [passed, failed, skipped, seconds].map((cell) => String(cell).padStart(8)).join('');
  process.stdout.write(`${name.padEnd(12)}${outcome.padEnd(9)}${numbers}  ${note}`.trimEnd() + '\n');
}

/** `passed`, unless something failed, nothing was tested although tests were asked for, or CI left something out. */
function verdict(groups) {
  const tested = groups.filter(({ name }) => name in tests);
  if (groups.some(({ outcome }) => outcome === 'FAILED')) return 'FAILED';
  if (tested.length > 0 && tested.every(({ passed }) => passed === 0)) return 'FAILED';
  if (everythingMustRun && tested.some(({ outcome, skipped }) => outcome === 'SKIPPED' || skipped > 0)) return 'FAILED';
  return 'passed';
}
