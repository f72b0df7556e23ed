// Writes share/completions/ from the tables of machinectl's verbs and options: node scripts/completions.mjs
import { build } from 'esbuild';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const bundled = await build({
  entryPoints: [path.join(root, 'src/machinectl/completions/files.ts')],
  bundle: true,
  write: false,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  external: ['./verbs/*'], // what carries verbs out is not needed
  logLevel: 'warning',
});
const { completionFiles } = await import(`data:text/javascript,${encodeURIComponent(bundled.outputFiles[0].text)}`);
for (const [name, text] of completionFiles()) writeFileSync(path.join(root, 'share/completions', name), text);
