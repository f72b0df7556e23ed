// Joins this terminal with one of a machine, for as long as the program over there runs.
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { isatty } from 'node:tty';
import type { MachineTerminal } from '../client/terminal.js';
import type { Context } from './context.js';
import { isDumb } from './colours.js';

export type SessionEnd = 'program-ended' | 'left' | 'machine-ended' | 'interrupted';

/** ^], which telnet(1) has for the same purpose. */
const leaveKey = 0x1d;
const leaveKeyTimes = 3;
const leaveWithin = 1000; // milliseconds
/**
 * What is typed while the terminal is being set up is lost, systemd.exec(5), TTYReset=: what comes from a file waits for
 * the first output, or so long for a program that prints nothing. In ms.
 */
const readyWithin = 1000;
/** ^D: what a terminal has for the end of a file. */
const endOfFile = '\x04';
/** Soft reset, colours and line wrapping as they were, the cursor in an empty line: ECMA-48, and XTerm's DECSTR. */
const restoreScreen = '\x1b[!p\x1b]104\x1b\\\x1b[0m\x1b[?7h\x1b[1G\x1b[0J';

export interface Session {
  readonly terminal: MachineTerminal;
  /** As the user knows it: '.host' for this host. */
  readonly machine: string;
  /** Resolves when the machine has ended. */
  readonly machineEnded: Promise<void>;
}

/** Resolves when the session is over, with this terminal as it was before. */
export async function joinTerminals(context: Context, session: Session): Promise<SessionEnd> {
  const { output } = context;
  const { terminal, machine } = session;
  const place = machine === '.host' ? 'the local host' : `machine ${machine}`;
  const say = (text: string): void => {
    if (!context.settings.quiet) output.log('info', text);
  };
  say(`Connected to ${place}. Press ^] three times within 1s to exit session.`);
  const end = await forward(session);
  terminal.destroy();
  if (isatty(1) && !isDumb(process.env)) output.print(restoreScreen);
  say(end === 'machine-ended' ? `Machine ${machine} terminated.` : `Connection to ${place} terminated.`);
  output.flush();
  return end;
}

async function forward({ terminal, machineEnded }: Session): Promise<SessionEnd> {
  const { stdin, stdout } = process;
  const isInteractive = stdin.isTTY && stdout.isTTY;
  const resize = (): void => {
    if (stdout.isTTY && stdout.columns > 0 && !terminal.destroyed) terminal.resize(stdout.columns, stdout.rows);
  };
  resize();
  stdout.on('resize', resize);
  using mode = isInteractive ? new RawTerminal() : undefined;
  void mode;
  try {
    return await new Promise<SessionEnd>((resolve, reject) => {
      const leaving = new LeaveKey();
      terminal.on('data', (bytes: Buffer) => {
        if (stdout.write(bytes)) return;
        terminal.pause();
        stdout.once('drain', () => terminal.resume());
      });
      terminal.once('end', () => resolve('program-ended'));
      terminal.once('error', reject);
      const type = (): void => {
        stdin.on('data', (bytes: Buffer) => {
          if (isInteractive && leaving.pressed(bytes, Date.now())) return resolve('left');
          if (terminal.write(bytes)) return;
          stdin.pause();
          terminal.once('drain', () => stdin.resume());
        });
      };
      if (isInteractive) type();
      else Promise.race([once(terminal, 'data'), delay(readyWithin)]).then(type, reject);
      // Whoever reads over there learns that nothing more comes; what is still printed is printed here.
      stdin.once('end', () => tellEnd(terminal));
      stdout.once('error', () => resolve('interrupted'));
      for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => resolve('interrupted'));
      machineEnded.then(() => resolve('machine-ended'), reject);
    });
  } finally {
    stdin.pause();
    stdout.off('resize', resize);
  }
}

/** Again and again: who does not read yet may have what was typed before thrown away. */
function tellEnd(terminal: MachineTerminal): void {
  if (terminal.destroyed) return;
  terminal.write(endOfFile);
  setTimeout(() => tellEnd(terminal), readyWithin).unref();
}

/**
 * This terminal without any processing of its own, neither of what is typed nor of what is shown. By stty(1): what
 * Node calls raw still adds a carriage return to every line feed.
 */
class RawTerminal implements Disposable {
  readonly #before = stty('-g');
  readonly #restore = (): void => void stty(this.#before ?? 'sane');

  constructor() {
    stty('raw', '-echo');
    process.on('exit', this.#restore);
  }

  [Symbol.dispose](): void {
    process.off('exit', this.#restore);
    this.#restore();
  }
}

/** @returns what it prints; undefined if it fails, or is not there. */
function stty(...parameters: readonly string[]): string | undefined {
  const { status, stdout } = spawnSync('stty', parameters, { stdio: ['inherit', 'pipe', 'ignore'] });
  return status === 0 ? stdout.toString().trim() : undefined;
}

/** Whether the key that leaves the session was pressed often enough; any other key begins the count anew. */
export class LeaveKey {
  #times = 0;
  #first = 0;

  /** `now` in milliseconds. */
  pressed(bytes: Uint8Array, now: number): boolean {
    for (const byte of bytes) {
      if (byte !== leaveKey) {
        this.#times = 0;
        continue;
      }
      if (this.#times === 0 || now - this.#first > leaveWithin) {
        this.#times = 0;
        this.#first = now;
      }
      this.#times++;
      if (this.#times >= leaveKeyTimes) return true;
    }
    return false;
  }
}
