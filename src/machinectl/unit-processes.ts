// The processes of a machine: systemd is asked, and the cgroup file system where there is no systemd.
import { readdirSync, readFileSync } from 'node:fs';
import { isMachinedError } from '../client/error.js';
import type { UnitProcess } from './cgroup-tree.js';
import type { Registry } from './registry.js';
import { systemdManager, systemdPath, systemdService } from './systemd.js';

export interface ProcessTree {
  readonly processes: readonly UnitProcess[];
  /** The cgroup whose content is the machine. */
  readonly root: string;
}

/** undefined where nobody tells. */
export async function readUnitProcesses(registry: Registry, unit: string, subgroup: string, leader: number): Promise<ProcessTree | undefined> {
  try {
    const { processes } = await registry.client(systemdService).call(systemdManager, systemdPath, 'GetUnitProcesses', { name: unit });
    const all = processes.map(([cgroup, pid, commandLine]) => ({ cgroup, pid, commandLine }));
    const root = unitRoot(all, unit);
    return { processes: all, root: subgroup === '' ? root : `${root}/${subgroup}` };
  } catch (error) {
    if (!isMachinedError(error)) throw error;
    return registry.target.transport === 'local' ? readCgroup(leader) : undefined;
  }
}

/** The unit's own cgroup: what ends in its name. The root slice has no name in paths. */
function unitRoot(processes: readonly UnitProcess[], unit: string): string {
  if (unit === '-.slice') return '';
  for (const { cgroup } of processes) {
    const parts = cgroup.split('/');
    const index = parts.indexOf(unit);
    if (index >= 0) return parts.slice(0, index + 1).join('/');
  }
  return processes[0]?.cgroup ?? '';
}

/** Processes that are shown of a machine without systemd; more than that nobody reads. */
const mostProcesses = 1024;

function readCgroup(leader: number): ProcessTree | undefined {
  try {
    const own = /^0::(.*)$/m.exec(readFileSync(`/proc/${leader}/cgroup`, 'utf8'))?.[1];
    if (own === undefined || own === '/') return undefined;
    const processes: UnitProcess[] = [];
    collect(own, processes);
    return { processes, root: own };
  } catch {
    return undefined; // it has ended, or cgroups are not mounted where everybody has them
  }
}

function collect(cgroup: string, processes: UnitProcess[]): void {
  const directory = `/sys/fs/cgroup${cgroup}`;
  for (const pid of readFileSync(`${directory}/cgroup.procs`, 'utf8').split('\n').filter((line) => line !== '')) {
    if (processes.length >= mostProcesses) return;
    processes.push({ cgroup, pid: Number(pid), commandLine: commandLineOf(pid) });
  }
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    if (entry.isDirectory()) collect(`${cgroup}/${entry.name}`, processes);
  }
}

function commandLineOf(pid: string): string {
  try {
    const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').filter((word) => word !== '');
    return words.length > 0 ? words.join(' ') : `[${readFileSync(`/proc/${pid}/comm`, 'utf8').trimEnd()}]`;
  } catch {
    return 'n/a'; // it has ended
  }
}
