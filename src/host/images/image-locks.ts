import { mkdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { hostImageName } from '../../domain/image.js';
import { UndoStack } from '../../domain/undo.js';
import { FileLock } from '../kernel/file-lock.js';
import { errnoNameOf, errnos, SystemError } from '../kernel/system-error.js';
import type { ImagePlaces, ImageText } from './image-change.js';

/**
 * Keeps others from using an image: other programs that change images, and systemd-nspawn, which locks a file beside the
 * image that it runs, and one that stands for the inode. Throws SystemError: EBUSY, if somebody does.
 */
export function lockImage(image: ImageText, places: ImagePlaces): Disposable {
  const { dev, ino } = statSync(image.path, { bigint: true });
  using undo = new UndoStack();
  undo.use(new FileLock(`${lockDirectory(places)}/inode-${dev}:${ino}`));
  lockBeside(image, undo);
  return undo.move();
}

/** On a disk that is full, what takes no room has to go on: whoever runs an image has the other lock, too. */
function lockBeside(image: ImageText, undo: UndoStack): void {
  try {
    undo.use(new FileLock(`${path.dirname(image.path)}/.#${path.basename(image.path)}.lck`));
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
