// A cgroup of a command's own inside that of its machine: what the command starts can be ended with it.
import { constants, mkdirSync, openSync, readdirSync, readFileSync, rmdirSync, writeFileSync, writeSync } from 'node:fs';
import path from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { systemFailure } from '../../domain/failure.js';
import { UndoStack } from '../../domain/undo.js';
import type { Log } from '../../ports/log.js';
import { close } from '../kernel/libc.js';
import { parseCgroup } from '../kernel/processes.js';
import { readProcFile } from '../kernel/proc-file.js';
import { errnoNameOf, failureOf } from '../kernel/system-error.js';
import { findCgroupMount } from '../units/cgroup-tree.js';

/** Where systemd, the guest's as well as the host's, keeps itself: what has children has no processes of its own. */
const ownScope = '/init.scope';

/** Reasons for there to be none: no such kernel, a tree that may not be written, a guest that allows no more of them. */
const reasonsForNone = new Set(['ENOENT', 'ENODEV', 'EROFS', 'EACCES', 'EPERM', 'EOPNOTSUPP', 'EAGAIN', 'EBUSY']);

const prefix = 'machined-exec-';

export class CommandCgroup implements Disposable {
  /** cgroup.procs and cgroup.kill, opened for writing; they are this object's. */
  readonly fds: readonly [procs: number, kill: number];
  readonly #directory: string;

  private constructor(directory: string, fds: readonly [number, number]) {
    this.#directory = directory;
    this.fds = fds;
  }

  /** In the cgroup that the machine's leader is in, as /proc/PID/cgroup has it; undefined where there can be none. */
  static make(cgroup: string, name: string): CommandCgroup | undefined {
    const mount = cgroup === '' ? undefined : findCgroupMount();
    if (mount === undefined) return undefined;
    const directory = path.join(mount, baseOf(cgroup), `${prefix}${name}`);
    using undo = new UndoStack();
    try {
      mkdirSync(directory, { mode: 0o755 });
      undo.defer(() => rmdirSync(directory));
      const procs = openSync(path.join(directory, 'cgroup.procs'), constants.O_WRONLY);
      undo.defer(() => close(procs));
      const kill = openSync(path.join(directory, 'cgroup.kill'), constants.O_WRONLY);
      undo.keep();
      return new CommandCgroup(directory, [procs, kill]);
    } catch (error) {
      if (reasonsForNone.has(errnoNameOf(error) ?? '')) return undefined;
      throw error;
    }
  }

  /** PIDs; none if it is gone. */
  processes(): readonly number[] {
    return processesIn(this.#directory);
  }

  kill(): void {
    try {
      writeSync(this.fds[1], '1');
    } catch (error) {
      if (!hasGone(error)) throw error; // it went with its machine
    }
  }

  /** Removes it, unless something of the command's goes on in it: then it goes with its machine. */
  [Symbol.dispose](): void {
    for (const fd of this.fds) close(fd);
    removeWhenEmpty(this.#directory, removalAttempts);
  }
}

/**
 * cgroup.procs of the machine's own cgroup, for a command that can have none of its own; the caller closes it. undefined where
 * there are no cgroups that may be written. Throws Failure 'system': ESRCH if it went with its machine.
 */
export function openMachineCgroup(cgroup: string): number | undefined {
  const mount = cgroup === '' ? undefined : findCgroupMount();
  if (mount === undefined) return undefined;
  try {
    return openSync(path.join(mount, cgroup, 'cgroup.procs'), constants.O_WRONLY);
  } catch (error) {
    if (['EROFS', 'EACCES', 'EPERM'].includes(errnoNameOf(error) ?? '')) return undefined;
    if (hasGone(error)) throw systemFailure('ESRCH', 'The machine has ended', error);
    throw error;
  }
}

/** Milliseconds between attempts: what was killed needs a moment to be gone. */
const removalAttempts: readonly number[] = [100, 1000, 10_000, 60_000];

function removeWhenEmpty(directory: string, [next, ...others]: readonly number[]): void {
  try {
    rmdirSync(directory);
  } catch (error) {
    if (hasGone(error)) return;
    if (errnoNameOf(error) !== 'EBUSY') throw error;
    if (next !== undefined) setTimeout(() => removeWhenEmpty(directory, others), next).unref();
  }
}

/**
 * Ends the commands that an earlier daemon has left to themselves, because it was killed with all of its helpers: those for
 * whose end nsenter(1) still waits. What a command had started when it ended is left alone; empty cgroups go. For the machines that there are.
 */
export async function endForsakenCommands(leaders: Iterable<number>, log: Pick<Log, 'warning'>): Promise<void> {
  try {
    const mount = findCgroupMount();
    if (mount === undefined) return;
    for (const pid of leaders) {
      const cgroup = parseCgroup(readProcFile(`/proc/${pid}/cgroup`) ?? '');
      for (const directory of commandsIn(path.join(mount, baseOf(cgroup)))) {
        if (processesIn(directory).some(isWaiter)) killAll(directory);
        removeWhenEmpty(directory, removalAttempts);
      }
      await nextTurn();
    }
  } catch (error) {
    log.warning(failureOf(error, 'Commands of an earlier daemon may still run').message);
  }
}

function baseOf(cgroup: string): string {
  return cgroup.endsWith(ownScope) ? cgroup.slice(0, -ownScope.length) : cgroup;
}

function commandsIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory).filter((name) => name.startsWith(prefix)).map((name) => path.join(directory, name));
  } catch (error) {
    if (hasGone(error)) return [];
    throw error;
  }
}

/** Of the host: a guest may have an nsenter(1) of its own. */
function isWaiter(pid: number): boolean {
  const status = readProcFile(`/proc/${pid}/status`) ?? '';
  return /^Name:\tnsenter$/m.test(status) && /^NSpid:\t[0-9]+$/m.test(status);
}

function killAll(directory: string): void {
  try {
    writeFileSync(path.join(directory, 'cgroup.kill'), '1');
  } catch (error) {
    if (!hasGone(error)) throw error;
  }
}

/** PIDs; none if it is gone. */
function processesIn(directory: string): readonly number[] {
  try {
    return readFileSync(path.join(directory, 'cgroup.procs'), 'utf8').split('\n').filter((line) => line !== '').map(Number);
  } catch (error) {
    if (hasGone(error)) return [];
    throw error;
  }
}

function hasGone(error: unknown): boolean {
  return ['ENOENT', 'ENODEV'].includes(errnoNameOf(error) ?? '');
}
