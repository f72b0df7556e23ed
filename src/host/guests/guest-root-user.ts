import type { ProcessIdentity } from '../../domain/machine.js';
import { mapOut, nobodyId } from '../../domain/users.js';
import { closeLocated, openRootOf } from '../kernel/guest-root.js';
import { readProcFile } from '../kernel/proc-file.js';
import { parseIdMappings } from '../kernel/processes.js';
import { PinnedProcess } from './pinned-process.js';

/** Its root directory is the daemon's own, for whoever may not look at that of another user's process. */
const initPid = 1;

/** By whose /proc directory the root directory and the namespaces of a process are found. */
export function standIn({ pid }: ProcessIdentity): number {
  return pid === initPid ? process.pid : pid;
}

/** The host's ids of a user in a guest. */
export interface GuestUser {
  readonly uid: number;
  readonly gid: number;
}

/**
 * Does something below the root directory of a process, and knows its root user: undefined if that has our own rights
 * anyway. Only a helper process may call this. Throws SystemError ESRCH if the process has ended, EACCES, and what `work`
 * throws.
 */
export function inRootOf<T>(leader: ProcessIdentity, work: (root: number, user: GuestUser | undefined, pin: PinnedProcess) => T): T {
  using pin = new PinnedProcess(leader);
  const root = openRootOf(standIn(leader));
  try {
    const user = rootUserOf(leader.pid);
    pin.assertAlive(); // so that root directory and user are this process's
    return work(root, user, pin);
  } finally {
    closeLocated(root);
  }
}

function rootUserOf(pid: number): GuestUser | undefined {
  if (process.geteuid?.() !== 0) return undefined;
  const uid = rootIdIn(`/proc/${pid}/uid_map`);
  const gid = rootIdIn(`/proc/${pid}/gid_map`);
  return uid === 0 && gid === 0 ? undefined : { uid, gid };
}

function rootIdIn(map: string): number {
  return mapOut(parseIdMappings(readProcFile(map) ?? ''), 0) ?? nobodyId;
}
