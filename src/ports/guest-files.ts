import type { ProcessIdentity } from '../domain/machine.js';
import type { WorkControl } from '../domain/operations.js';

export interface CopyRequest {
  /** The machine's name, which errors at the host's end are told with. */
  readonly machine: string;
  /** As seen from the machine. */
  readonly direction: 'from' | 'to';
  /** An absolute path where it comes from; not '/'. A symbolic link at its end is copied as that. */
  readonly source: string;
  /** An absolute path where it goes; not '/'. */
  readonly destination: string;
  /** Files that are there are replaced. */
  readonly replace: boolean;
}

export interface BindRequest {
  /** An absolute path of the host, whose symbolic links are followed. */
  readonly source: string;
  /** An absolute path in the machine. */
  readonly destination: string;
  readonly readOnly: boolean;
  /** Make the destination, and the directories on the way there, if it is missing. */
  readonly makeDestination: boolean;
}

/**
 * Reaches into the files of what runs behind a process. A guest may be hostile: none of its symbolic links leads to the
 * host, it can keep nobody waiting but the copies of its own files, and a process that was replaced since is not touched.
 *
 * All failures are of kind 'system': ESRCH (the process has ended), ETIMEDOUT (the guest does not answer), EPERM, and what
 * is named below.
 */
export interface GuestFiles {
  /** A descriptor of the root directory, readable, that the caller owns. */
  openRoot(leader: ProcessIdentity): Promise<number>;
  /**
   * Copies a file or a tree; with a user namespace, everything becomes its root user's or, outside, root's. Directories are
   * merged. Fails with ENOENT, EEXIST (a file is there), ENOTDIR (a file is where a directory is to be; all the rest is
   * copied), ENOSPC, …, ECANCELED: then what it has made is taken back, but where a file took another's place.
   */
  copy(leader: ProcessIdentity, request: CopyRequest, control?: WorkControl): Promise<void>;
  /**
   * Makes a file or directory of the host appear in the machine, with its owners mapped if it has a user namespace. Fails
   * with ENOENT, EINVAL (one is a directory and the other is not), EOPNOTSUPP (owners cannot be mapped there).
   */
  bind(leader: ProcessIdentity, request: BindRequest): Promise<void>;
  /**
   * Takes away what `bind` has mounted on an absolute path in the machine, also before the daemon was restarted. Fails with
   * EINVAL (nothing that `bind` has mounted is to be seen there), EBUSY (it is in use), ENOENT.
   */
  unbind(leader: ProcessIdentity, destination: string): Promise<void>;
  /** What was mounted there need not be remembered: the machine is no more. */
  forget(leader: ProcessIdentity): void;
}
