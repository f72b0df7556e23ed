// A program on a terminal in a guest that has no service manager to start one: it enters the guest's namespaces.
import { fchownSync } from 'node:fs';
import path from 'node:path';
import type { ShellRequest } from '../../domain/shell.js';
import { UndoStack } from '../../domain/undo.js';
import { findCgroupMount } from '../units/cgroup-tree.js';
import { StartedProgram } from '../kernel/child-process.js';
import { close } from '../kernel/libc.js';
import { failureOf } from '../kernel/system-error.js';
import { DescriptorHolder } from './descriptor-holder.js';
import { enteringWords, mayLookAtOthers, tool, userEnvironment } from './entering.js';
import type { Entrance } from './entrance.js';

/** Milliseconds in which nsenter must have opened what it is given. */
const enteringLimit = 30_000;

/** First the process joins the guest's cgroup: its limits, its devices, and its end are those of the machine. */
const joinCgroup = 'echo 0 >"$1" && shift && exec "$@"';

/** The caller's variables are for the guest alone: one like LD_PRELOAD must not reach the host's programs on the way. */
const setVariables = 'while test "$1" != --; do export "$1"; shift; done; shift; exec "$@"';

/**
 * Starts the program on the slave end of a terminal, as a session of its own that is hung up with its terminal. Owns the
 * entrance's descriptors. Rejects with Failure 'system': EPERM (the guest's root is the host's, and may not do what entering
 * takes), ENOPKG (tools are missing), EAGAIN.
 */
export async function startEntered(slave: number, request: ShellRequest, entrance: Entrance, fds: readonly number[]): Promise<void> {
  using owned = new UndoStack();
  for (const fd of fds) owned.defer(() => close(fd));
  fchownSync(slave, entrance.hostUser, -1);
  const holder = mayLookAtOthers(entrance) ? undefined : owned.use(await DescriptorHolder.start(entrance, fds));
  const [program, ...words] = enteringCommand(request, entrance, (index) => holder?.file(index) ?? `/proc/${process.pid}/fd/${fds[index]}`);
  const environment = Object.entries({ ...userEnvironment(entrance), TERM: 'vt220' }).map(([name, value]) => `${name}=${value}`);
  const kept = owned.move();
  const closeFds = () => kept[Symbol.dispose]();
  const timer = setTimeout(closeFds, enteringLimit).unref();
  try {
    // setsid(1) must not be the leader of a process group
    const given = { program, words: [program, ...words], environment, descriptors: [slave, slave, slave], leadsSession: false, isWaitedFor: false };
    new StartedProgram(given, () => {
      clearTimeout(timer);
      closeFds();
    });
  } catch (error) {
    clearTimeout(timer);
    closeFds();
    throw failureOf(error, 'The program cannot be started');
  }
}

function enteringCommand(request: ShellRequest, entrance: Entrance, file: (index: number) => string): readonly [string, ...string[]] {
  return [
    ...joiningCgroup(entrance.cgroup),
    tool('setsid'), '--ctty',
    ...enteringWords(entrance, file),
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
