// Ways into a guest, for helper processes to open: all of them walk its paths.
import type { ProcessIdentity } from '../../domain/machine.js';
import { connectInRoot } from '../kernel/guest-socket.js';
import { openTerminalIn, type PseudoTerminal } from '../kernel/pseudo-terminal.js';
import { failureOf } from '../kernel/system-error.js';
import { inRootOf } from './guest-root-user.js';

/** A new terminal in the process's root directory. Throws Failure 'system': ENOENT, ENXIO, ESRCH, EACCES, ENOSPC. */
export function openTerminal(leader: ProcessIdentity): PseudoTerminal {
  return explained(`Cannot open a terminal of process ${leader.pid}`, () =>
    inRootOf(leader, (root, user) => openTerminalIn(root, user?.uid ?? ownUser())),
  );
}

/**
 * A connection to the system bus in the process's root directory, as the root user of its user namespace; `uid` is who
 * that is for the bus. Throws Failure 'system': ENOENT (no bus), EAGAIN (too many wait for it), ESRCH, EACCES.
 */
export function connectBus(leader: ProcessIdentity): { readonly uid: number; readonly fd: number } {
  return explained(`Cannot reach the bus of process ${leader.pid}`, () =>
    inRootOf(leader, (root, user) => ({
      uid: user === undefined ? ownUser() : 0,
      fd: connectInRoot(root, 'run/dbus/system_bus_socket', user),
    })),
  );
}

function explained<T>(attempt: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw failureOf(error, attempt);
  }
}

function ownUser(): number {
  return process.geteuid?.() ?? 0;
}
