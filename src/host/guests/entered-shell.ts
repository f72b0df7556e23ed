// A program on a terminal in a guest that has no service manager to start one: it enters the guest's namespaces.
import { spawn } from 'node:child_process';
import { fchownSync } from 'node:fs';
import path from 'node:path';
import type { ShellRequest } from '../../domain/shell.js';
import { findCgroupMount } from '../units/cgroup-tree.js';
import { close } from '../kernel/libc.js';
import { enteringWords, tool, userEnvironment } from './entering.js';
import type { Entrance } from './entrance.js';

/** Milliseconds in which nsenter must have opened what it is given. */
const enteringLimit = 30_000;

/** First the process joins the guest's cgroup: its limits, its devices, and its end are those of the machine. */
const joinCgroup = 'echo 0 >"$1" && shift && exec "$@"';

/** The caller's variables are for the guest alone: one like LD_PRELOAD must not reach the host's programs on the way. */
const setVariables = 'while test "$1" != --; do export "$1"; shift; done; shift; exec "$@"';

/**
 * Starts the program on the slave end of a terminal, as a session of its own that is hung up with its terminal. Owns the
 * entrance's descriptors. Throws Failure 'system': EPERM (the guest's root is the host's, and may not do what entering
 * takes), ENOPKG (tools are missing), EAGAIN.
 */
export function startEntered(slave: number, request: ShellRequest, entrance: Entrance, fds: readonly number[]): void {
  const owned = [...fds];
  const closeFds = () => {
    for (const fd of owned.splice(0)) close(fd);
  };
  try {
    fchownSync(slave, entrance.hostUser, -1);
    const [program, ...words] = enteringCommand(request, entrance, fds);
    // Not detached: setsid(1) must not be the leader of a process group
    const child = spawn(program, words, { stdio: [slave, slave, slave], env: { ...userEnvironment(entrance), TERM: 'vt220' }, cwd: '/' });
    // nsenter opens these as files of this process, so that the guest's program inherits none of them
    const timer = setTimeout(closeFds, enteringLimit);
    child.once('exit', () => {
      clearTimeout(timer);
      closeFds();
    });
    child.once('error', closeFds);
    timer.unref();
    child.unref();
  } catch (error) {
    closeFds();
    throw error;
  }
}

function enteringCommand(request: ShellRequest, entrance: Entrance, fds: readonly number[]): readonly [string, ...string[]] {
  return [
    ...joiningCgroup(entrance.cgroup),
    tool('setsid'), '--ctty',
    ...enteringWords(entrance, (index) => `/proc/${process.pid}/fd/${fds[index]}`),
    ...programCommand(request, entrance.user.shell),
  ];
}

function joiningCgroup(cgroup: string): readonly [string, ...string[]] {
  const mount = cgroup === '' ? undefined : findCgroupMount();
  if (mount === undefined) return [tool('sh'), '-c', 'exec "$@"', 'sh'];
  return [tool('sh'), '-c', joinCgroup, 'sh', path.join(mount, cgroup, 'cgroup.procs')];
}

function programCommand({ command, environment }: ShellRequest, shell: string): readonly string[] {
  // argv[0] cannot be chosen without the help of a shell that may not be there
  const words = command === undefined ? [shell, '-l'] : [command.program, ...command.arguments.slice(1)];
  if (environment.length === 0) return words;
  return ['/bin/sh', '-c', setVariables, 'sh', ...environment, '--', ...words];
}
