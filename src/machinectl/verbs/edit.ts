import { isatty } from 'node:tty';
import type { Context } from '../context.js';
import { editFiles } from '../editor.js';
import { CommandFailure } from '../failure.js';
import { isPlainlyHere } from '../own-socket.js';
import { findSettings, type SettingsFile } from '../settings-files.js';

export async function run(context: Context, names: readonly string[]): Promise<void> {
  const isHere = isPlainlyHere(context);
  if (!isatty(0) || !isatty(1)) throw new CommandFailure('Cannot edit machine settings if not on a tty.');
  if (!isHere) throw new CommandFailure('Cannot edit machine settings remotely.');
  const files: SettingsFile[] = [];
  for (const name of names) files.push(await findSettings(context, name));
  editFiles(files, context.output);
}
