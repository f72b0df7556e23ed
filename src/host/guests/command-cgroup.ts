// A cgroup of a command's own inside that of its machine: what the command starts can be ended with it.
import { constants, mkdirSync, openSync, readFileSync, rmdirSync, writeSync } from 'node:fs';
import path from 'node:path';
import { UndoStack } from '../../domain/undo.js';
import { close } from '../kernel/libc.js';
import { errnoNameOf } from '../kernel/system-error.js';
import { findCgroupMount } from '../units/cgroup-tree.js';

/** Where systemd, the guest's as well as the host's, keeps itself: what has children has no processes of its own. */
const ownScope = '/init.scope';

/** Reasons for there to be none: no such kernel, a tree that may not be written, a machine that has ended. */
const reasonsForNone = new Set(['ENOENT', 'ENODEV', 'EROFS', 'EACCES', 'EPERM', 'EOPNOTSUPP', 'EAGAIN', 'EBUSY']);

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
    const base = cgroup.endsWith(ownScope) ? cgroup.slice(0, -ownScope.length) : cgroup;
    const directory = path.join(mount, base, name);
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
    try {
      const text = readFileSync(path.join(this.#directory, 'cgroup.procs'), 'utf8');
      return text.split('\n').filter((line) => line !== '').map(Number);
    } catch (error) {
      if (errnoNameOf(error) === 'ENOENT' || errnoNameOf(error) === 'ENODEV') return [];
      throw error;
    }
  }

  kill(): void {
    try {
      writeSync(this.fds[1], '1');
    } catch (error) {
      if (errnoNameOf(error) !== 'ENODEV') throw error; // it went with its machine
    }
  }

  /** Removes it, unless something of the command's goes on in it: then it goes with its machine. */
  [Symbol.dispose](): void {
    for (const fd of this.fds) close(fd);
    try {
      rmdirSync(this.#directory);
    } catch (error) {
      if (errnoNameOf(error) !== 'EBUSY' && errnoNameOf(error) !== 'ENOENT') throw error;
    }
  }
}
