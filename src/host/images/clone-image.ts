import { constants, fchmodSync, fchownSync, fstatSync, fsyncSync, mkdirSync, openSync, renameSync } from 'node:fs';
import path from 'node:path';
import { hostImageName } from '../../domain/image.js';
import { UndoStack } from '../../domain/undo.js';
import { newCopyName } from '../guests/copy-name.js';
import { Descriptor, TreeCopy } from '../guests/tree-copy.js';
import type { Meter } from '../guests/work-meter.js';
import { createSnapshot, createSubvolume, setSubvolumeReadOnly } from '../kernel/btrfs-changes.js';
import { nestedSubvolumes } from '../kernel/btrfs.js';
import { submitToDiskLimits } from '../kernel/capabilities.js';
import { statusOf } from '../kernel/entry-status.js';
import { copyAttributes, makeDirectory, O_DIRECTORY, openEntry, removeEntry, setTimes } from '../kernel/file-calls.js';
import { errnoNameOf, errnos, SystemError } from '../kernel/system-error.js';
import type { ImagePlaces, ImageText } from './image-change.js';
import { companionsOf, fileNameOf, isTaken, openDirectory, temporaryName } from './image-files.js';
import { lockName } from './image-locks.js';
import { inheritDirectoryLimit } from './limits.js';
import { setProtection } from './protection.js';
import { inheritLimits } from './quota-groups.js';
import { openBeneath, removeTree } from './remove-tree.js';
import { carryOut, inodeOf, renaming, type Step } from './transaction.js';

const notBtrfs = ['ENOTTY', 'EOPNOTSUPP', 'EINVAL', 'EXDEV'];
const writeBits = 0o222;
const ownerWrites = 0o200;

/**
 * Makes another image of the same contents in the pool: a snapshot where the file system has such, else a copy that shares
 * its contents if it can. It appears when it is complete. Throws SystemError or Node's errors: EBUSY, EEXIST, ENOSPC,
 * EOPNOTSUPP (a device, or a host that is no subvolume).
 */
export function cloneImage(image: ImageText, newName: string, readOnly: boolean, places: ImagePlaces, meter: Meter): void {
  using _lock = lockName(newName, places);
  if (isTaken(newName, places)) throw new SystemError(errnos.EEXIST, 'renameat2', newName);
  const isWholeHost = image.name === hostImageName && image.type !== 'subvolume';
  if (image.type === 'block' || isWholeHost) throw new SystemError(errnos.EOPNOTSUPP, 'renameat2', image.path);
  submitToDiskLimits(); // the pool's, for one: ext4 exempts root
  process.umask(0); // files get the modes that they have in the source
  mkdirSync(places.pool, { recursive: true, mode: 0o700 });
  using undo = new UndoStack();
  const steps: Step[] = [];
  for (const [from, to] of companionsOf(image, newName, places.pool, places)) {
    const step = copyCompanion(from, to, undo, places, meter);
    if (step !== undefined) steps.push(step);
  }
  const make = image.type === 'raw' ? cloneDisk : cloneTree;
  const made = make(image, `${places.pool}/${fileNameOf(newName, image)}`, readOnly, undo, places, meter);
  const decisive = steps.length;
  carryOut({ steps: [...steps, ...made], decisive }, places);
  undo.keep();
}

/** Returns what gives it its name. */
function cloneTree(image: ImageText, newFile: string, readOnly: boolean, undo: UndoStack, places: ImagePlaces, meter: Meter): Step[] {
  using pool = openDirectory(places.pool);
  using source = openDirectory(image.path);
  const name = temporaryName(places);
  undo.defer(() => removeIfPossible(places.pool, name, meter));
  const isSnapshot = snapshot(source.fd, pool.fd, name, readOnly);
  const isSubvolume = isSnapshot || makeSubvolume(pool.fd, name);
  if (!isSubvolume && readOnly) setProtection({ path: `${places.pool}/${String(name)}`, type: 'directory' }, 0); // fails if 1 would
  if (!isSnapshot) copyTree(image.path, source.fd, pool.fd, name, meter);
  meter.count(1, 0); // the top, or all at once
  using made = new Descriptor(openEntry(pool.fd, name, O_DIRECTORY));
  if (isSubvolume) {
    inheritLimits(isSnapshot ? source.fd : undefined, made.fd);
    setSubvolumeReadOnly(made.fd, readOnly);
  } else {
    inheritDirectoryLimit(image, { path: `${places.pool}/${String(name)}`, type: 'directory' });
  }
  const appearing = renaming(`${places.pool}/${String(name)}`, path.basename(newFile));
  if (isSubvolume || !readOnly) return [appearing];
  // what is immutable cannot be renamed
  const type = image.type === 'mstack' ? 'mstack' : 'directory';
  return [appearing, { kind: 'protect', path: newFile, type, inode: appearing.inode, before: 0, after: 1 }];
}

/** With the subvolumes in it. False if the source is none, or on another disk. */
function snapshot(source: number, directory: number, name: Buffer, readOnly: boolean): boolean {
  try {
    createSnapshot(source, directory, name);
  } catch (error) {
    if (notBtrfs.includes(errnoNameOf(error) ?? '')) return false;
    throw error;
  }
  using made = new Descriptor(openEntry(directory, name, O_DIRECTORY));
  for (const nested of nestedSubvolumes(source)) {
    using from = openBeneath(source, nested.directory);
    using to = openBeneath(made.fd, nested.directory);
    using subvolume = new Descriptor(openEntry(from.fd, nested.name, O_DIRECTORY));
    removeEntry(to.fd, nested.name, true); // an empty directory stands for it
    snapshot(subvolume.fd, to.fd, nested.name, readOnly);
    using copy = new Descriptor(openEntry(to.fd, nested.name, O_DIRECTORY));
    if (readOnly) setSubvolumeReadOnly(copy.fd, true);
  }
  return true;
}

/** Into a directory that is there. */
function copyTree(path_: string, source: number, directory: number, name: Buffer, meter: Meter): void {
  copyFaithfully(path_, directory, name, meter);
  using made = new Descriptor(openEntry(directory, name, O_DIRECTORY));
  const { uid, gid, mode, times } = statusOf(source);
  fchownSync(made.fd, uid, gid);
  fchmodSync(made.fd, mode & 0o7777);
  copyAttributes(source, made.fd, 'all');
  setTimes(directory, name, times);
}

/** A plain directory where the file system knows no subvolumes: then it returns false. */
function makeSubvolume(directory: number, name: Buffer): boolean {
  try {
    createSubvolume(directory, name);
    return true;
  } catch (error) {
    if (!notBtrfs.includes(errnoNameOf(error) ?? '')) throw error;
    makeDirectory(directory, name, 0o700);
    return false;
  }
}

function cloneDisk(image: ImageText, newFile: string, readOnly: boolean, undo: UndoStack, places: ImagePlaces, meter: Meter): Step[] {
  const changeMode = (mode: number) => (readOnly ? mode & ~writeBits : mode | ownerWrites);
  return [copyFile(image.path, newFile, changeMode, undo, places, meter)];
}

/** Undefined if there is none, or one that somebody has written for the new image. */
function copyCompanion(from: string, to: string, undo: UndoStack, places: ImagePlaces, meter: Meter): Step | undefined {
  if (inodeOf(to) !== undefined) return undefined;
  try {
    return copyFile(from, to, (mode) => mode | ownerWrites, undo, places, meter);
  } catch (error) {
    if (!['ENOENT', 'ENOTDIR'].includes(errnoNameOf(error) ?? '')) throw error;
    return undefined;
  }
}

/** Makes it, complete and on the disk. Returns what gives it its name. */
function copyFile(
  from: string,
  to: string,
  changeMode: (mode: number) => number,
  undo: UndoStack,
  places: ImagePlaces,
  meter: Meter,
): Step {
  using source = new Descriptor(openSync(from, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY));
  const { mode } = fstatSync(source.fd);
  const directory = path.dirname(to);
  const workshop = temporaryName(places); // copies have temporary names of their own
  const name = temporaryName(places);
  for (const made of [workshop, name]) undo.defer(() => removeIfPossible(directory, made, meter));
  using parent = openDirectory(directory);
  makeDirectory(parent.fd, workshop, 0o700);
  copyFaithfully(from, parent.fd, workshop, meter, 'copy');
  const copied = `${directory}/${String(workshop)}/copy`;
  using copy = new Descriptor(openSync(copied, constants.O_RDONLY | constants.O_NOFOLLOW));
  fchmodSync(copy.fd, changeMode(mode) & 0o7777);
  fsyncSync(copy.fd);
  renameSync(copied, `${directory}/${String(name)}`);
  removeIfPossible(directory, workshop, meter);
  return renaming(`${directory}/${String(name)}`, path.basename(to));
}

/** A file of this name into a directory, or all of a directory into another. */
function copyFaithfully(from: string, directory: number, name: Buffer, meter: Meter, file?: string): void {
  using source = openDirectory(path.dirname(from));
  const copy = new TreeCopy({ owner: undefined, dropsIdBits: false, replace: false, faithful: true, temporary: newCopyName(), meter });
  const entry = { directory: source.fd, name: Buffer.from(path.basename(from)) };
  if (file === undefined) return copy.copy(entry, { directory, name });
  using target = new Descriptor(openEntry(directory, name, O_DIRECTORY));
  copy.copy(entry, { directory: target.fd, name: Buffer.from(file) });
}

/** What is no longer needed. If it cannot be removed, the next sweep does. */
function removeIfPossible(directory: string, name: Buffer, meter: Meter): void {
  try {
    using parent = openDirectory(directory);
    removeTree(parent.fd, name, () => meter.keepAlive());
  } catch (error) {
    if (errnoNameOf(error) === undefined) throw error;
  }
}
