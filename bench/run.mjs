// Compiles, bundles and runs the benchmarks. See bench/main.ts for what they do and for the options.
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const [first, ...rest] = process.argv.slice(2);
const words = first === 'codec' ? ['build/bench/codec.js', ...rest] : ['build/bench/main.js', ...process.argv.slice(2)];

run('node_modules/.bin/tsc', '-p', 'tsconfig.json');
run(process.execPath, 'scripts/build.mjs');
run(process.execPath, '--enable-source-maps', ...words);

function run(program, ...parameters) {
  const { status, error } = spawnSync(program, parameters, { cwd: root, stdio: 'inherit' });
  if (error !== undefined) process.stderr.write(`${program}: ${error.message}\n`);
  if (status !== 0) process.exit(status ?? 1);
}
