import { readFileSync, realpathSync, statSync } from 'node:fs';
import { hostname } from 'node:os';
import path from 'node:path';
import { parseBoolean } from '../boolean.js';
import { styled, type ColourMode } from '../colours.js';
import type { Context } from '../context.js';
import { CommandFailure } from '../failure.js';
import { isPlainlyHere } from '../own-socket.js';
import { findSettings } from '../settings-files.js';
import { errnoText, errorCode } from '../system-errors.js';

export async function run(context: Context, names: readonly string[]): Promise<number> {
  const { output } = context;
  if (!isPlainlyHere(context)) throw new CommandFailure('Cat is only supported on the host machine.');
  let status = 0;
  for (const name of names) {
    const { existing, problem } = await findSettings(context, name);
    if (problem !== undefined) {
      output.log('warning', problem);
      return 1;
    }
    if (existing === undefined) {
      output.log('error', `No settings file found for machine '${name}'.`);
      status = 1;
    } else {
      show(context, existing);
    }
  }
  return status;
}

/** A mask is what hides a file of the same name elsewhere: an empty file, or a device like /dev/null. */
function show({ output }: Context, file: string): void {
  const { colours } = output;
  const stat = statSync(file);
  if (stat.isCharacterDevice() || (stat.isFile() && stat.size === 0)) {
    output.print(`${styled(`# ${file} is a mask.`, 'magenta', colours)}\n`);
    return;
  }
  output.print(`${heading(file, colours)}\n`);
  const text = readText(file);
  const lines = text.endsWith('\n') || text === '' ? text : `${text}\n`;
  output.print(colours === 'off' ? lines : lines.replace(/^.+$/gm, (line) => highlight(line, colours)));
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new CommandFailure(`Failed to open "${file}": ${errnoText(errorCode(error))}`);
  }
}

/** Where a link leads is told; on a terminal the path can be clicked at. */
function heading(file: string, colours: ColourMode): string {
  const target = realpathSync(file);
  const clickable = parseBoolean(process.env['SYSTEMD_URLIFY'] ?? '') ?? colours !== 'off';
  const link = clickable ? `\x1b]8;;file://${hostname()}${encodeURI(target)}\x1b\\${target}\x1b]8;;\x1b\\` : target;
  return styled(`# ${target === path.resolve(file) ? '' : `${file} -> `}${link}`, 'blue', colours);
}

function highlight(line: string, colours: ColourMode): string {
  const first = line.trimStart().charAt(0);
  if (first === '[') return styled(line, 'cyan', colours);
  if (first === '#' || first === ';') return styled(line, 'brightgrey', colours);
  const key = /^[^=]*=/.exec(line)?.[0];
  return key === undefined ? line : styled(key, 'green', colours) + line.slice(key.length);
}
