import { readdirSync, readlinkSync, type Dirent } from 'node:fs';
import path from 'node:path';
import { isFailure } from '../../domain/failure.js';
import { FileLock } from '../kernel/file-lock.js';
import { sleep } from '../kernel/sleep.js';
import { errnoNameOf } from '../kernel/system-error.js';
import type { ImagePlaces } from './image-change.js';
import { isAbandoned, openDirectory } from './image-files.js';
import { removeTree } from './remove-tree.js';
import { journalEnding, settle } from './transaction.js';

/** A process that was killed goes on to the end of the call that it was in. In milliseconds. */
const longestDeath = 5000;

/**
 * Finishes or undoes, and removes, what processes have left half done that were killed: that of one change, or all that
 * is no change of this daemon's. Then it throws the first thing that something could not be removed for.
 */
export function sweep(places: ImagePlaces, failed: string | null): void {
  const errors: unknown[] = [];
  const attempt = (work: () => void) => {
    try {
      work();
    } catch (error) {
      if (!isFailure(error, 'system') && errnoNameOf(error) === undefined) throw error;
      errors.push(error);
    }
  };
  const isLeft = (file: string) => isAbandoned(file, places, failed);

  const journals = entriesOf(places.pool).filter(({ name }) => isLeft(name) && name.endsWith(journalEnding));
  for (const { name } of journals) attempt(() => patiently(() => settle(`${places.pool}/${name}`)));
  if (errors.length > 0) throw errors[0]; // what remains of these changes may be needed to settle them
  for (const directory of directoriesOf(places)) {
    for (const { name } of entriesOf(directory)) if (isLeft(name)) attempt(() => patiently(() => removeFrom(directory, name)));
    for (const { name } of entriesOf(directory)) if (isLockFile(name)) attempt(() => removeIfUnlocked(`${directory}/${name}`));
  }
  for (const { name } of entriesOf(places.locks)) attempt(() => removeIfUnlocked(`${places.locks}/${name}`));
  if (errors.length > 0) throw errors[0];
}

/** Also where images' links lead, and those of the versions of an image. */
function directoriesOf({ directories, settings }: ImagePlaces): Set<string> {
  const found = new Set<string>();
  for (const directory of directories) {
    found.add(directory);
    for (const entry of entriesOf(directory)) {
      const file = `${directory}/${entry.name}`;
      if (entry.name.endsWith('.v')) found.add(file);
      if (entry.isSymbolicLink()) found.add(path.dirname(path.resolve(directory, readlinkSync(file))));
    }
  }
  for (const directory of settings) found.add(directory);
  return found;
}

/** None if it is no directory, or cannot be read. */
function entriesOf(directory: string): Dirent[] {
  try {
    return readdirSync(directory, { withFileTypes: true });
  } catch (error) {
    if (errnoNameOf(error) === undefined) throw error;
    return [];
  }
}

/** As systemd-nspawn and others name them. */
function isLockFile(name: string): boolean {
  return name.startsWith('.#') && name.endsWith('.lck');
}

function removeIfUnlocked(file: string): void {
  try {
    using _lock = new FileLock(file);
  } catch (error) {
    if (errnoNameOf(error) !== 'EBUSY') throw error;
  }
}

function removeFrom(directory: string, name: string): void {
  using parent = openDirectory(directory);
  removeTree(parent.fd, Buffer.from(name), () => undefined);
}

/** Does it again while a process that is about to end is in the way. */
function patiently(work: () => void): void {
  const end = Date.now() + longestDeath;
  for (;;) {
    try {
      return work();
    } catch (error) {
      const isPassing = ['EBUSY', 'ENOTEMPTY'].includes(errnoNameOf(error) ?? '');
      if (!isPassing || Date.now() > end) throw error;
      sleep(20);
    }
  }
}
