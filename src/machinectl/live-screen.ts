// A screen that is drawn again and again, until its user has seen enough.
import type { Output } from './output.js';

const enter = '\x1b[?1049h\x1b[?25l'; // the alternate screen, without a cursor
const leave = '\x1b[?25h\x1b[?1049l';
const home = '\x1b[H';
const endOfLine = '\x1b[K';
const endOfScreen = '\x1b[J';

/** Ctrl-C, Ctrl-D, Escape, and q. */
const enough = new Set(['\x03', '\x04', '\x1b', 'q', 'Q']);

/** Takes the terminal, and gives it back as it was when it is disposed. */
export class LiveScreen implements Disposable {
  /** Resolves when the user wants no more. */
  readonly ended: Promise<void>;
  readonly #output: Output;

  constructor(output: Output) {
    this.#output = output;
    output.print(enter);
    output.flush();
    this.ended = new Promise((resolve) => {
      const end = () => resolve();
      for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, end);
      if (!process.stdin.isTTY) return;
      process.stdin.setRawMode(true);
      process.stdin.on('data', (bytes) => {
        if (enough.has(bytes.toString('latin1'))) resolve();
      });
    });
  }

  /** As many lines as fit; the rest is cut off. */
  draw(text: string): void {
    const rows = process.stdout.rows > 1 ? process.stdout.rows - 1 : 24;
    const lines = text.split('\n').slice(0, rows);
    this.#output.print(home + lines.map((line) => `${line}${endOfLine}\n`).join('') + endOfScreen);
    this.#output.flush();
  }

  [Symbol.dispose](): void {
    if (process.stdin.isTTY) process.stdin.setRawMode(false);
    process.stdin.pause();
    this.#output.print(leave);
    this.#output.flush();
  }
}
