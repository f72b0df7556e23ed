import { closeSync, constants, openSync } from 'node:fs';
import { hostname } from 'node:os';
import { isFailure, systemFailure } from '../../domain/failure.js';
import { hostImageName } from '../../domain/image.js';
import { EnvFileError, parseEnvFile } from '../../wire/env-file.js';
import { locateIfThere, readInRoot } from '../guests/read-in-root.js';
import { closeLocated } from '../kernel/guest-root.js';
import { errorText } from '../kernel/libc.js';
import { errnoNameOf, errnos, SystemError } from '../kernel/system-error.js';
import { openDiskTrees, ProtectedDiskError, type DiskTrees } from './disk-root.js';
import { dissect } from './dissect.js';
import type { ImageText } from './image-change.js';
import { refuseLocked } from './image-locks.js';

const O_PATH = 0o10000000;
const longestHostname = 64; // HOST_NAME_MAX

/** What the files of an image say of it, as JSON has it; null: nothing. */
export interface MetadataText {
  readonly hostname: string | null;
  readonly machineId: string | null;
  readonly machineInfo: readonly (readonly [string, string])[];
  readonly osRelease: readonly (readonly [string, string])[];
}

/**
 * Looks into an image that is a tree of files, or a disk with one; links in it lead nowhere else. A file that cannot be
 * read or understood says nothing. It may wait for ever: only a helper process may call this. Throws Failure 'system'; what
 * a disk is refused with, see openDiskTrees, ENOMEDIUM: there is no operating system on it, and EBUSY: somebody runs it.
 */
export function readMetadata(image: ImageText, locks: string): MetadataText {
  try {
    if (image.name !== hostImageName) refuseLocked(image, locks);
    return image.type === 'raw' || image.type === 'block' ? readDisk(image) : readDirectory(image);
  } catch (error) {
    const code = errnoNameOf(error);
    if (code === undefined) throw error;
    throw systemFailure(code, errorText(errnos[code] ?? errnos.EIO), error);
  }
}

function readDirectory({ name, path }: ImageText): MetadataText {
  const root = openSync(path, O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  try {
    const found = readTrees({ root, usr: undefined });
    return name === hostImageName ? { ...found, hostname: hostname() } : found;
  } finally {
    closeSync(root);
  }
}

function readDisk({ path }: ImageText): MetadataText {
  let trees: DiskTrees;
  try {
    trees = openDiskTrees(path);
  } catch (error) {
    if (error instanceof ProtectedDiskError) return dissect(path);
    throw error;
  }
  try {
    if (!systemFiles.some((file) => isThere(trees, file))) throw new SystemError(errnos['ENOMEDIUM'] ?? errnos.ENOENT, 'openat2', path);
    return readTrees(trees);
  } finally {
    for (const tree of [trees.root, trees.usr]) if (tree !== undefined) closeSync(tree);
  }
}

/** One of these is in the tree of every operating system, or of an extension of one. Source: os-release(5). */
const systemFiles = ['etc/os-release', 'usr/lib/os-release', 'usr/lib/extension-release.d', 'etc/extension-release.d'];

function readTrees(trees: DiskTrees): MetadataText {
  return {
    hostname: readHostname(trees),
    machineId: readMachineId(trees),
    machineInfo: readFields(trees, ['etc/machine-info']),
    osRelease: readFields(trees, ['etc/os-release', 'usr/lib/os-release']), // in the order of os-release(5)
  };
}

/** In the tree that has the file, by its path there. */
function inTree<T>({ root, usr }: DiskTrees, file: string, look: (tree: number, file: string) => T): T | undefined {
  if (usr !== undefined && file.startsWith('usr/')) return look(usr, file.slice('usr/'.length));
  return root === undefined ? undefined : look(root, file);
}

function isThere(trees: DiskTrees, file: string): boolean {
  try {
    const located = inTree(trees, file, locateIfThere);
    if (located !== undefined) closeLocated(located);
    return located !== undefined;
  } catch (error) {
    if (errnoNameOf(error) === undefined) throw error;
    return false;
  }
}

/** The first of these that is there; undefined if there is none, or it cannot be read. */
function readFirst(trees: DiskTrees, files: readonly string[]): Buffer | undefined {
  try {
    for (const file of files) {
      const bytes = inTree(trees, file, readInRoot);
      if (bytes !== undefined) return bytes;
    }
  } catch (error) {
    if (!isFailure(error, 'system') && errnoNameOf(error) === undefined) throw error;
  }
  return undefined;
}

function readFields(trees: DiskTrees, files: readonly string[]): (readonly [string, string])[] {
  const bytes = readFirst(trees, files);
  if (bytes === undefined) return [];
  try {
    return [...parseEnvFile(bytes)];
  } catch (error) {
    if (!(error instanceof EnvFileError)) throw error;
    return [];
  }
}

/** Source: machine-id(5). */
function readMachineId(trees: DiskTrees): string | null {
  const text = readFirst(trees, ['etc/machine-id'])?.toString('latin1').replace(/\n$/, '');
  return text !== undefined && /^[0-9a-f]{32}$/i.test(text) && !/^0+$/.test(text) ? text.toLowerCase() : null;
}

/** The first line that is no comment, hostname(5), without what has no place in a name. */
function readHostname(trees: DiskTrees): string | null {
  const lines = readFirst(trees, ['etc/hostname'])?.toString('latin1').split(/[\n\0]/) ?? [];
  const line = lines.map((text) => text.trim()).find((text) => text !== '' && !text.startsWith('#')) ?? '';
  // '?' and '$' stand for what only the system itself can put there, hostname(5)
  const allowed = line.replace(/[^A-Za-z0-9.?$-]/g, '').replace(/^[.-]+/, '');
  const between = allowed.replace(/[.-]+/g, (marks) => (marks.startsWith('.') ? '.' : marks.replaceAll('.', '')));
  const name = between.slice(0, longestHostname).replace(/[.-]+$/, '');
  return name === '' ? null : name;
}
