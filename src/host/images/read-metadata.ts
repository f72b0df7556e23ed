import { closeSync, constants, openSync } from 'node:fs';
import { hostname } from 'node:os';
import { isFailure, systemFailure } from '../../domain/failure.js';
import { hostImageName } from '../../domain/image.js';
import { EnvFileError, parseEnvFile } from '../../wire/env-file.js';
import { readInRoot } from '../guests/read-in-root.js';
import { errorText } from '../kernel/libc.js';
import { errnoNameOf, errnos } from '../kernel/system-error.js';
import { openDiskRoot } from './disk-root.js';
import type { ImageText } from './image-change.js';

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
 * Looks into an image that is a tree of files, or a disk with one; links in it lead nowhere else. A file that cannot be read or understood says
 * nothing. It may wait for ever: only a helper process may call this. Throws Failure 'system'.
 */
export function readMetadata(image: ImageText): MetadataText {
  const { name } = image;
  const root = openRoot(image);
  try {
    return {
      hostname: name === hostImageName ? hostname() : readHostname(root),
      machineId: readMachineId(root),
      machineInfo: readFields(root, ['etc/machine-info']),
      osRelease: readFields(root, ['etc/os-release', 'usr/lib/os-release']), // in the order of os-release(5)
    };
  } finally {
    closeSync(root);
  }
}

function openRoot({ path, type }: ImageText): number {
  try {
    if (type === 'raw') return openDiskRoot(path);
    return openSync(path, O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  } catch (error) {
    const code = errnoNameOf(error);
    if (code === undefined) throw error;
    throw systemFailure(code, errorText(errnos[code] ?? errnos.EIO), error);
  }
}

/** Undefined if none of these can be read. */
function readFirst(root: number, files: readonly string[]): Buffer | undefined {
  for (const file of files) {
    try {
      const bytes = readInRoot(root, file);
      if (bytes !== undefined) return bytes;
    } catch (error) {
      if (!isFailure(error, 'system') && errnoNameOf(error) === undefined) throw error;
    }
  }
  return undefined;
}

function readFields(root: number, files: readonly string[]): (readonly [string, string])[] {
  const bytes = readFirst(root, files);
  if (bytes === undefined) return [];
  try {
    return [...parseEnvFile(bytes)];
  } catch (error) {
    if (!(error instanceof EnvFileError)) throw error;
    return [];
  }
}

/** Source: machine-id(5). */
function readMachineId(root: number): string | null {
  const text = readFirst(root, ['etc/machine-id'])?.toString('latin1').replace(/\n$/, '');
  return text !== undefined && /^[0-9a-f]{32}$/i.test(text) && !/^0+$/.test(text) ? text.toLowerCase() : null;
}

/** The first line that is no comment, hostname(5), without what has no place in a name. */
function readHostname(root: number): string | null {
  const lines = readFirst(root, ['etc/hostname'])?.toString('latin1').split('\n') ?? [];
  const line = lines.map((text) => text.trim()).find((text) => text !== '' && !text.startsWith('#')) ?? '';
  const allowed = line.replace(/[^A-Za-z0-9.-]/g, '').slice(0, longestHostname);
  const labels = allowed.split('.').map((label) => label.replace(/^-+|-+$/g, ''));
  const name = labels.filter((label) => label !== '').join('.');
  return name === '' ? null : name;
}
