// The command line that enters a guest: tools of util-linux, each of which takes away some of what the one before it had.
import { systemFailure } from '../../domain/failure.js';
import { findProgram } from '../private-bus.js';
import type { Entrance, NamespaceKind } from './entrance.js';

/** nsenter(1) */
const namespaceOption: Readonly<Record<NamespaceKind, string>> = {
  user: '--user', mnt: '--mount', pid: '--pid', net: '--net', ipc: '--ipc', uts: '--uts', cgroup: '--cgroup',
};

/** Where programs are, for those who do not say. */
export const guestPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** capabilities(7) */
const CAP_DAC_READ_SEARCH = 2;
const CAP_SETUID = 7;
const CAP_SYS_CHROOT = 18;
const CAP_SYS_PTRACE = 19;
const CAP_SYS_ADMIN = 21;

/**
 * What comes before the words of the program. `file` is the path of the entrance's descriptor of this index: nsenter(1) opens
 * them as files of another process, so that the guest's program inherits none of them. Throws Failure 'system': EPERM (the
 * guest's root is the host's, and may not do what entering takes), ENOPKG (tools are missing).
 */
export function enteringWords(entrance: Entrance, file: (index: number) => string): readonly string[] {
  const { namespaces, user } = entrance;
  return [
    ...limitingWords(entrance),
    tool('nsenter'), ...(hasOwnUsers(entrance) ? ['--preserve-credentials'] : []),
    ...namespaces.map((kind, index) => `${namespaceOption[kind]}=${file(index)}`),
    `--root=${file(namespaces.length)}`, `--wd=${file(namespaces.length + 1)}`, '--setuid', String(user.uid), '--',
  ];
}

/** What gives a program of the host the groups that it has in the guest, and takes what the guest may not do. Throws as above. */
export function limitingWords(entrance: Entrance): readonly string[] {
  return [
    tool('setpriv'), '--regid', String(entrance.hostGroups[0] ?? 0), ...groupOptions(entrance.hostGroups),
    ...(hasOwnUsers(entrance) ? [] : ['--bounding-set', droppedCapabilities(entrance)]),
    ...(entrance.noNewPrivileges ? ['--no-new-privs'] : []),
  ];
}

/** Whether a program with these limits may open the descriptors of one without them: proc(5), ptrace(2). */
export function mayLookAtOthers(entrance: Entrance): boolean {
  return hasOwnUsers(entrance) || (BigInt(`0x${entrance.capabilities}`) & (1n << BigInt(CAP_SYS_PTRACE))) !== 0n;
}

function hasOwnUsers({ namespaces }: Entrance): boolean {
  return namespaces.includes('user');
}

/** The path of a tool of the host. Throws Failure 'system' (ENOPKG). */
export function tool(name: string): string {
  const found = findProgram(name, process.env['PATH'] ?? '');
  if (found === undefined) throw systemFailure('ENOPKG', `The machine cannot be entered without ${name} of util-linux`);
  return found;
}

/** What a session of the user has in its environment. */
export function userEnvironment({ user }: Entrance): Readonly<Record<string, string>> {
  return { PATH: guestPath, HOME: user.home, USER: user.name, LOGNAME: user.name, SHELL: user.shell };
}

function groupOptions([, ...others]: readonly number[]): readonly string[] {
  return others.length === 0 ? ['--clear-groups'] : ['--groups', others.join(',')];
}

/**
 * Where the guest's root is the host's, its capabilities are all that keeps it in. Also without the one that its filter of
 * system calls, which cannot be had, would take the sting from: open_by_handle_at(2) opens files of the host.
 */
function droppedCapabilities({ capabilities, ownCapabilities, isHost }: Entrance): string {
  const allowed = BigInt(`0x${capabilities}`) & ~(isHost ? 0n : 1n << BigInt(CAP_DAC_READ_SEARCH));
  for (const needed of [CAP_SETUID, CAP_SYS_CHROOT, CAP_SYS_ADMIN]) {
    if ((allowed & (1n << BigInt(needed))) !== 0n) continue;
    throw systemFailure('EPERM', 'The machine has no user namespace, and not the capabilities that it takes to enter it');
  }
  const dropped = BigInt(`0x${ownCapabilities}`) & ~allowed;
  const names = Array.from({ length: 64 }, (_, number) => number).filter((number) => (dropped & (1n << BigInt(number))) !== 0n);
  return names.length === 0 ? '+all' : names.map((number) => `-cap_${number}`).join(',');
}
