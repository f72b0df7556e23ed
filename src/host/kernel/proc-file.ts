import { closeSync, openSync, readSync } from 'node:fs';
import { errnoNameOf } from './system-error.js';

// More than any file read here has: uid_map's 340 lines are 11 KiB, and of status the first lines are what counts.
const buffer = Buffer.alloc(65536);

/**
 * The text of a small file of the proc file system, without waiting (about 8 µs); undefined if there is none, which for
 * /proc/PID means that the process has ended. Throws Node's errors otherwise (EACCES, EMFILE).
 */
export function readProcFile(path: string): string | undefined {
  try {
    return readText(path);
  } catch (error) {
    const code = errnoNameOf(error);
    if (code === 'ENOENT' || code === 'ESRCH') return undefined;
    throw error;
  }
}

function readText(path: string): string {
  const fd = openSync(path, 'r');
  try {
    let length = 0;
    while (length < buffer.length) {
      const count = readSync(fd, buffer, length, buffer.length - length, null);
      if (count === 0) break;
      length += count;
    }
    return buffer.toString('utf8', 0, length);
  } finally {
    closeSync(fd);
  }
}
