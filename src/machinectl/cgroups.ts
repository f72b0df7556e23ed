// The cgroup v2 tree of this host, wherever it is mounted: cgroups(7). Whatever goes while it is looked at is left out.
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { cgroup2Root } from '../wire/mount-info.js';

export interface Cgroup {
  /** As /proc/PID/cgroup has it. */
  readonly path: string;
  readonly directory: string;
}

/**
 * The unit's cgroup, in or below which its leader is; the leader's own where that is in another. undefined if it is in the
 * root, which is everybody's, or if there is no such tree.
 */
export function unitCgroup(leader: number, unit: string): Cgroup | undefined {
  const mount = cgroup2Root(readText('/proc/self/mountinfo'));
  const own = /^0::(\/.+)$/m.exec(readText(`/proc/${leader}/cgroup`))?.[1];
  if (mount === undefined || own === undefined) return undefined;
  const parts = own.split('/');
  const index = parts.indexOf(unit);
  const cgroup = index < 0 ? own : parts.slice(0, index + 1).join('/');
  return { path: cgroup, directory: path.join(mount, cgroup) };
}

/** The processes in a cgroup and below it, each with the path of its own. */
export function* processesOf(cgroup: Cgroup): Generator<{ readonly cgroup: string; readonly pid: number }> {
  for (const line of readText(path.join(cgroup.directory, 'cgroup.procs')).split('\n')) {
    if (line !== '') yield { cgroup: cgroup.path, pid: Number(line) };
  }
  for (const name of childrenOf(cgroup.directory)) {
    yield* processesOf({ path: `${cgroup.path}/${name}`, directory: path.join(cgroup.directory, name) });
  }
}

function childrenOf(directory: string): readonly string[] {
  try {
    return readdirSync(directory, { withFileTypes: true }).filter((entry) => entry.isDirectory()).map(({ name }) => name);
  } catch {
    return [];
  }
}

/** '' for what is not there, or not for us. */
export function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
