// cgroup v2 as a file system: cgroups(7), and cgroup-v2.rst in the kernel's documentation. Nothing here waits.
import { accessSync, constants, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseCgroup } from '../kernel/processes.js';
import { readProcFile } from '../kernel/proc-file.js';
import { errnoNameOf } from '../kernel/system-error.js';
import { cgroup2Root } from '../../wire/mount-info.js';

/** A cgroup below which this process may do as it likes. */
export interface CgroupBase {
  /** Its directory. */
  readonly directory: string;
  /** Its path as /proc/PID/cgroup shows it: '' for the root. */
  readonly path: string;
}

/** Controllers that limits of a machine may need. */
const controllers = ['cpu', 'cpuset', 'io', 'memory', 'pids'];

/**
 * The highest cgroup above this process that it may write to: the root of the tree for root, a delegated one for a user.
 * undefined if there is no cgroup v2 tree or nothing in it is ours.
 */
export function findCgroupBase(): CgroupBase | undefined {
  const mount = findCgroupMount();
  if (mount === undefined) return undefined;
  const own = parseCgroup(readProcFile('/proc/self/cgroup') ?? '');
  const components = own.split('/').filter((component) => component !== '');
  for (let depth = 0; depth <= components.length; depth++) {
    const below = components.slice(0, depth).join('/');
    const directory = path.join(mount, below);
    if (isWritable(directory) && isWritable(path.join(directory, 'cgroup.procs'))) {
      return { directory, path: below === '' ? '' : `/${below}` };
    }
  }
  return undefined;
}

/** The directory of the root of the cgroup v2 tree; undefined where none is mounted. */
export function findCgroupMount(): string | undefined {
  return cgroup2Root(readFileSync('/proc/self/mountinfo', 'utf8'));
}

/** Makes the controllers available to the children of a cgroup, as far as its own parent and the kernel let it. */
export function enableControllers(directory: string): void {
  const available = readFileSync(path.join(directory, 'cgroup.controllers'), 'utf8').trim().split(' ');
  for (const controller of controllers) {
    if (!available.includes(controller)) continue;
    try {
      writeCgroupFile(directory, 'cgroup.subtree_control', `+${controller}`);
    } catch (error) {
      // EBUSY where processes live in the cgroup itself: then a limit that needs the controller cannot be set
      if (errnoNameOf(error) === undefined) throw error;
    }
  }
}

/** False if it is there already. Throws Node's errors. */
export function makeCgroup(directory: string): boolean {
  try {
    mkdirSync(directory);
    return true;
  } catch (error) {
    if (errnoNameOf(error) === 'EEXIST') return false;
    throw error;
  }
}

/** Throws Node's errors; ENOENT if the cgroup is gone, or has no such file because it lacks the controller. */
export function writeCgroupFile(directory: string, file: string, text: string): void {
  writeFileSync(path.join(directory, file), text, { flag: 'r+' });
}

/** Whether there are processes in the cgroup or below it; undefined if there is no such cgroup. */
export function isPopulated(directory: string): boolean | undefined {
  const events = readProcFile(path.join(directory, 'cgroup.events'));
  return events === undefined ? undefined : /^populated 1$/m.test(events);
}

/** Sends a signal to every process in the cgroup and below it. Throws Node's errors (EPERM); ENOENT if there is no such cgroup. */
export function signalCgroup(directory: string, signal: number): void {
  if (signal === 9 && killCgroup(directory)) return;
  for (const cgroup of [...descendants(directory), directory]) {
    for (const pid of processesIn(cgroup)) signalProcess(pid, signal);
  }
}

/**
 * Removes a cgroup and those below it. One with processes stays, and so do its parents: false. One that is not there
 * has been removed.
 */
export function removeCgroup(directory: string): boolean {
  for (const cgroup of [...descendants(directory), directory]) {
    try {
      rmdirSync(cgroup);
    } catch (error) {
      const code = errnoNameOf(error);
      if (code === 'EBUSY') return false;
      if (code !== 'ENOENT') throw error;
    }
  }
  return true;
}

/** All at once, which no fork escapes. False where the kernel has no cgroup.kill (before 5.14). */
function killCgroup(directory: string): boolean {
  try {
    writeCgroupFile(directory, 'cgroup.kill', '1');
    return true;
  } catch (error) {
    if (errnoNameOf(error) === 'ENOENT' && isPopulated(directory) !== undefined) return false;
    throw error;
  }
}

function processesIn(directory: string): readonly number[] {
  try {
    const text = readFileSync(path.join(directory, 'cgroup.procs'), 'utf8');
    return text.split('\n').filter((line) => line !== '' && line !== '0').map(Number);
  } catch (error) {
    // a threaded cgroup: its processes are shown by the cgroup above it
    if (errnoNameOf(error) === 'EOPNOTSUPP' || errnoNameOf(error) === 'ENOTSUP') return [];
    if (errnoNameOf(error) === 'ENODEV') return []; // removed while we read
    throw error;
  }
}

function signalProcess(pid: number, signal: number): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (errnoNameOf(error) !== 'ESRCH') throw error;
  }
}

/** Children before their parents. */
function descendants(directory: string): readonly string[] {
  const found: string[] = [];
  for (const entry of childrenOf(directory)) {
    const child = path.join(directory, entry);
    found.push(...descendants(child), child);
  }
  return found;
}

function childrenOf(directory: string): readonly string[] {
  try {
    return readdirSync(directory, { withFileTypes: true }).filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  } catch (error) {
    if (errnoNameOf(error) === 'ENOENT') return [];
    throw error;
  }
}

function isWritable(file: string): boolean {
  try {
    accessSync(file, constants.W_OK);
    return true;
  } catch (error) {
    if (errnoNameOf(error) === undefined) throw error;
    return false;
  }
}
