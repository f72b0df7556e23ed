// Import arrows point one way: each room may import only the rooms named for it here. See docs/map.md.
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.join(path.dirname(path.dirname(fileURLToPath(import.meta.url))), 'src');
const mayImport = {
  wire: [],
  domain: [],
  contract: ['domain', 'wire'],
  ports: ['domain'],
  service: ['domain', 'contract', 'ports'],
  transport: ['wire', 'ports', 'domain'],
  front: ['domain', 'contract', 'ports', 'service', 'transport', 'wire'],
  host: ['domain', 'ports', 'transport', 'wire'],
  main: ['domain', 'contract', 'ports', 'service', 'transport', 'front', 'host', 'wire'],
};
// Rooms that know nothing of the machine they run on: no node: module, no library.
const pure = new Set(['wire', 'domain', 'contract', 'ports', 'service', 'transport']);

// import … from 'x', export … from 'x', import 'x', import('x')
const importStatement = /^(?:import|export)\b[^;'"`]*?\bfrom\s+'([^']+)'|^import\s+'([^']+)'|\bimport\(\s*'([^']+)'/gm;

const problems = [];
for (const file of readdirSync(root, { recursive: true }).map(String)) {
  if (!file.endsWith('.ts')) continue;
  const room = file.split(path.sep)[0];
  if (!(room in mayImport)) {
    problems.push(`${file}: there is no room '${room}'`);
    continue;
  }
  const text = readFileSync(path.join(root, file), 'utf8');
  for (const [, ...found] of text.matchAll(importStatement)) {
    const specifier = found.find((part) => part !== undefined);
    if (!specifier.startsWith('.')) {
      if (pure.has(room)) problems.push(`${file}: imports ${specifier}, but ${room} is pure`);
      continue;
    }
    const target = path.relative(root, path.resolve(root, path.dirname(file), specifier)).split(path.sep)[0];
    if (target !== room && !mayImport[room].includes(target)) problems.push(`${file}: ${room} may not import ${target}`);
  }
}
for (const problem of problems) console.error(problem);
if (problems.length > 0) process.exit(1);
console.log('rooms: every import points the right way');
