// What login and shell have in common: a terminal of a machine, and the session on it.
import { loadNative } from '../client/native.js';
import { MachineTerminal } from '../client/terminal.js';
import type { Context } from './context.js';
import { failureOf } from './registry.js';
import { joinTerminals } from './terminal-session.js';

interface OpenedTerminal {
  readonly output: {
    /** The descriptor, which the caller closes. */
    readonly pty: number;
    readonly pty_path: string;
  };
}

export interface SessionRequest {
  readonly machine: string;
  /** A login prompt comes back after every session. */
  readonly returns: boolean;
  /** What is said before the reason of a failure: 'Failed to get shell PTY'. */
  readonly failure: string;
  readonly open: () => Promise<OpenedTerminal>;
}

export async function openSession(context: Context, { machine, returns, failure, open }: SessionRequest): Promise<void> {
  const { machineEnded, native, path, fd } = await prepare();
  const terminal = new MachineTerminal(native, fd, path, returns);
  await joinTerminals(context, { terminal, machine, machineEnded });

  async function prepare() {
    try {
      // Before the terminal is there, so that no end is missed.
      const watch = await watchMachine(context, machine);
      const { output } = await open();
      return { machineEnded: watch.ended, native: await loadNative(), path: output.pty_path, fd: output.pty };
    } catch (error) {
      throw failureOf(failure, error);
    }
  }
}

async function watchMachine({ registry }: Context, machine: string): Promise<{ readonly ended: Promise<void> }> {
  let ended: Promise<void> = Promise.resolve();
  await new Promise<void>((resolve, reject) => {
    ended = registry.machineRemoved(machine, resolve);
    ended.catch(reject);
  });
  return { ended };
}
