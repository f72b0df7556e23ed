import { lstatSync, mkdirSync } from 'node:fs';

/**
 * Makes a directory in a place where everybody may make one (/tmp). Throws an Error if one is there that somebody else
 * made, or may write to: it is not to be trusted.
 */
export function makePrivateDirectory(directory: string, owner: number): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const status = lstatSync(directory);
  if (!status.isDirectory() || status.uid !== owner || (status.mode & 0o022) !== 0) {
    throw new Error(`${directory} is not this user's own: remove it, or set XDG_RUNTIME_DIR to a directory that is`);
  }
}
