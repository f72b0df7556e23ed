import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import path from 'node:path';
import { styled, type ColourMode } from '../colours.js';
import type { Context } from '../context.js';
import { CommandFailure } from '../failure.js';
import { isPlainlyHere } from '../own-socket.js';
import { findSettings } from '../settings-files.js';
import { errnoText } from '../system-errors.js';

export async function run(context: Context, names: readonly string[]): Promise<number> {
  const { output } = context;
  if (!isPlainlyHere(context)) throw new CommandFailure('Cat is only supported on the host machine.');
  let status = 0;
  const files: string[] = [];
  for (const name of names) {
    const file = await locate(context, name);
    if (file === undefined) status = 1;
    else files.push(file);
  }
  for (const file of files) output.print(show(file, output.colours));
  return status;
}

/** What cannot be shown is told at once, and the others are shown. */
async function locate(context: Context, name: string): Promise<string | undefined> {
  const { existing } = await findSettings(context, name);
  if (existing !== undefined) return existing;
  if (path.isAbsolute(name)) throw new CommandFailure(`Failed to chase '${name}': ${errnoText('ENOENT')}`);
  context.output.log('error', `No settings file found for machine '${name}'.`);
  return undefined;
}

function show(file: string, colours: ColourMode): string {
  const text = readFileSync(file, 'utf8');
  const lines = text.endsWith('\n') || text === '' ? text : `${text}\n`;
  const body = colours === 'off' ? lines : lines.replace(/^.*$/gm, (line) => highlight(line, colours));
  return `${heading(file, colours)}\n${body}`;
}

/** On a terminal the path can be clicked at. */
function heading(file: string, colours: ColourMode): string {
  if (colours === 'off') return `# ${file}`;
  return styled(`# \x1b]8;;file://${hostname()}${encodeURI(file)}\x1b\\${file}\x1b]8;;\x1b\\`, 'blue', colours);
}

function highlight(line: string, colours: ColourMode): string {
  if (/^\[.*\]$/.test(line)) return styled(line, 'cyan', colours);
  const key = /^[^#;=]+=/.exec(line)?.[0];
  if (key !== undefined) return styled(key, 'green', colours) + line.slice(key.length);
  return /^[#;]/.test(line) ? styled(line, 'brightgrey', colours) : line;
}
