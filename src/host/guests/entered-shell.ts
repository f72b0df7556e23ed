// A program on a terminal in a guest that has no service manager to start one: it enters the guest's namespaces.
import { spawn } from 'node:child_process';
import { chownSync } from 'node:fs';
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
 * Starts the program on the slave end of a terminal. Owns the entrance's descriptors. It stays in this process's session
 * until it has one of its own, and is hung up with its terminal. Throws Failure 'system': EPERM (the guest's root is the host's, and
 * may not do what entering takes), ENOPKG (tools are missing), EAGAIN, ENOMEM.
 */
export function startEntered(
  leader: number,
  slave: number,
  request: ShellRequest,
  entrance: Entrance,
  fds: readonly number[],
): void {
  const closeFds = () => {
    for (const fd of fds.splice(0)) close(fd);
  };
}
