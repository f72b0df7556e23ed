// A screen that is drawn again and again, until its user has seen enough.
import type { Output } from './output.js';

const enter = '\x1b[?1049h\x1b[?25l\x1b[?7l'; // the alternate screen, without a cursor; what is too wide is cut off
const leave = '\x1b[?7h\x1b[?25h\x1b[?1049l';
const home = '\x1b[H';
const endOfLine = '\x1b[K';
const endOfScreen = '\x1b[J';

/** Ctrl-C, Ctrl-D, Escape, and q. */
const enough = new Set(['\x03', '\x04', '\x1b', 'q', 'Q']);
/** Ctrl-Z: in raw mode, the terminal sends no signal for it. */
const suspendKey = '\x1a';

/** Takes the terminal, and gives it back as it was when it is disposed, and for as long as its user has stopped the job. */
export class LiveScreen implements Disposable {
  /** Resolves when the user wants no more. */
  readonly ended: Promise<void>;
  readonly #output: Output;
  readonly #redraw: () => void;
  readonly #onSuspend = (): void => this.#suspend();
  readonly #onContinue = (): void => this.#take();

  /** `redraw` is called when the terminal has another size, or has been somebody else's. */
  constructor(output: Output, redraw: () => void) {
    this.#output = output;
    this.#redraw = redraw;
    this.ended = new Promise((resolve) => {
      const end = () => resolve();
      for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, end);
      if (!process.stdin.isTTY) return;
      process.stdin.on('data', (bytes) => {
        const key = bytes.toString('latin1');
        if (enough.has(key)) resolve();
        if (key === suspendKey) this.#suspend();
      });
    });
    process.on('SIGTSTP', this.#onSuspend);
    process.on('SIGCONT', this.#onContinue);
    process.stdout.on('resize', redraw);
    this.#begin();
  }

  /** As many lines as fit; the rest is cut off. */
  draw(text: string): void {
    const rows = process.stdout.rows > 1 ? process.stdout.rows - 1 : 24;
    const lines = text.split('\n').slice(0, rows);
    // a line is emptied first: behind its last column, that would take the last character away
    this.#output.print(home + lines.map((line) => `${endOfLine}${line}\n`).join('') + endOfScreen);
    this.#output.flush();
  }

  [Symbol.dispose](): void {
    process.off('SIGTSTP', this.#onSuspend);
    process.off('SIGCONT', this.#onContinue);
    process.stdout.off('resize', this.#redraw);
    this.#giveBack();
    process.stdin.pause();
  }

  /** Stops all of the job, as the terminal would; returns when it goes on, or at once where there is nobody to continue it. */
  #suspend(): void {
    this.#giveBack();
    process.off('SIGTSTP', this.#onSuspend);
    process.kill(0, 'SIGTSTP');
    process.on('SIGTSTP', this.#onSuspend);
    this.#take();
  }

  #take(): void {
    this.#begin();
    this.#redraw();
  }

  #begin(): void {
    if (process.stdin.isTTY) {
      process.stdin.setRawMode(false); // it may not be what it was last set to
      process.stdin.setRawMode(true);
    }
    this.#output.print(enter);
    this.#output.flush();
  }

  #giveBack(): void {
    if (process.stdin.isTTY) process.stdin.setRawMode(false);
    this.#output.print(leave);
    this.#output.flush();
  }
}
