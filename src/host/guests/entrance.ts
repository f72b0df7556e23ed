// What is needed to enter a guest without its help, gathered by a helper process.
import { fstatSync, openSync, statSync } from 'node:fs';
import { isFailure, systemFailure, type Failure } from '../../domain/failure.js';
import type { ProcessIdentity } from '../../domain/machine.js';
import { UndoStack } from '../../domain/undo.js';
import { mapOut, nobodyId } from '../../domain/users.js';
import { findGroups, findUser, type UserEntry } from '../../wire/user-files.js';
import { locateInRoot, mayExecute, withFileRightsOf } from '../kernel/guest-root.js';
import { close, duplicate } from '../kernel/libc.js';
import { limitsOf, limitsOfPeer, type Limits } from '../kernel/limits.js';
import { readProcFile } from '../kernel/proc-file.js';
import { parseCgroup, parseIdMappings } from '../kernel/processes.js';
import { errnoNameOf, failureOf } from '../kernel/system-error.js';
import { inRootOf, standIn, type GuestUser } from './guest-root-user.js';
import { interpreterOf } from './interpreter.js';
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
  /** Its files are the host's own. */
  readonly isHost: boolean;
  /** The leader's cgroup, from the root of the cgroup v2 tree; '' where there is none. */
  readonly cgroup: string;
  /** The capabilities that the guest may have, proc_pid_status(5)'s CapBnd in hexadecimal, and those of the helper. */
  readonly capabilities: string;
  readonly ownCapabilities: string;
  readonly noNewPrivileges: boolean;
}

/** What the guest's processes have beside their rights, as its leader has it. */
export interface Surroundings {
  readonly limits: Limits;
  /** proc_pid_oom_score_adj(5) */
  readonly memoryScore: number;
  /** The execution domain, personality(2). */
  readonly personality: number;
}

/** Where there is no user database, there is root. */
const superuser: UserEntry = { name: 'root', uid: 0, gid: 0, home: '/root', shell: '/bin/sh' };

/** An entrance, and its descriptors, which the caller closes. */
export interface OpenEntrance<T extends Entrance = Entrance> {
  readonly entrance: T;
  readonly fds: readonly number[];
}

/**
 * For a user, by name or id, to run a program; '' is the user's shell. Undefined if there is no such user. It may wait for
 * ever: only a helper process may call this. Throws Failure 'system': ENOENT (no such program), ESRCH, EACCES.
 */
export function findEntrance(leader: ProcessIdentity, userName: string, program: string): OpenEntrance | undefined {
  return explained(leader, () =>
    // nsenter(1) of util-linux 2.42 wants one namespace at least, and a machine may share all of the host's
    gather(leader, userName, ['mnt'], (root, { user }) => {
      requireProgramIn(root, program === '' ? user.shell : program);
      return { directory: locateHome(root, user.home), found: {} };
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

/** What a command needs, beside the user. */
export interface CommandNeeds {
  /** With a slash in it, a path; otherwise it is looked for in `searchPath`. */
  readonly program: string;
  /** Directories, with colons between. */
  readonly searchPath: string;
  /** An absolute path; null is the user's home directory, or the root directory if there is none. */
  readonly directory: string | null;
}

/** An entrance for a command. Holds the PID namespace and the files also if they are our own. */
export interface CommandEntrance extends Entrance {
  readonly surroundings: Surroundings;
  /** env(1); null if there is none. */
  readonly environmentTool: string | null;
}

/**
 * Undefined if there is no such user. It may wait for ever: only a helper process may call this. Throws Failure 'system':
 * ENOENT, ENOTDIR, EACCES (the program or directory is not there, is none, or not for this user), ESRCH.
 */
export function findCommandEntrance(leader: ProcessIdentity, userName: string, needs: CommandNeeds): OpenEntrance<CommandEntrance> | undefined {
  return explained(leader, () =>
    gather(leader, userName, ['mnt', 'pid'], (root, identity) => {
      const surroundings = surroundingsOf(leader.pid);
      return withRightsOf(identity, () => {
        requireCommandIn(root, needs, identity.user);
        const environmentTool = ['/usr/bin/env', '/bin/env'].find((file) => refusalOf(root, file) === undefined) ?? null;
        return { directory: openDirectoryIn(root, needs.directory, identity.user), found: { environmentTool, surroundings } };
      });
    }),
  );
}

function surroundingsOf(pid: number): Surroundings {
  return {
    limits: limitsOfPeer(limitsOf(pid)),
    memoryScore: Number(readProcFile(`/proc/${pid}/oom_score_adj`) ?? 0),
    personality: parseInt(readProcFile(`/proc/${pid}/personality`) ?? '0', 16) & PER_MASK,
  };
}

/** Not the rest, which says how programs are loaded: it would hold for the host's programs on the way into the guest, too. */
const PER_MASK = 0xff;

/** A user of the guest, with the host's ids. */
type UserIdentity = Pick<Entrance, 'user' | 'hostUser' | 'hostGroups'>;

/** `look` finds a descriptor of the working directory, which is the root directory if there is none, and what else is needed. */
function gather<T>(
  leader: ProcessIdentity,
  userName: string,
  alwaysEntered: readonly NamespaceKind[],
  look: (root: number, identity: UserIdentity) => { readonly directory: number | undefined; readonly found: T },
): OpenEntrance<Entrance & T> | undefined {
  return inRootOf(leader, (root, rootUser, pin) => {
    using opened = new UndoStack();
    const keep = (fd: number) => {
      opened.defer(() => close(fd));
      return fd;
    };
    const identity = identify(leader, lookUp(root, rootUser, userName));
    if (identity === undefined) return undefined;
    const { directory, found } = look(root, identity);
    const workingDirectory = keep(directory ?? duplicate(root));
    const namespacesOf = standIn(leader);
    const isHost = isOwn(namespacesOf, 'mnt');
    const namespaces = namespaceKinds.filter((kind) => alwaysEntered.includes(kind) || !isOwn(namespacesOf, kind));
    const fds = namespaces.map((kind) => keep(openSync(`/proc/${namespacesOf}/ns/${kind}`, 'r')));
    fds.push(keep(duplicate(root)), workingDirectory);
    const cgroup = parseCgroup(readProcFile(`/proc/${leader.pid}/cgroup`) ?? '');
    const status = readProcFile(`/proc/${leader.pid}/status`) ?? '';
    pin.assertAlive(); // so that all of it is this process's
    opened.keep();
    return {
      entrance: {
        ...identity,
        ...found,
        namespaces,
        isHost,
        cgroup,
        capabilities: capabilitiesIn(status),
        ownCapabilities: capabilitiesIn(readProcFile('/proc/self/status') ?? ''),
        noNewPrivileges: /^NoNewPrivs:\t1$/m.test(status),
      },
      fds,
    };
  });
}

/** Undefined if there is no such user, or nobody can be that user there. */
function identify(leader: ProcessIdentity, found: ReturnType<typeof lookUp>): UserIdentity | undefined {
  if (found === undefined) return undefined;
  const { entry: user, groups } = found;
  const hostUser = mapOut(parseIdMappings(readProcFile(`/proc/${leader.pid}/uid_map`) ?? ''), user.uid);
  if (hostUser === undefined) return undefined;
  const groupMap = parseIdMappings(readProcFile(`/proc/${leader.pid}/gid_map`) ?? '');
  return { user, hostUser, hostGroups: [user.gid, ...groups].flatMap((gid) => mapOut(groupMap, gid) ?? []) };
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
  const refusal = refusalOf(root, program);
  if (refusal?.interpreter !== undefined) throw failureOfRefusal(program, refusal);
}

function isProgramIn(root: number, program: string): boolean {
  const located = locateIfThere(root, program.slice(1));
  if (located === undefined) return false;
  const status = fstatSync(located);
  close(located);
  return status.isFile() && (status.mode & 0o111) !== 0;
}

/** The guest's own root may go everywhere, which it could not with the ids that it has here alone. */
function withRightsOf<T>({ user, hostUser, hostGroups }: UserIdentity, work: () => T extends PromiseLike<unknown> ? never : T): T {
  if (user.uid === 0 || process.geteuid?.() !== 0) return work();
  process.setgroups?.([...hostGroups]);
  try {
    return withFileRightsOf(hostUser, hostGroups[0] ?? nobodyId, work);
  } finally {
    process.setgroups?.([]);
  }
}

/** As execvp(3) looks: a program that may not be run is only an error if there is no other one. */
function requireCommandIn(root: number, { program, searchPath }: CommandNeeds, user: UserEntry): void {
  const directories = program.includes('/') ? [] : searchPath.split(':').filter((directory) => directory.startsWith('/'));
  const candidates = program.includes('/') ? [program] : directories.map((directory) => `${directory.replace(/\/+$/, '')}/${program}`);
  let reason: Failure | undefined;
  for (const candidate of candidates) {
    const refusal = refusalOf(root, candidate);
    if (refusal === undefined) return;
    if (refusal.interpreter !== undefined) reason ??= failureOfRefusal(candidate, refusal);
    else if (refusal.errno === 'EACCES') reason ??= systemFailure('EACCES', `${program} of the machine cannot be run by its user ${user.name}`);
  }
  throw reason ?? systemFailure('ENOENT', `The machine has no program ${program}`);
}

/** Why a program cannot be run. */
interface Refusal {
  readonly errno: 'ENOENT' | 'EACCES' | 'ELOOP';
  /** What it takes to run it, of which this is true. */
  readonly interpreter?: string;
}

function failureOfRefusal(program: string, { errno, interpreter }: Refusal): Failure {
  return systemFailure(errno, `${program} of the machine takes ${interpreter} to be run, which ${errno === 'ENOENT' ? 'is not there' : 'cannot be run'}`);
}

/** The interpreter of an interpreter, and so on: as many as the kernel takes. */
const mostInterpreters = 5;

/** undefined: it can be run. */
function refusalOf(root: number, program: string, depth = 0): Refusal | undefined {
  if (depth > mostInterpreters) return { errno: 'ELOOP' };
  const file = openProgram(root, program);
  if (typeof file === 'string') return { errno: file };
  let interpreter: string | undefined;
  try {
    interpreter = interpreterOf(file);
  } finally {
    close(file);
  }
  if (interpreter === undefined || !interpreter.startsWith('/')) return undefined;
  const refusal = refusalOf(root, interpreter, depth + 1);
  return refusal === undefined ? undefined : { interpreter, ...refusal };
}

/** A descriptor (O_PATH) of what can be executed, for the caller to close, or why it cannot. */
function openProgram(root: number, program: string): number | Refusal['errno'] {
  try {
    const located = locateIfThere(root, program.slice(1));
    if (located === undefined) return 'ENOENT';
    if (fstatSync(located).isFile() && mayExecute(located)) return located;
    close(located);
    return 'EACCES';
  } catch (error) {
    if (errnoNameOf(error) === 'EACCES') return 'EACCES';
    if (errnoNameOf(error) === 'ELOOP' || errnoNameOf(error) === 'ENAMETOOLONG') return 'ENOENT';
    throw error;
  }
}

function openDirectoryIn(root: number, directory: string | null, user: UserEntry): number | undefined {
  if (directory === null) return openHome(root, user);
  let located: number;
  try {
    located = locateInRoot(root, directory.slice(1) || '.');
  } catch (error) {
    throw failureOf(error, `The machine's directory ${directory} cannot be entered by its user ${user.name}`);
  }
  if (fstatSync(located).isDirectory() && mayExecute(located)) return located;
  const errno = fstatSync(located).isDirectory() ? 'EACCES' : 'ENOTDIR';
  close(located);
  throw systemFailure(errno, `${directory} of the machine is no directory that its user ${user.name} can enter`);
}

function openHome(root: number, { home }: UserEntry): number | undefined {
  try {
    return locateHome(root, home);
  } catch (error) {
    if (errnoNameOf(error) === 'EACCES') return undefined;
    throw error;
  }
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
