// The agent that asks for a password on this terminal: pkttyagent(1) of polkit.
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';

/** Signals that end this process, and would leave the agent behind with its question. */
const endings = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** How long it may take to put the terminal in order, in milliseconds. */
const longestEnd = 1000;

let agent: Promise<void> | undefined;

/**
 * Resolves when the agent listens, or at once where there is none to be had (no terminal, no polkit). It ends with this process.
 */
export function openPolkitAgent(): Promise<void> {
  agent ??= hasTerminal() ? start() : Promise.resolve();
  return agent;
}

/** The agent asks on the terminal of the session, wherever the standard streams lead: tty(4). */
function hasTerminal(): boolean {
  try {
    closeSync(openSync('/dev/tty', 'r'));
    return true;
  } catch {
    return false;
  }
}

function start(): Promise<void> {
  const readyDescriptor = 3;
  return new Promise((resolve) => {
    const parameters = ['--notify-fd', String(readyDescriptor), '--fallback'];
    const child = spawn('pkttyagent', parameters, { stdio: ['inherit', 'inherit', 'inherit', 'pipe'] });
    process.on('exit', () => child.kill('SIGTERM'));
    endWithUs(child);
    // Closes the descriptor when it listens. Without an agent, the call says itself that it takes a password.
    child.on('error', () => resolve());
    child.on('exit', () => resolve());
    child.unref();
    child.stdio[readyDescriptor]?.on('error', () => resolve()).on('close', () => resolve());
    (child.stdio[readyDescriptor] as NodeJS.ReadableStream | null)?.resume();
  });
}

/**
 * It is the agent that turns the terminal's echo on again: who looks at the terminal after us finds it as it was. Nothing else
 * happens until then, so that nobody reads an answer to a question that is no more.
 */
function endWithUs(child: ChildProcess): void {
  for (const signal of endings) {
    const onSignal = (): void => {
      if (process.listenerCount(signal) > 1) return; // others see to it, and 'exit' to the agent
      child.kill('SIGTERM');
      if (child.pid !== undefined) waitForEnd(child.pid);
      process.off(signal, onSignal);
      process.kill(process.pid, signal);
    };
    process.prependListener(signal, onSignal);
  }
}

/** Without the event loop, which would collect the process: it is over when it is a zombie. */
function waitForEnd(pid: number): void {
  const pause = new Int32Array(new SharedArrayBuffer(4));
  for (const deadline = performance.now() + longestEnd; performance.now() < deadline && isAlive(pid); ) Atomics.wait(pause, 0, 0, 5);
}

function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}
