// The agent that asks for a password on this terminal: pkttyagent(1) of polkit.
import { spawn } from 'node:child_process';
import { isatty } from 'node:tty';

let agent: Promise<void> | undefined;

/**
 * Resolves when the agent listens, or at once where there is none to be had (no terminal, no polkit). It ends with this process.
 */
export function openPolkitAgent(): Promise<void> {
  agent ??= isatty(0) ? start() : Promise.resolve();
  return agent;
}

function start(): Promise<void> {
  const readyDescriptor = 3;
  return new Promise((resolve) => {
    const parameters = ['--notify-fd', String(readyDescriptor), '--fallback'];
    const child = spawn('pkttyagent', parameters, { stdio: ['inherit', 'inherit', 'inherit', 'pipe'] });
    process.on('exit', () => child.kill('SIGTERM'));
    // Closes the descriptor when it listens. Without an agent, the call says itself that it takes a password.
    child.on('error', () => resolve());
    child.on('exit', () => resolve());
    child.unref();
    child.stdio[readyDescriptor]?.on('error', () => resolve()).on('close', () => resolve());
    (child.stdio[readyDescriptor] as NodeJS.ReadableStream | null)?.resume();
  });
}
