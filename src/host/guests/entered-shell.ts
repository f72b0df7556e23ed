// A program on a terminal in a guest that has no service manager to start one: it enters the guest's namespaces.
import { spawn } from 'node:child_process';
import { fchownSync } from 'node:fs';
import path from 'node:path';
import { systemFailure } from '../../domain/failure.js';
import type { ShellRequest } from '../../domain/shell.js';
import { findProgram } from '../private-bus.js';
import { findCgroupMount } from '../units/cgroup-tree.js';
import { close } from '../kernel/libc.js';
import type { Entrance, NamespaceKind } from './entrance.js';

/** Milliseconds in which nsenter must have opened what it is given. */
const enteringLimit = 30_000;

/** nsenter(1) */
const namespaceOption: Readonly<Record<NamespaceKind, string>> = {
  user: '--user', mnt: '--mount', pid: '--pid', net: '--net', ipc: '--ipc', uts: '--uts', cgroup: '--cgroup',
};

const guestPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** capabilities(7) */
const CAP_DAC_READ_SEARCH = 2;
const CAP_SETUID = 7;
const CAP_SYS_CHROOT = 18;
const CAP_SYS_ADMIN = 21;

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
    const child = spawn(program, words, { stdio: [slave, slave, slave], env: basicEnvironment(entrance), cwd: '/' });
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
  const { namespaces, user } = entrance;
  const file = (index: number) => `/proc/${process.pid}/fd/${fds[index]}`;
  const hasOwnUsers = namespaces.includes('user');
  return [
    ...joiningCgroup(entrance.cgroup),
    tool('setsid'), '--ctty',
    tool('setpriv'), '--regid', String(entrance.hostGroups[0] ?? 0), ...groupOptions(entrance.hostGroups),
    ...(hasOwnUsers ? [] : ['--bounding-set', droppedCapabilities(entrance)]),
    ...(entrance.noNewPrivileges ? ['--no-new-privs'] : []),
    tool('nsenter'), ...(hasOwnUsers ? ['--preserve-credentials'] : []),
    ...namespaces.map((kind, index) => `${namespaceOption[kind]}=${file(index)}`),
    `--root=${file(namespaces.length)}`, `--wd=${file(namespaces.length + 1)}`, '--setuid', String(user.uid), '--',
    ...programCommand(request, user.shell),
  ];
}

function joiningCgroup(cgroup: string): readonly [string, ...string[]] {
  const mount = cgroup === '' ? undefined : findCgroupMount();
  if (mount === undefined) return [tool('sh'), '-c', 'exec "$@"', 'sh'];
  return [tool('sh'), '-c', joinCgroup, 'sh', path.join(mount, cgroup, 'cgroup.procs')];
}

function groupOptions([, ...others]: readonly number[]): readonly string[] {
  return others.length === 0 ? ['--clear-groups'] : ['--groups', others.join(',')];
}

/**
 * Where the guest's root is the host's, its capabilities are all that keeps it in. Also without the one that its filter of
 * system calls, which cannot be had, would take the sting from: open_by_handle_at(2) opens files of the host.
 */
function droppedCapabilities({ capabilities, ownCapabilities }: Entrance): string {
  const allowed = BigInt(`0x${capabilities}`) & ~(1n << BigInt(CAP_DAC_READ_SEARCH));
  for (const needed of [CAP_SETUID, CAP_SYS_CHROOT, CAP_SYS_ADMIN]) {
    if ((allowed & (1n << BigInt(needed))) !== 0n) continue;
    throw systemFailure('EPERM', 'The machine has no user namespace, and not the capabilities that it takes to enter it');
  }
  const dropped = BigInt(`0x${ownCapabilities}`) & ~allowed;
  const names = Array.from({ length: 64 }, (_, number) => number).filter((number) => (dropped & (1n << BigInt(number))) !== 0n);
  return names.length === 0 ? '+all' : names.map((number) => `-cap_${number}`).join(',');
}

function programCommand({ command, environment }: ShellRequest, shell: string): readonly string[] {
  // argv[0] cannot be chosen without the help of a shell that may not be there
  const words = command === undefined ? [shell, '-l'] : [command.program, ...command.arguments.slice(1)];
  if (environment.length === 0) return words;
  return ['/bin/sh', '-c', setVariables, 'sh', ...environment, '--', ...words];
}

function basicEnvironment({ user }: Entrance): NodeJS.ProcessEnv {
  return { PATH: guestPath, TERM: 'vt220', HOME: user.home, USER: user.name, LOGNAME: user.name, SHELL: user.shell };
}

function tool(name: string): string {
  const found = findProgram(name, process.env['PATH'] ?? '');
  if (found === undefined) throw systemFailure('ENOPKG', `The machine cannot be entered without ${name} of util-linux`);
  return found;
}
