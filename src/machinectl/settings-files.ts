// The settings of machines that systemd-nspawn reads: systemd.nspawn(5).
import { statSync } from 'node:fs';
import path from 'node:path';
import { isMachinedError } from '../client/error.js';
import type { Context } from './context.js';
import { CommandFailure } from './failure.js';
import { errnoText, errorCode } from './system-errors.js';

const suffix = '.nspawn';
const administrators = '/etc/systemd/nspawn';
const directories = [administrators, '/run/systemd/nspawn'];

export interface SettingsFile {
  /** The file that there is; undefined if there is none. */
  readonly existing: string | undefined;
  /** Where changed settings go. */
  readonly target: string;
  /** Why a file that was named by its path cannot be looked at; undefined if it can. */
  readonly problem?: string;
}

/** Of a machine by its name, or a file by its absolute path. Throws CommandFailure for a name that no file can have. */
export async function findSettings(context: Context, name: string): Promise<SettingsFile> {
  if (path.isAbsolute(name)) return findByPath(name);
  const file = name.endsWith(suffix) ? name : name + suffix;
  if (file.includes('/')) throw new CommandFailure(`Invalid settings file name '${file}'.`);
  for (const directory of directories) {
    const candidate = path.join(directory, file);
    if (lookAt(candidate) === undefined) return { existing: candidate, target: candidate };
  }
  const besideImage = path.join(await directoryOfImage(context, file.slice(0, -suffix.length)), file);
  // those beside an image are not trusted with everything, so that the administrator's copy is what is edited
  return { existing: lookAt(besideImage) === undefined ? besideImage : undefined, target: path.join(administrators, file) };
}

function findByPath(name: string): SettingsFile {
  if (name.split('/').includes('..')) throw new CommandFailure(`Invalid settings file path '${name}'.`);
  const target = path.resolve(name);
  if (target === '/') {
    return { existing: undefined, target, problem: `Failed to extract filename from '${name}': ${errnoText('EADDRNOTAVAIL')}` };
  }
  const code = lookAt(target);
  if (code === undefined) return { existing: target, target };
  const about = code === 'ENOTDIR' ? path.dirname(target) : name;
  return { existing: undefined, target, problem: `Failed to chase '${about}': ${errnoText(code)}` };
}

/** Why there is no such file: 'ENOENT'; undefined if there is one. */
function lookAt(file: string): string | undefined {
  try {
    statSync(file);
    return undefined;
  } catch (error) {
    return errorCode(error);
  }
}

/** The pool, for one that is not there. */
async function directoryOfImage({ registry }: Context, name: string): Promise<string> {
  try {
    const { image } = await registry.call('GetImage', { name });
    const { Path: file } = await registry.imageProperties(image);
    if (file !== undefined) return path.dirname(file);
  } catch (error) {
    if (!isMachinedError(error)) throw error;
  }
  return '/var/lib/machines';
}
