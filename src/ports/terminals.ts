import type { ProcessIdentity } from '../domain/machine.js';
import type { ShellRequest } from '../domain/shell.js';

/** A pseudo-terminal of a machine. */
export interface Terminal {
  /** The end that whoever asked for it talks to; the receiver owns it. */
  readonly fd: number;
  /** The other end, as the machine has it: '/dev/pts/3'. */
  readonly path: string;
}

/**
 * Terminals in what runs behind a process, and programs on them. A guest may be hostile, or stand still: whatever it does
 * costs the asker an error within seconds, and nobody else anything.
 *
 * All reject with Failure 'system': ESRCH (the leader has ended), ENOENT (there are no terminals, or no such program),
 * ETIMEDOUT, EMFILE, or what the guest's service manager answered, with its bus error; 'too-many-operations'.
 */
export interface Terminals {
  /** One that nothing runs on. */
  open(leader: ProcessIdentity): Promise<Terminal>;
  /** One with a login prompt. */
  login(leader: ProcessIdentity): Promise<Terminal>;
  /** One with a program, which is its controlling process. Also Failure 'no-such-user'. */
  shell(leader: ProcessIdentity, request: ShellRequest): Promise<Terminal>;
  /** The same, without any help of the guest's service manager. */
  enteredShell(leader: ProcessIdentity, request: ShellRequest): Promise<Terminal>;
}
