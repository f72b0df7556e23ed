// An editor, and files that are changed by it all together or not at all.
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { copyFileSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Output } from './output.js';
import { CommandFailure } from './failure.js';
import { errnoText, errorCode } from './system-errors.js';
import type { SettingsFile } from './settings-files.js';

const variables = ['SYSTEMD_EDITOR', 'EDITOR', 'VISUAL'];
const fallbacks = ['editor', 'nano', 'vim', 'vi'];

interface Draft {
  readonly target: string;
  readonly temporary: string;
}

/** Lets the user edit copies of the files, and puts them in their places if the editor ends well. Throws CommandFailure. */
export function editFiles(files: readonly SettingsFile[], output: Output): void {
  const drafts: Draft[] = [];
  try {
    for (const file of files) drafts.push(makeDraft(file));
    runEditor(drafts.map(({ temporary }) => temporary), output);
    for (const draft of drafts) install(draft, output);
  } finally {
    for (const { temporary } of drafts) rmSync(temporary, { force: true });
  }
}

function makeDraft({ existing, target }: SettingsFile): Draft {
  const directory = path.dirname(target);
  const temporary = path.join(directory, `.#${path.basename(target)}${randomBytes(8).toString('hex')}`);
  try {
    mkdirSync(directory, { recursive: true, mode: 0o755 });
    if (existing === undefined) writeFileSync(temporary, '', { flag: 'wx', mode: 0o644 });
    else copyFileSync(existing, temporary);
  } catch (error) {
    throw new CommandFailure(`Failed to create temporary file for '${target}': ${reason(error)}`);
  }
  return { target, temporary };
}

/** The first editor that is there: its words are separated by blanks, and the files follow. */
function runEditor(files: readonly string[], output: Output): void {
  const wanted = variables.map((name) => process.env[name] ?? '').find((value) => value.trim() !== '');
  const candidates = [...(wanted === undefined ? [] : [wanted]), ...fallbacks];
  for (const candidate of candidates) {
    const [program = '', ...words] = candidate.trim().split(/\s+/);
    const { error, status } = spawnSync(program, [...words, ...files], { stdio: 'inherit' });
    if (error === undefined) return requireSuccess(status);
    if (candidate === wanted) {
      output.log('warning', `Specified editor '${candidate}' not available, trying fallbacks: ${reason(error)}`);
    }
  }
  throw new CommandFailure('Cannot edit files, no editor available. Please set either $SYSTEMD_EDITOR, $EDITOR or $VISUAL.');
}

function requireSuccess(status: number | null): void {
  if (status === 0) return;
  throw new CommandFailure(status === null ? "'(editor)' was killed." : `'(editor)' failed with exit status ${status}.`);
}

function install({ target, temporary }: Draft, output: Output): void {
  if (readFileSync(temporary, 'utf8').trim() === '') {
    output.log('notice', `${target}: after editing, new contents are empty, not writing file.`);
    return;
  }
  try {
    renameSync(temporary, target);
  } catch (error) {
    throw new CommandFailure(`Failed to put '${target}' in its place: ${reason(error)}`);
  }
  output.log('info', `Successfully installed edited file '${target}'.`);
}

/** ENOENT in words. */
function reason(error: unknown): string {
  return errnoText(errorCode(error));
}
