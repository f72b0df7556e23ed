// The declarations of the library, for TypeScript, into dist/types. Apart from build.mjs, because it takes seconds.
import { spawnSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const types = path.join(root, 'dist/types');

rmSync(types, { recursive: true, force: true });
const compiler = path.join(root, 'node_modules/.bin/tsc');
const { status } = spawnSync(compiler, ['-p', path.join(root, 'tsconfig.types.json')], { stdio: 'inherit' });
if (status !== 0) process.exit(1);
// dist/package.json says that the scripts there are CommonJS; the library is not.
writeFileSync(path.join(types, 'package.json'), '{ "type": "module" }\n');
