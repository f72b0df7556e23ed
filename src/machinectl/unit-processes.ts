// The processes of a machine: systemd is asked, and the cgroup file system where there is no systemd.
import { isMachinedError } from '../client/error.js';
import type { UnitProcess } from './cgroup-tree.js';
import { processesOf, readText, unitCgroup } from './cgroups.js';
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
    return { processes: all, root: below(unitRoot(all, unit), subgroup) };
  } catch (error) {
    if (!isMachinedError(error)) throw error;
    return registry.target.transport === 'local' ? readCgroup(unit, subgroup, leader) : undefined;
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

function readCgroup(unit: string, subgroup: string, leader: number): ProcessTree | undefined {
  const cgroup = unitCgroup(leader, unit);
  if (cgroup === undefined) return undefined;
  const processes: UnitProcess[] = [];
  for (const process of processesOf(cgroup)) {
    if (processes.length >= mostProcesses) break;
    processes.push({ ...process, commandLine: commandLineOf(process.pid) });
  }
  return { processes, root: below(cgroup.path, subgroup) };
}

function below(cgroup: string, subgroup: string): string {
  return subgroup === '' ? cgroup : `${cgroup}/${subgroup}`;
}

function commandLineOf(pid: number): string {
  const words = readText(`/proc/${pid}/cmdline`).split('\0').filter((word) => word !== '');
  if (words.length > 0) return words.join(' ');
  const name = readText(`/proc/${pid}/comm`).trimEnd();
  return name === '' ? 'n/a' : `[${name}]`; // it has ended
}
