// Keeps what V8 makes of dist/machinectl.cjs, and of the functions that are used in any case, for bin/machinectl.
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import path from 'node:path';
import { Script } from 'node:vm';

const dist = fileURLToPath(new URL('../dist/', import.meta.url));
const filename = path.join(dist, 'machinectl.cjs');
// Wrapped in the very same way as by bin/machinectl, or V8 will not have it.
const source = `(function (exports, require, module, __filename, __dirname) { ${readFileSync(filename, 'latin1')}\n})`;
const script = new Script(source, { filename });
const bundle = { exports: {} };
script.runInThisContext()(bundle.exports, createRequire(filename), bundle, filename, dist);
await bundle.exports.main(['--help']);
writeFileSync(path.join(dist, 'machinectl.cache'), script.createCachedData());
