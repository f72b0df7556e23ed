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
  client: ['domain', 'contract', 'ports', 'transport', 'wire'],
  front: ['domain', 'contract', 'ports', 'service', 'transport', 'wire'],
  host: ['domain', 'ports', 'transport', 'wire'],
  machinectl: ['client', 'domain', 'contract', 'wire'],
  main: ['client', 'domain', 'contract', 'ports', 'service', 'transport', 'front', 'host', 'wire'],
};
// Single files of another room: what a client does with descriptors and state files, the daemon does, too.
const mayImportFiles = {
  'client/native.ts': ['host/kernel/event-loop.js', 'host/kernel/libc.js', 'host/kernel/unix-socket.js'],
  'client/state.ts': ['host/state-file.js', 'host/units/cgroup-path.js'],
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
    const targetFile = path.relative(root, path.resolve(root, path.dirname(file), specifier));
    if (mayImportFiles[file]?.includes(targetFile)) continue;
    const target = targetFile.split(path.sep)[0];
    if (target !== room && !mayImport[room].includes(target)) problems.push(`${file}: ${room} may not import ${target}`);
  }
}
for (const problem of problems) console.error(problem);
if (problems.length > 0) process.exit(1);
console.log('rooms: every import points the right way');
