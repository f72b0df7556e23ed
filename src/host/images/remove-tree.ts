import { constants, fstatSync, openSync } from 'node:fs';
import { destroySubvolume, setSubvolumeReadOnly } from '../kernel/btrfs-changes.js';
import { isBtrfs, nestedSubvolumes, subvolumeOf } from '../kernel/btrfs.js';
import { locateBeneath, O_DIRECTORY, O_PATH, openEntry, openUnmounted, removeEntry } from '../kernel/file-calls.js';
import { clearProtection } from '../kernel/file-flags.js';
import { errnoNameOf, errnos, SystemError } from '../kernel/system-error.js';
import { Descriptor, namesIn } from '../guests/tree-copy.js';
import { takeGroupsOf } from './quota-groups.js';

const subvolumeInode = 256n;

/** Deeper than trees are; each level takes two descriptors. */
const deepest = 1024;

/**
 * Removes a file or a whole tree with its subvolumes, however much they are protected. `directory` is open for reading.
 * Calls `tick` for each entry. Throws SystemError: ENOENT, EBUSY (something is mounted in it; all else may be gone).
 */
export function removeTree(directory: number, name: Buffer, tick: () => void, depth = 0): void {
  if (depth > deepest) throw new SystemError(errnos.ENAMETOOLONG, 'openat2', String(name));
  if (removeFile(directory, name)) return tick();
  using own = openUnlessMounted(directory, name);
  if (fstatSync(own.fd, { bigint: true }).ino === subvolumeInode && isBtrfs(own.fd)) {
    removeSubvolume(directory, name, own.fd, tick, depth);
    return;
  }
  for (const entry of namesIn(own.fd)) removeTree(own.fd, entry, tick, depth + 1);
  unprotected(directory, name, () => removeEntry(directory, name, true));
  tick();
}

/** False if it is a directory. */
function removeFile(directory: number, name: Buffer): boolean {
  try {
    unprotected(directory, name, () => removeEntry(directory, name, false));
    return true;
  } catch (error) {
    if (errnoNameOf(error) === 'EISDIR') return false;
    throw error;
  }
}

/** Deletes all its files in one go; subvolumes inside of it have to go before. */
function removeSubvolume(directory: number, name: Buffer, subvolume: number, tick: () => void, depth: number): void {
  setSubvolumeReadOnly(subvolume, false);
  const removeGroups = takeGroupsOf(subvolume, subvolumeOf(subvolume));
  for (const nested of nestedSubvolumes(subvolume)) {
    using parent = openBeneath(subvolume, nested.directory);
    removeTree(parent.fd, nested.name, tick, depth + 1);
  }
  unprotected(directory, name, () => destroySubvolume(directory, name));
  removeGroups(directory);
  tick();
}

/** A directory in a subvolume, open for reading; '' is the subvolume's root. */
export function openBeneath(subvolume: number, directory: Buffer): Descriptor {
  using located = new Descriptor(locateBeneath(subvolume, directory.length === 0 ? Buffer.from('.') : directory));
  return new Descriptor(openSync(`/proc/self/fd/${located.fd}`, constants.O_RDONLY | constants.O_DIRECTORY));
}

function openUnlessMounted(directory: number, name: Buffer): Descriptor {
  try {
    return new Descriptor(openUnmounted(directory, name, O_DIRECTORY));
  } catch (error) {
    if (errnoNameOf(error) === 'EXDEV') throw new SystemError(errnos.EBUSY, 'openat2', String(name));
    throw error;
  }
}

/** Does what removes an entry; if it may not, once more without the marks that keep it, or its directory, from changing. */
function unprotected(directory: number, name: Buffer, remove: () => void): void {
  try {
    remove();
  } catch (error) {
    if (errnoNameOf(error) !== 'EPERM') throw error;
    clearProtection(directory);
    clearProtectionOf(directory, name);
    remove();
  }
}

function clearProtectionOf(directory: number, name: Buffer): void {
  using entry = openIfPlain(directory, name);
  if (entry !== undefined) clearProtection(entry.fd);
}

/** Only directories and files have such marks; a link, a pipe or a device is not opened to look. */
function openIfPlain(directory: number, name: Buffer): Descriptor | undefined {
  using located = new Descriptor(openEntry(directory, name, O_PATH));
  const status = fstatSync(located.fd);
  if (!status.isFile() && !status.isDirectory()) return undefined;
  return new Descriptor(openSync(`/proc/self/fd/${located.fd}`, constants.O_RDONLY | constants.O_NONBLOCK));
}
