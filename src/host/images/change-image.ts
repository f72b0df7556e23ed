// What a helper does to change images. It may take its time: only a helper process may call this.
import { chmodSync, constants, fstatSync, openSync, readdirSync, readlinkSync, renameSync, statSync, unlinkSync, type Dirent } from 'node:fs';
import path from 'node:path';
import { isFailure, systemFailure } from '../../domain/failure.js';
import { hostImageName } from '../../domain/image.js';
import { UndoStack } from '../../domain/undo.js';
import { Descriptor } from '../guests/tree-copy.js';
import type { Meter } from '../guests/work-meter.js';
import { enableQuota, limitQuotaGroup, setSubvolumeReadOnly } from '../kernel/btrfs-changes.js';
import { isBtrfs, subtreeGroup, subvolumeOf } from '../kernel/btrfs.js';
import { renameEntry } from '../kernel/file-calls.js';
import { setDeviceReadOnly, setImmutable } from '../kernel/file-flags.js';
import { readFileStatus } from '../kernel/file-status.js';
import { errorText } from '../kernel/libc.js';
import { errnoNameOf, errnos, SystemError } from '../kernel/system-error.js';
import { cloneImage } from './clone-image.js';
import type { ImageChange, ImagePlaces, ImageText } from './image-change.js';
import { companionsOf, fileNameOf, isAbandoned, isTaken, linkOf, openDirectory, temporaryName } from './image-files.js';
import { lockImage, lockName } from './image-locks.js';
import { removeTree } from './remove-tree.js';

const subvolumeInode = 256n;

/**
 * Throws Failure 'system': EROFS (it is the host's, the vendor's, or on a file system that is read-only), EBUSY (it is in
 * use), EEXIST (there is an image of the new name), EOPNOTSUPP (such an image cannot have that), ENOTCONN (no quotas), ECANCELED, ….
 */
export function changeImage(change: ImageChange, places: ImagePlaces, meter: Meter): void {
  try {
    carryOut(change, places, meter);
  } catch (error) {
    const code = errnoNameOf(error);
    if (isFailure(error) || code === undefined) throw error;
    throw systemFailure(code, errorText(errnos[code] ?? errnos.EIO), error); // callers are told what C programs say
  }
}

function carryOut(change: ImageChange, places: ImagePlaces, meter: Meter): void {
  switch (change.kind) {
    case 'remove':
      return removeImage(change.image, places, meter);
    case 'rename':
      return renameImage(change.image, change.newName, places);
    case 'clone':
      return cloneImage(change.image, change.newName, change.readOnly, places, meter);
    case 'mark-read-only':
      return markReadOnly(change.image, change.readOnly, places);
    case 'limit':
      return limitImage(change.image, limitOf(change.limit));
    case 'limit-pool':
      return limitPool(places.pool, limitOf(change.limit));
    case 'sweep':
      return sweep(places);
  }
}

function limitOf(text: string | null): bigint | undefined {
  return text === null ? undefined : BigInt(text);
}

function refuseForeign({ name, path: file }: ImageText): void {
  const isForeign = name === hostImageName || file === '/usr' || file.startsWith('/usr/');
  if (isForeign) throw new SystemError(errnos.EROFS, 'open', file);
}

/** It is gone for everybody else at once; what is left of it if this is killed, the next sweep removes. */
function removeImage(image: ImageText, places: ImagePlaces, meter: Meter): void {
  refuseForeign(image);
  using _lock = lockImage(image, places);
  const directory = path.dirname(image.path);
  const companions = companionsOf(image, image.name, directory, places).map(([file]) => file);
  const link = linkOf(image, places);
  if (link !== undefined) {
    // What a link leads to may be anybody's: all that ends is that it is an image.
    unlinkSync(link);
    companions.filter((file) => isSettings(file, places)).forEach(unlinkIfThere);
    return;
  }
  const temporary = temporaryName(places);
  renameProtected(image.type, directory, path.basename(image.path), temporary);
  try {
    companions.forEach(unlinkIfThere);
  } finally {
    using parent = openDirectory(directory);
    removeTree(parent.fd, temporary, () => meter.count(1, 0));
  }
}

/** Of the administrator's, by the image's name; others lie beside the image. */
function isSettings(file: string, { settings }: ImagePlaces): boolean {
  return settings.includes(path.dirname(file));
}

function unlinkIfThere(file: string): void {
  try {
    unlinkSync(file);
  } catch (error) {
    if (!['ENOENT', 'ENOTDIR'].includes(errnoNameOf(error) ?? '')) throw error;
  }
}

function renameImage(image: ImageText, newName: string, places: ImagePlaces): void {
  refuseForeign(image);
  using _lock = lockImage(image, places);
  using _nameLock = lockName(newName, places);
  if (isTaken(newName, places)) throw new SystemError(errnos.EEXIST, 'renameat2', newName);
  const link = linkOf(image, places);
  const directory = path.dirname(link ?? image.path);
  const file = path.basename(link ?? image.path);
  const newFile = fileNameOf(newName, image);
  const type = link === undefined ? image.type : 'raw'; // a link has no protection of its own
  using undo = new UndoStack();
  renameProtected(type, directory, file, Buffer.from(newFile));
  undo.defer(() => renameProtected(type, directory, newFile, Buffer.from(file)));
  for (const [from, to] of companionsOf(image, newName, directory, places)) {
    if (link === undefined || isSettings(from, places)) renameCompanion(from, to, undo);
  }
  undo.keep();
}

/** One that somebody has written for the new name stays. */
function renameCompanion(from: string, to: string, undo: UndoStack): void {
  if (readFileStatus(from, 'as-links') === undefined || readFileStatus(to, 'as-links') !== undefined) return;
  renameSync(from, to);
  undo.defer(() => renameSync(to, from));
}

/** A directory that is protected against changes cannot be renamed: it is not, for a moment. */
function renameProtected(type: ImageText['type'], directory: string, name: string, newName: Buffer): void {
  using parent = openDirectory(directory);
  const rename = () => renameEntry(parent.fd, Buffer.from(name), newName, false);
  const file = `${directory}/${name}`;
  const isTree = type === 'directory' || type === 'mstack';
  if (!isTree || readFileStatus(file, 'as-links')?.immutable !== true) return rename();
  using tree = openDirectory(file);
  setImmutable(tree.fd, false);
  try {
    rename();
  } finally {
    setImmutable(tree.fd, true);
  }
}

function markReadOnly(image: ImageText, readOnly: boolean, places: ImagePlaces): void {
  refuseForeign(image);
  using _lock = lockImage(image, places);
  using file = new Descriptor(openSync(image.path, constants.O_RDONLY | constants.O_NONBLOCK));
  switch (image.type) {
    case 'subvolume':
      return setSubvolumeReadOnly(file.fd, readOnly);
    case 'directory':
    case 'mstack':
      return setImmutable(file.fd, readOnly);
    case 'block':
      return setDeviceReadOnly(file.fd, readOnly);
    case 'raw': {
      const { mode } = statSync(image.path);
      return chmodSync(image.path, readOnly ? mode & 0o7555 : mode | 0o200);
    }
  }
}

function limitImage(image: ImageText, limit: bigint | undefined): void {
  refuseForeign(image);
  if (image.type !== 'subvolume') throw new SystemError(errnos.EOPNOTSUPP, 'ioctl', image.path);
  using subvolume = openDirectory(image.path);
  limitSubvolume(subvolume.fd, limit);
}

/** The quota is read where it is counted: from the group of the subvolume and those in it, if there is one. */
function limitSubvolume(fd: number, limit: bigint | undefined): void {
  const own = subvolumeOf(fd);
  limitQuotaGroup(fd, own, limit);
  const group = subtreeGroup(fd, own);
  if (group !== own) limitQuotaGroup(fd, group, limit);
}

function limitPool(pool: string, limit: bigint | undefined): void {
  using directory = openDirectory(pool);
  const isSubvolume = isBtrfs(directory.fd) && fstatSync(directory.fd, { bigint: true }).ino === subvolumeInode;
  if (!isSubvolume) throw new SystemError(errnos.EOPNOTSUPP, 'ioctl', pool);
  enableQuota(directory.fd);
  limitSubvolume(directory.fd, limit);
}

/** Also where images' links lead, and among the versions of an image. */
function sweep(places: ImagePlaces): void {
  const swept = new Set<string>();
  for (const directory of places.directories) {
    sweepDirectory(directory, places, swept);
    for (const entry of entriesOf(directory)) {
      const file = `${directory}/${entry.name}`;
      if (entry.isDirectory() && entry.name.endsWith('.v')) sweepDirectory(file, places, swept);
      if (entry.isSymbolicLink()) sweepDirectory(path.dirname(path.resolve(directory, readlinkSync(file))), places, swept);
    }
  }
  for (const directory of places.settings) sweepDirectory(directory, places, swept);
}

function sweepDirectory(directory: string, places: ImagePlaces, swept: Set<string>): void {
  if (swept.has(directory)) return;
  swept.add(directory);
  for (const { name } of entriesOf(directory)) {
    if (!isAbandoned(name, places)) continue;
    using parent = openDirectory(directory);
    removeTree(parent.fd, Buffer.from(name), () => undefined);
  }
}

/** None if it cannot be read. */
function entriesOf(directory: string): Dirent[] {
  try {
    return readdirSync(directory, { withFileTypes: true });
  } catch (error) {
    if (errnoNameOf(error) === undefined) throw error;
    return [];
  }
}
