import { constants, lstatSync, openSync, realpathSync } from 'node:fs';
import path from 'node:path';
import { canBeFile, entriesOfName } from '../../domain/image-entry.js';
import { Descriptor } from '../guests/tree-copy.js';
import { errnoNameOf, errnos, SystemError } from '../kernel/system-error.js';
import { cryptography } from '../on-demand.js';
import { SearchDirectory } from './search-directory.js';
import type { ImagePlaces, ImageText } from './image-change.js';

/** What goes along with a disk, beside it: verity hashes, their signatures and trees. Source: systemd-nspawn(1), --image=. */
const diskCompanions = ['roothash', 'roothash.p7s', 'usrhash', 'usrhash.p7s', 'verity'];
const settings = 'nspawn';

/** Names of what is on its way begin so: nobody takes them for images. */
const temporaryPrefix = '.#machined-';

export function temporaryName({ instance }: ImagePlaces): Buffer {
  return Buffer.from(`${temporaryPrefix}${instance}-${cryptography().randomBytes(8).toString('hex')}`);
}

/** Whether a file is what a change had under way: the one that has failed or, with null, any of other daemons. */
export function isAbandoned(file: string, { instance }: ImagePlaces, failed: string | null): boolean {
  if (failed !== null) return file.startsWith(`${temporaryPrefix}${failed}-`);
  const [daemon] = instance.split('.');
  return file.startsWith(temporaryPrefix) && !file.startsWith(`${temporaryPrefix}${daemon}.`);
}

/** The file's name for an image of such a type. */
export function fileNameOf(name: string, { type }: Pick<ImageText, 'type'>): string {
  if (type === 'raw') return `${name}.raw`;
  return type === 'mstack' ? `${name}.mstack` : name;
}

/** Files that belong to an image, and what they are called if it gets another name. None of them needs to be there. */
export function companionsOf(image: ImageText, newName: string, newDirectory: string, places: ImagePlaces): [string, string][] {
  const isDisk = image.type === 'raw' || image.type === 'block';
  const directory = path.dirname(image.path);
  const file = isDisk ? path.basename(image.path, '.raw') : path.basename(image.path);
  const name = image.type === 'raw' ? path.basename(image.name, '.raw') : image.name;
  return [
    ...[...diskCompanions, settings].map((ending): [string, string] => [`${directory}/${file}.${ending}`, `${newDirectory}/${newName}.${ending}`]),
    ...places.settings.map((place): [string, string] => [`${place}/${name}.${settings}`, `${place}/${newName}.${settings}`]),
  ];
}

/** The symbolic link that makes a file elsewhere an image; undefined if that is in the directory itself. */
export function linkOf(image: ImageText, { directories }: ImagePlaces): string | undefined {
  for (const directory of directories) {
    for (const { file } of entriesOfName(image.name)) {
      const entry = `${directory}/${file}`;
      const status = lstatSync(entry, { throwIfNoEntry: false });
      if (status?.isSymbolicLink() === true && realPathOf(entry) === image.path) return entry;
    }
  }
  return undefined;
}

function realPathOf(file: string): string | undefined {
  try {
    return realpathSync.native(file);
  } catch (error) {
    if (errnoNameOf(error) === undefined) throw error;
    return undefined;
  }
}

/** Whether there is an image of that name. Throws SystemError EINVAL: there can be none. */
export function isTaken(name: string, { directories }: ImagePlaces): boolean {
  if (!canBeFile(name)) throw new SystemError(errnos.EINVAL, 'openat', name);
  return directories.some((directory) => new SearchDirectory(directory).filesOfName(name).some((file) => file.look() !== undefined));
}

/** Symbolic links at the end are not followed. Throws Node's errors. */
export function openDirectory(directory: string): Descriptor {
  return new Descriptor(openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY));
}
