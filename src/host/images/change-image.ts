// What a helper does to change images. It may take its time: only a helper process may call this.
import path from 'node:path';
import { isFailure, systemFailure } from '../../domain/failure.js';
import { isForeignImage } from '../../domain/image.js';
import { UndoStack } from '../../domain/undo.js';
import type { Meter } from '../guests/work-meter.js';
import { errorText } from '../kernel/libc.js';
import { mountPointsBelow } from '../kernel/mount-points.js';
import { errnoNameOf, errnos, SystemError } from '../kernel/system-error.js';
import { cloneImage } from './clone-image.js';
import type { ImageChange, ImagePlaces, ImageText } from './image-change.js';
import { companionsOf, fileNameOf, isTaken, linkOf, openDirectory, temporaryName } from './image-files.js';
import { lockImage, lockName } from './image-locks.js';
import { limitOf, setPoolLimit } from './limits.js';
import { isTree, protectionFor, protectionOf, type Protection } from './protection.js';
import { takeProjectOf } from './projects.js';
import { removeTree } from './remove-tree.js';
import { settle, sweep } from './sweep.js';
import { bytesOf, carryOut, existingInode, inodeOf, renaming, type Intent, type Step } from './transaction.js';

/**
 * Throws Failure 'system': EROFS (it is the host's, the vendor's, or on a file system that is read-only), EBUSY (it is in
 * use), EEXIST (there is an image of the new name), EOPNOTSUPP (such an image cannot have that), ENOTCONN (no quotas), ECANCELED, ….
 */
export function changeImage(change: ImageChange, places: ImagePlaces, meter: Meter): void {
  try {
    dispatch(change, places, meter);
  } catch (error) {
    const code = errnoNameOf(error);
    if (isFailure(error) || code === undefined) throw error;
    throw systemFailure(code, errorText(errnos[code] ?? errnos.EIO), error); // callers are told what C programs say
  }
}

function dispatch(change: ImageChange, places: ImagePlaces, meter: Meter): void {
  switch (change.kind) {
    case 'remove':
      return removeImage(change.image, places, meter);
    case 'update':
      return updateImage(change, places);
    case 'clone':
      return cloneImage(change.image, change.newName, change.readOnly, places, meter);
    case 'limit-pool':
      return setPoolLimit(places.pool, bytesOf(change.limit));
    case 'settle':
      return settle(places, change.failed);
    case 'sweep':
      return sweep(places, change.failed);
  }
}

function refuseForeign(image: ImageText): void {
  if (isForeignImage(image)) throw new SystemError(errnos.EROFS, 'open', image.path);
}

/** It is gone for everybody else at once; what is left of it if this is killed, the next sweep removes. */
function removeImage(image: ImageText, places: ImagePlaces, meter: Meter): void {
  refuseForeign(image);
  using _lock = lockImage(image, places);
  const link = linkOf(image, places); // what a link leads to may be anybody's: all that ends is that it is an image
  if (link === undefined && mountPointsBelow(image.path).length > 0) throw new SystemError(errnos.EBUSY, 'unlinkat', image.path);
  const steps: Step[] = [];
  if (link === undefined) steps.push(...unprotecting(image));
  const decisive = steps.length;
  const files = [link ?? image.path, ...companionsIn(image, link, places)];
  const renamings = files.map((file) => renaming(file, String(temporaryName(places))));
  const forgetLimit = link === undefined && isTree(image.type) ? takeProjectOf(image.path) : () => undefined;
  carryOut({ steps: [...steps, ...renamings], decisive, makesRoom: true }, places);
  const [tree, ...companions] = renamings;
  try {
    for (const { directory, to } of companions) removeFrom(directory, to, meter);
  } finally {
    if (tree !== undefined) removeFrom(tree.directory, tree.to, meter);
    using parent = openDirectory(path.dirname(image.path));
    forgetLimit(parent.fd);
  }
}

function removeFrom(directory: string, file: string, meter: Meter): void {
  using parent = openDirectory(directory);
  removeTree(parent.fd, Buffer.from(file), () => meter.count(1, 0));
}

/** Lets an image that is protected get another name. */
function unprotecting(image: ImageText): Step[] {
  const before = isTree(image.type) ? protectionOf(image) : 0;
  return before === 0 ? [] : [protecting(image, image.path, before, 0)];
}

function protecting({ path: file, type }: ImageText, newPath: string, before: Protection, after: Protection): Step {
  return { kind: 'protect', path: newPath, type, inode: existingInode(file), before, after };
}

/** Those that are there, and belong to it alone: what lies beside the target of a link does not. */
function companionsIn(image: ImageText, link: string | undefined, places: ImagePlaces): string[] {
  return companionsOf(image, image.name, path.dirname(image.path), places)
    .map(([file]) => file)
    .filter((file) => (link === undefined || isSettings(file, places)) && inodeOf(file) !== undefined);
}

/** Of the administrator's, by the image's name; others lie beside the image. */
function isSettings(file: string, { settings }: ImagePlaces): boolean {
  return settings.includes(path.dirname(file));
}

/** All that is asked for, or nothing. */
function updateImage(change: ImageChange & { kind: 'update' }, places: ImagePlaces): void {
  const { image, newName, readOnly } = change;
  refuseForeign(image);
  using held = new UndoStack();
  if (newName !== undefined || readOnly !== undefined) held.use(lockImage(image, places));
  if (newName !== undefined) held.use(lockName(newName, places));
  if (newName !== undefined && isTaken(newName, places)) throw new SystemError(errnos.EEXIST, 'renameat2', newName);
  carryOut(planUpdate(change, places), places);
}

function planUpdate({ image, newName, readOnly, limit }: ImageChange & { kind: 'update' }, places: ImagePlaces): Intent {
  const { path: file, type } = image;
  const link = newName === undefined ? undefined : linkOf(image, places);
  const isMoved = newName !== undefined && link === undefined;
  const isHeld = isTree(type) && (isMoved || limit !== undefined); // by its protection
  const before = isHeld || readOnly !== undefined ? protectionOf(image) : 0;
  const after = readOnly === undefined ? before : protectionFor(type, before, readOnly);
  const meanwhile = isHeld ? 0 : after;

  const steps: Step[] = [];
  if (meanwhile !== before) steps.push(protecting(image, file, before, meanwhile));
  if (limit !== undefined) {
    steps.push({ kind: 'limit', path: file, type, inode: existingInode(file), before: textOf(limitOf(image)), after: limit });
  }
  const decisive = newName === undefined ? -1 : steps.length;
  const newFile = newName === undefined ? path.basename(file) : fileNameOf(newName, image);
  if (newName !== undefined) steps.push(renaming(link ?? file, newFile), ...companionRenamings(image, newName, link, places));
  const newPath = isMoved ? `${path.dirname(file)}/${newFile}` : file;
  if (meanwhile !== after) steps.push(protecting(image, newPath, meanwhile, after));
  return { steps, decisive };
}

function textOf(limit: bigint | undefined): string | null {
  return limit === undefined ? null : String(limit);
}

/** What somebody has written for the new name stays. */
function companionRenamings(image: ImageText, newName: string, link: string | undefined, places: ImagePlaces): Step[] {
  return companionsOf(image, newName, path.dirname(image.path), places)
    .filter(([from, to]) => (link === undefined || isSettings(from, places)) && inodeOf(from) !== undefined && inodeOf(to) === undefined)
    .map(([from, to]) => renaming(from, path.basename(to)));
}
