// An editor, and files that are changed by it all together or not at all.
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
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
    for (const file of files) {
      if (drafts.some(({ target }) => target === file.target)) continue;
      const draft = makeDraft(file);
      drafts.push(draft);
      fillDraft(draft, file);
    }
    runEditor(drafts.map(({ temporary }) => temporary), output);
    for (const draft of drafts) install(draft, output);
  } finally {
    for (const { temporary } of drafts) rmSync(temporary, { force: true });
  }
}

function makeDraft({ target }: SettingsFile): Draft {
  const name = path.basename(target);
  const temporary = path.join(path.dirname(target), `.#${name}${randomBytes(8).toString('hex')}`);
  if (name === '') throw new CommandFailure(`Failed to create temporary file for '${target}': ${errnoText('EADDRNOTAVAIL')}`);
  makeDirectoryOf(target);
  try {
    writeFileSync(temporary, '', { flag: 'wx', mode: 0o644 });
    return { target, temporary };
  } catch (error) {
    throw new CommandFailure(`Failed to create temporary file for '${target}': ${reason(error)}`);
  }
}

function makeDirectoryOf(target: string): void {
  try {
    mkdirSync(path.dirname(target), { recursive: true, mode: 0o755 });
  } catch (error) {
    const code = errorCode(error);
    // a file stands where a directory has to be
    const reason = errnoText(code === 'EEXIST' ? 'ENOTDIR' : code);
    if (code === 'EEXIST' || code === 'ENOTDIR') throw new CommandFailure(`Failed to create parent directories for '${target}': ${reason}`);
    throw new CommandFailure(`Failed to create temporary file for '${target}': ${reason}`);
  }
}

/** A device, which is what hides other files of the name, and a fifo have nothing to be edited. */
function fillDraft({ temporary }: Draft, { existing }: SettingsFile): void {
  if (existing === undefined) return;
  const stat = statSync(existing);
  const problem = `Failed to copy file '${existing}' to temporary file '${temporary}'`;
  if (!stat.isFile() && !stat.isDirectory()) throw new CommandFailure(`${problem}: File descriptor in bad state`);
  try {
    writeFileSync(temporary, readFileSync(existing));
  } catch (error) {
    throw new CommandFailure(`${problem}: ${reason(error)}`);
  }
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
  output.log('error', 'Cannot edit files, no editor available. Please set either $SYSTEMD_EDITOR, $EDITOR or $VISUAL.');
  requireSuccess(1);
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
