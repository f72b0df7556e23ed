import { readdirSync, readlinkSync, type Dirent } from 'node:fs';
import path from 'node:path';
import { isFailure } from '../../domain/failure.js';
import { FileLock } from '../kernel/file-lock.js';
import { sleep } from '../kernel/sleep.js';
import { errnoNameOf, errnos, SystemError } from '../kernel/system-error.js';
import type { ImagePlaces } from './image-change.js';
import { isAbandoned, openDirectory } from './image-files.js';
import { removeTree } from './remove-tree.js';
import { journalEnding, settleJournal } from './transaction.js';

/** A process that was killed goes on to the end of the call that it was in. In milliseconds. */
const longestDeath = 5000;

/**
 * Finishes or undoes what processes have left half done that were killed: that of one change or, with null, all that is no
 * change of this daemon's. It walks no tree, and is soon done. Throws the first thing that something could not be settled for.
 */
export function settle(places: ImagePlaces, failed: string | null): void {
  const attempts = new Attempts();
  for (const name of journalsIn(places, failed)) attempts.make(() => patiently(() => settleJournal(`${places.pool}/${name}`)));
  attempts.end();
}

/**
 * Removes what such processes have left under temporary names, and their locks. Throws the first thing that something could
 * not be removed for: EBUSY, and nothing else is done, where something could not be settled, as that may need it.
 */
export function sweep(places: ImagePlaces, failed: string | null): void {
  const [unsettled] = journalsIn(places, failed);
  if (unsettled !== undefined) throw new SystemError(errnos.EBUSY, 'unlinkat', `${places.pool}/${unsettled}`);
  const attempts = new Attempts();
  for (const directory of directoriesOf(places)) {
    for (const { name } of entriesOf(directory)) {
      if (isAbandoned(name, places, failed)) attempts.make(() => patiently(() => removeFrom(directory, name)));
      if (isLockFile(name)) attempts.make(() => removeIfUnlocked(`${directory}/${name}`));
    }
  }
  for (const { name } of entriesOf(places.locks)) attempts.make(() => removeIfUnlocked(`${places.locks}/${name}`));
  attempts.end();
}

function journalsIn(places: ImagePlaces, failed: string | null): string[] {
  const names = entriesOf(places.pool).map(({ name }) => name);
  return names.filter((name) => name.endsWith(journalEnding) && isAbandoned(name, places, failed));
}

/** Goes on to the next thing when one has failed; the first failure is thrown in the end. */
class Attempts {
  readonly #errors: unknown[] = [];

  make(work: () => void): void {
    try {
      work();
    } catch (error) {
      if (!isFailure(error, 'system') && errnoNameOf(error) === undefined) throw error;
      this.#errors.push(error);
    }
  }

  end(): void {
    if (this.#errors.length > 0) throw this.#errors[0];
  }
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
