// What is needed to enter a guest without its help, gathered by a helper process.
import { fstatSync, openSync, statSync } from 'node:fs';
import { isFailure, systemFailure } from '../../domain/failure.js';
import type { ProcessIdentity } from '../../domain/machine.js';
import { UndoStack } from '../../domain/undo.js';
import { mapOut } from '../../domain/users.js';
import { findGroups, findUser, type UserEntry } from '../../wire/user-files.js';
import { withFileRightsOf } from '../kernel/guest-root.js';
import { close, duplicate } from '../kernel/libc.js';
import { readProcFile } from '../kernel/proc-file.js';
import { parseCgroup, parseIdMappings } from '../kernel/processes.js';
import { failureOf } from '../kernel/system-error.js';
import { inRootOf, type GuestUser } from './guest-root-user.js';
import { locateIfThere, readInRoot } from './read-in-root.js';

/** In the order in which their descriptors come; the files of /proc/PID/ns. */
export const namespaceKinds = ['user', 'mnt', 'pid', 'net', 'ipc', 'uts', 'cgroup'] as const;
export type NamespaceKind = (typeof namespaceKinds)[number];

export interface Entrance {
  readonly user: UserEntry;
  /** The host's id of the user. */
  readonly hostUser: number;
  /** The host's ids of the user's groups: its own one first. */
  readonly hostGroups: readonly number[];
  /** Those of the guest that are not the helper's own: a descriptor of each, then of the root and the home directory. */
  readonly namespaces: readonly NamespaceKind[];
  /** The leader's cgroup, from the root of the cgroup v2 tree; '' where there is none. */
  readonly cgroup: string;
  /** The capabilities that the guest may have, proc_pid_status(5)'s CapBnd in hexadecimal, and those of the helper. */
  readonly capabilities: string;
  readonly ownCapabilities: string;
  readonly noNewPrivileges: boolean;
}

/** Where there is no user database, there is root. */
const superuser: UserEntry = { name: 'root', uid: 0, gid: 0, home: '/root', shell: '/bin/sh' };

/**
 * For a user, by name or id, to run a program; '' is the user's shell. Undefined if there is no such user. It may wait for
 * ever: only a helper process may call this. The caller closes the descriptors. Throws Failure 'system': ENOENT (no such
 * program), ESRCH, EACCES.
 */
export function findEntrance(
  leader: ProcessIdentity,
  userName: string,
  program: string,
): { readonly entrance: Entrance; readonly fds: readonly number[] } | undefined {
  return explained(leader, () =>
    inRootOf(leader, (root, rootUser, pin) => {
      using opened = new UndoStack();
      const keep = (fd: number) => {
        opened.defer(() => close(fd));
        return fd;
      };
      const user = lookUp(root, rootUser, userName);
      if (user === undefined) return undefined;
      requireProgramIn(root, program === '' ? user.entry.shell : program);
      const namespaces = namespaceKinds.filter((kind) => !isOwn(leader.pid, kind));
      const fds = namespaces.map((kind) => keep(openSync(`/proc/${leader.pid}/ns/${kind}`, 'r')));
      fds.push(keep(duplicate(root)), keep(locateHome(root, user.entry.home) ?? duplicate(root)));
      const cgroup = parseCgroup(readProcFile(`/proc/${leader.pid}/cgroup`) ?? '');
      const status = readProcFile(`/proc/${leader.pid}/status`) ?? '';
      const hostUser = mapOut(parseIdMappings(readProcFile(`/proc/${leader.pid}/uid_map`) ?? ''), user.entry.uid);
      if (hostUser === undefined) return undefined; // nobody can be that user there
      const groupMap = parseIdMappings(readProcFile(`/proc/${leader.pid}/gid_map`) ?? '');
      pin.assertAlive(); // so that all of it is this process's
      opened.keep();
      return {
        entrance: {
          user: user.entry,
          hostUser,
          hostGroups: [user.entry.gid, ...user.groups].flatMap((gid) => mapOut(groupMap, gid) ?? []),
          namespaces,
          cgroup,
          capabilities: capabilitiesIn(status),
          ownCapabilities: capabilitiesIn(readProcFile('/proc/self/status') ?? ''),
          noNewPrivileges: /^NoNewPrivs:\t1$/m.test(status),
        },
        fds,
      };
    }),
  );
}

/**
 * Whether the guest's own files say that there are this user and this program. Only a helper process may call this. Throws
 * Failure 'system': ESRCH, EACCES, and what keeps the files from being read.
 */
export function isKnown(leader: ProcessIdentity, userName: string, program: string): boolean {
  return explained(leader, () =>
    inRootOf(leader, (root, rootUser) => lookUp(root, rootUser, userName) !== undefined && isProgramIn(root, program)),
  );
}

/** Throws Failure 'system': ENOENT if the guest has no such program, ESRCH, EACCES. Only a helper process may call this. */
export function requireProgram(leader: ProcessIdentity, program: string): void {
  explained(leader, () => inRootOf(leader, (root) => requireProgramIn(root, program)));
}

function explained<T>(leader: ProcessIdentity, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw isFailure(error) ? error : failureOf(error, `Cannot enter the machine of process ${leader.pid}`);
  }
}

function lookUp(root: number, rootUser: GuestUser | undefined, user: string): { entry: UserEntry; groups: readonly number[] } | undefined {
  const look = () => {
    const passwd = readInRoot(root, 'etc/passwd')?.toString();
    const group = readInRoot(root, 'etc/group')?.toString() ?? '';
    const entry = findUser(passwd ?? '', user) ?? (passwd === undefined && isSuperuser(user) ? superuser : undefined);
    if (entry === undefined) return undefined;
    return { entry: { ...entry, shell: entry.shell === '' ? superuser.shell : entry.shell }, groups: findGroups(group, entry.name) };
  };
  return rootUser === undefined ? look() : withFileRightsOf(rootUser.uid, rootUser.gid, look);
}

function isSuperuser(user: string): boolean {
  return user === superuser.name || user === String(superuser.uid);
}

/** Whoever runs it could only complain on the terminal. */
function requireProgramIn(root: number, program: string): void {
  if (!isProgramIn(root, program)) throw systemFailure('ENOENT', `The machine has no program ${program} that can be run`);
}

function isProgramIn(root: number, program: string): boolean {
  const located = locateIfThere(root, program.slice(1));
  if (located === undefined) return false;
  const status = fstatSync(located);
  close(located);
  return status.isFile() && (status.mode & 0o111) !== 0;
}

function locateHome(root: number, home: string): number | undefined {
  const located = home.startsWith('/') ? locateIfThere(root, home.slice(1)) : undefined;
  if (located === undefined || fstatSync(located).isDirectory()) return located;
  close(located);
  return undefined;
}

function isOwn(pid: number, kind: NamespaceKind): boolean {
  const own = statSync(`/proc/self/ns/${kind}`, { bigint: true });
  const other = statSync(`/proc/${pid}/ns/${kind}`, { bigint: true });
  return own.ino === other.ino && own.dev === other.dev;
}

function capabilitiesIn(status: string): string {
  return /^CapBnd:\t([0-9a-f]+)$/m.exec(status)?.[1] ?? '0';
}
