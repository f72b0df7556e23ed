/** Processes that do nothing, for tests that put real ones somewhere. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { openPidfd } from '../../src/host/kernel/pidfd.js';
import { close } from '../../src/host/kernel/libc.js';
import { KernelProcesses } from '../../src/host/kernel/processes.js';

export interface Sleeper {
  readonly pid: number;
  readonly pidfd: number;
}

/** Starts them, and ends them all when it is disposed of. */
export class Sleepers implements AsyncDisposable {
  readonly #children = new Map<number, ChildProcess>();
  readonly #pidfds: number[] = [];
  readonly #processes = new KernelProcesses();

  async spawn(): Promise<Sleeper> {
    const child = spawn('sleep', ['infinity'], { stdio: 'ignore' });
    await once(child, 'spawn');
    const pid = child.pid as number;
    const pidfd = openPidfd(pid);
    this.#children.set(pid, child);
    this.#pidfds.push(pidfd);
    return { pid, pidfd };
  }

  /** Resolves once it has ended, by SIGKILL, and has been reaped. */
  async end({ pid }: { readonly pid: number }): Promise<void> {
    const child = this.#children.get(pid);
    if (child === undefined || !this.isAlive({ pid })) return;
    const exit = once(child, 'exit');
    child.kill('SIGKILL');
    await exit;
  }

  isAlive({ pid }: { readonly pid: number }): boolean {
    const child = this.#children.get(pid);
    return child !== undefined && child.exitCode === null && child.signalCode === null;
  }

  cgroupOf({ pid }: { readonly pid: number }): string | undefined {
    return this.#processes.cgroupOf(pid);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const pid of this.#children.keys()) await this.end({ pid });
    for (const pidfd of this.#pidfds) close(pidfd);
  }
}
