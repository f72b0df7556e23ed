// A process of its own that walks the paths of guests for the daemon. A guest can make such a walk wait for ever, in a
// file system that it serves itself; then this process is killed, and nothing else has stood still.
import { createInterface } from 'node:readline';
import { isFailure } from '../../domain/failure.js';
import { dieWithParent } from '../kernel/guest-root.js';
import { readOsRelease } from './os-release.js';
import { identityOf, type OsReleaseAnswer, type OsReleaseRequest } from './protocol.js';

dieWithParent();
if (process.geteuid?.() === 0) process.setgroups?.([]); // root's groups may read what a guest may not

// The end of the input is the end of the daemon, or of its need of this process.
createInterface({ input: process.stdin }).on('line', (line) => {
  process.stdout.write(`${JSON.stringify(answer(JSON.parse(line) as OsReleaseRequest))}\n`);
});

function answer(request: OsReleaseRequest): OsReleaseAnswer {
  try {
    const fields = readOsRelease(identityOf(request));
    return { fields: fields === undefined ? null : [...fields] };
  } catch (error) {
    if (!isFailure(error, 'system') || error.errno === undefined) throw error;
    return { errno: error.errno, message: error.message };
  }
}
