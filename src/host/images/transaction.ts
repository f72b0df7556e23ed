// Changes of several steps that are all made or none, whatever ends the process in between: what is intended is written
// down before, and whoever finds that after the process has ended finishes it or takes it back.
import { closeSync, constants, fstatSync, fsyncSync, lstatSync, mkdirSync, openSync, readFileSync, unlinkSync, writeSync } from 'node:fs';
import path from 'node:path';
import { isFailure } from '../../domain/failure.js';
import type { ImageType } from '../../domain/image.js';
import { UndoStack } from '../../domain/undo.js';
import { Descriptor } from '../guests/tree-copy.js';
import { renameEntry } from '../kernel/file-calls.js';
import { lockDescriptor } from '../kernel/file-lock.js';
import { errnoNameOf, errnos, SystemError } from '../kernel/system-error.js';
import type { ImagePlaces } from './image-change.js';
import { openDirectory, temporaryName } from './image-files.js';
import { setLimit } from './limits.js';
import { setProtection, type Protection } from './protection.js';

/** Each can be done and undone, and is the same if that is tried twice. Numbers of 64 bits are decimal: this is JSON. */
export type Step =
  | { readonly kind: 'rename'; readonly directory: string; readonly from: string; readonly to: string; readonly inode: string }
  | (FileOfImage & { readonly kind: 'protect'; readonly before: Protection; readonly after: Protection })
  /** In bytes; null is none. */
  | (FileOfImage & { readonly kind: 'limit'; readonly before: string | null; readonly after: string | null });

interface FileOfImage {
  readonly path: string;
  readonly type: ImageType;
  readonly inode: string;
}

export interface Intent {
  readonly steps: readonly Step[];
  /** Which step, a rename, makes the change: what comes before it is undone, what comes after it done. −1: the last one. */
  readonly decisive: number;
  /** It makes room, and is carried out even where there is none left to write it down. */
  readonly makesRoom?: boolean;
}

export const journalEnding = '.journal';

/** Throws SystemError and Node's errors; then nothing has changed. Only a helper process may call this. */
export function carryOut(intent: Intent, places: ImagePlaces): void {
  if (intent.steps.length < 2) return perform(intent.steps);
  using journal = writeDown(intent, places);
  try {
    perform(intent.steps);
  } catch (error) {
    const isUndone = isFailure(error, 'system') || errnoNameOf(error) !== undefined;
    if (isUndone) journal?.forget();
    throw error;
  }
  journal?.forget();
}

function writeDown(intent: Intent, places: ImagePlaces): Journal | undefined {
  try {
    return new Journal(intent, places);
  } catch (error) {
    const isFull = ['ENOSPC', 'EDQUOT'].includes(errnoNameOf(error) ?? '');
    if (isFull && intent.makesRoom === true) return undefined;
    throw error;
  }
}

function perform(steps: readonly Step[]): void {
  using undo = new UndoStack();
  for (const step of steps) {
    doStep(step);
    undo.defer(() => undoStep(step));
  }
  undo.keep();
}

function doStep(step: Step): void {
  if (step.kind === 'rename') return rename(step.directory, step.from, step.to);
  if (step.kind === 'protect') return setProtection(step, step.after);
  setLimit(step, bytesOf(step.after));
}

function undoStep(step: Step): void {
  if (step.kind === 'rename') return rename(step.directory, step.to, step.from);
  if (step.kind === 'protect') return setProtection(step, step.before);
  setLimit(step, bytesOf(step.before));
}

function rename(directory: string, from: string, to: string): void {
  using parent = openDirectory(directory);
  renameEntry(parent.fd, Buffer.from(from), Buffer.from(to), false);
}

export function bytesOf(text: string | null): bigint | undefined {
  return text === null ? undefined : BigInt(text);
}

/** Decimal; undefined if there is no such file. */
export function inodeOf(file: string): string | undefined {
  const status = lstatSync(file, { bigint: true, throwIfNoEntry: false });
  return status === undefined ? undefined : String(status.ino);
}

/** Throws SystemError ENOENT. */
export function existingInode(file: string): string {
  const inode = inodeOf(file);
  if (inode === undefined) throw new SystemError(errnos.ENOENT, 'lstat', file);
  return inode;
}

/** Throws SystemError ENOENT. */
export function renaming(file: string, to: string): Step & { kind: 'rename' } {
  return { kind: 'rename', directory: path.dirname(file), from: path.basename(file), to, inode: existingInode(file) };
}

/** What is intended, on the disk, and locked for as long as this process lives. */
class Journal implements Disposable {
  readonly #path: string;
  readonly #fd: number;

  /** Throws Node's errors: EROFS, ENOSPC. */
  constructor(intent: Intent, places: ImagePlaces) {
    mkdirSync(places.pool, { recursive: true, mode: 0o700 });
    this.#path = `${places.pool}/${String(temporaryName(places))}${journalEnding}`;
    this.#fd = openSync(this.#path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600);
    using undo = new UndoStack();
    undo.defer(() => closeSync(this.#fd));
    undo.defer(() => unlinkSync(this.#path));
    lockDescriptor(this.#fd, this.#path);
    writeAll(this.#fd, Buffer.from(JSON.stringify(intent)));
    fsyncSync(this.#fd);
    using pool = openDirectory(places.pool);
    fsyncSync(pool.fd);
    undo.keep();
  }

  forget(): void {
    unlinkSync(this.#path);
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}

function writeAll(fd: number, bytes: Buffer): void {
  for (let written = 0; written < bytes.length; ) written += writeSync(fd, bytes, written);
}

/**
 * Finishes what a process has begun that has ended since, or takes it back. Throws SystemError EBUSY if the process lives,
 * and what the steps fail with; then the journal stays.
 */
export function settleJournal(journal: string): void {
  using file = new Descriptor(openSync(journal, constants.O_RDWR | constants.O_NOFOLLOW | constants.O_NONBLOCK));
  lockDescriptor(file.fd, journal);
  const status = fstatSync(file.fd);
  const isOwn = status.isFile() && status.uid === process.geteuid?.() && (status.mode & 0o077) === 0;
  const intent = isOwn ? readIntent(file.fd, journal) : undefined;
  if (intent !== undefined) settleIntent(intent);
  unlinkSync(journal);
}

/**
 * Undefined if it was not written to its end: then nothing else was begun. Throws SystemError EBADMSG if it says something
 * else, of another version's for example.
 */
function readIntent(fd: number, journal: string): Intent | undefined {
  const intent = parse(readFileSync(fd, 'utf8'));
  if (intent === undefined || isIntent(intent)) return intent;
  throw new SystemError(errnos.EBADMSG, 'read', journal);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return undefined;
  }
}

const kindsOfSteps: ReadonlySet<unknown> = new Set<Step['kind']>(['rename', 'protect', 'limit']);

function isIntent(value: unknown): value is Intent {
  const { steps, decisive } = (value ?? {}) as Partial<Intent>;
  return typeof decisive === 'number' && Array.isArray(steps) && steps.every((step: Partial<Step> | null) => kindsOfSteps.has(step?.kind));
}

function settleIntent({ steps, decisive }: Intent): void {
  const decision = steps[decisive];
  const isMade = decision?.kind === 'rename' && isRenamed(decision, decision.from, decision.to);
  if (isMade) {
    for (const step of steps.slice(decisive + 1)) if (canFollow(step, true)) doStep(step);
    return;
  }
  const begun = decision === undefined ? steps : steps.slice(0, decisive);
  for (const step of begun.toReversed()) if (canFollow(step, false)) undoStep(step);
}

/** Whether the file is the one that was meant, and nothing is in the way: much may have happened since. */
function canFollow(step: Step, forward: boolean): boolean {
  if (step.kind !== 'rename') return inodeOf(step.path) === step.inode;
  const [from, to] = forward ? [step.from, step.to] : [step.to, step.from];
  return isRenamed(step, to, from);
}

/** Whether the file that was `from` is `to`. */
function isRenamed({ directory, inode }: Step & { kind: 'rename' }, from: string, to: string): boolean {
  return inodeOf(`${directory}/${from}`) === undefined && inodeOf(`${directory}/${to}`) === inode;
}
