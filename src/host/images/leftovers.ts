import { readdir, type Dirent } from 'node:fs';
import type { ImagePlaces } from './image-change.js';

/**
 * Whether there may be anything for a sweep, which costs a process: names of what is on its way, and of locks, begin
 * alike. What links lead to, and the versions of an image, are for a helper to look at: this looks at the host's own
 * directories alone, and keeps nobody waiting.
 */
export async function mayHoldLeftovers({ directories, settings, pool, locks }: Omit<ImagePlaces, 'instance'>): Promise<boolean> {
  if ((await entriesOf(locks)).length > 0) return true;
  for (const directory of new Set([...directories, ...settings, pool])) {
    if ((await entriesOf(directory)).some(isLeftOrLeadsOn)) return true;
  }
  return false;
}

function isLeftOrLeadsOn(entry: Dirent): boolean {
  return entry.name.startsWith('.#') || entry.isSymbolicLink() || entry.name.endsWith('.v');
}

/** None if it is no directory, or cannot be read. */
function entriesOf(directory: string): Promise<readonly Dirent[]> {
  // not by node:fs/promises: to load that takes longer than all of this
  return new Promise((resolve) => {
    readdir(directory, { withFileTypes: true }, (error, entries) => resolve(error === null ? entries : []));
  });
}
