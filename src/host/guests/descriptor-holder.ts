import type { ChildProcess } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { systemFailure } from '../../domain/failure.js';
import { readProcFile } from '../kernel/proc-file.js';
import { failureOf } from '../kernel/system-error.js';
import { childProcess } from '../on-demand.js';
import { limitingWords, tool } from './entering.js';
import type { Entrance } from './entrance.js';

/** Seconds after which it ends by itself, and milliseconds in which it must be there. */
const longestLife = 60;
const startLimit = 10_000;
const lookInterval = 2;

/** Standard input, output and error come first. */
const firstDescriptor = 3;

/**
 * A process with the limits of a guest, in the host, that has the descriptors of its entrance: a program with the same limits
 * may open them by their paths in /proc, although it may not look at processes that can do more (ptrace(2), "Ptrace access mode
 * checking").
 */
export class DescriptorHolder implements Disposable {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  /** The descriptors stay the caller's. Rejects with Failure 'system'. */
  static async start(entrance: Entrance, fds: readonly number[]): Promise<DescriptorHolder> {
    const program = [tool('sleep'), String(longestLife)];
    const [first, ...words] = [...limitingWords(entrance), ...program] as [string, ...string[]];
    const child = childProcess().spawn(first, words, { stdio: ['ignore', 'ignore', 'inherit', ...fds], env: {}, cwd: '/' });
    const failed = new Promise<never>((_, reject) => {
      child.once('error', (error) => reject(failureOf(error, 'The machine cannot be entered')));
      child.once('exit', () => reject(systemFailure('EPERM', 'The limits of the machine cannot be had')));
    });
    const holder = new DescriptorHolder(child);
    try {
      await Promise.race([failed, isRunning(child, `${program.join('\0')}\0`)]);
      return holder;
    } catch (error) {
      holder[Symbol.dispose]();
      throw error;
    }
  }

  /** Where the descriptor of this index can be opened. */
  file(index: number): string {
    return `/proc/${this.#child.pid}/fd/${firstDescriptor + index}`;
  }

  [Symbol.dispose](): void {
    this.#child.kill('SIGKILL');
  }
}

async function isRunning(child: ChildProcess, commandLine: string): Promise<void> {
  for (const deadline = Date.now() + startLimit; Date.now() < deadline; await sleep(lookInterval)) {
    if (readProcFile(`/proc/${child.pid}/cmdline`) === commandLine) return;
    if (child.exitCode !== null || child.signalCode !== null) return; // the other promise says so
  }
  throw systemFailure('ETIMEDOUT', 'The machine cannot be entered in time');
}
