import { mkdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { hostImageName } from '../../domain/image.js';
import { UndoStack } from '../../domain/undo.js';
import { FileLock, isLockedForWriting } from '../kernel/file-lock.js';
import { errnoNameOf, errnos, SystemError } from '../kernel/system-error.js';
import type { ImagePlaces, ImageText } from './image-change.js';

/**
 * Keeps others from using an image: other programs that change images, and systemd-nspawn, which locks a file beside the
 * image that it runs, and one that stands for the inode. Throws SystemError: EBUSY, if somebody does.
 */
export function lockImage(image: ImageText, places: ImagePlaces): Disposable {
  using undo = new UndoStack();
  undo.use(new FileLock(inodeLock(image, lockDirectory(places))));
  lockBeside(image, undo);
  return undo.move();
}

/** Makes sure that nobody has an image to themselves at this moment. Throws SystemError: EBUSY. */
export function refuseLocked(image: ImageText, locks: string): void {
  for (const file of [inodeLock(image, locks), lockFileBeside(image)]) {
    if (isLockedForWriting(file)) throw new SystemError(errnos.EBUSY, 'fcntl', file);
  }
}

function inodeLock(image: ImageText, locks: string): string {
  const { dev, ino } = statSync(image.path, { bigint: true });
  return `${locks}/inode-${dev}:${ino}`;
}

function lockFileBeside(image: ImageText): string {
  return `${path.dirname(image.path)}/.#${path.basename(image.path)}.lck`;
}

/** On a disk that is full, what takes no room has to go on: whoever runs an image has the other lock, too. */
function lockBeside(image: ImageText, undo: UndoStack): void {
  try {
    undo.use(new FileLock(lockFileBeside(image)));
  } catch (error) {
    if (!['ENOSPC', 'EDQUOT'].includes(errnoNameOf(error) ?? '')) throw error;
  }
}

/** Keeps others from making an image of that name. Throws SystemError EBUSY: somebody does, or it is the host's. */
export function lockName(name: string, places: ImagePlaces): Disposable {
  if (name === hostImageName) throw new SystemError(errnos.EBUSY, 'fcntl', name);
  return new FileLock(`${lockDirectory(places)}/name-${name}`);
}

function lockDirectory({ locks }: ImagePlaces): string {
  mkdirSync(path.dirname(locks), { recursive: true, mode: 0o755 });
  mkdirSync(locks, { recursive: true, mode: 0o700 });
  return locks;
}
