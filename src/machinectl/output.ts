// What a command prints, and where: gathered, and then shown at once, by a pager if it is more than a terminal holds.
import { writeSync } from 'node:fs';
import type { WriteStream } from 'node:tty';
import { isatty } from 'node:tty';
import { glyphsFor, type Glyphs } from './glyphs.js';
import { formatJson } from './json.js';
import { colourMode, isDumb, styled, type ColourMode } from './colours.js';

export type Importance = 'error' | 'warning' | 'notice' | 'info';

/** Columns where the output is no terminal, or does not say. */
const defaultColumns = 80;

export class Output {
  readonly colours: ColourMode;
  readonly glyphs: Glyphs;
  readonly onTerminal: boolean;
  readonly #environment: NodeJS.ProcessEnv;
  #text = '';

  constructor(environment: NodeJS.ProcessEnv = process.env) {
    this.#environment = environment;
    this.onTerminal = isatty(1) && isatty(2);
    this.colours = colourMode({ environment, onTerminal: this.onTerminal });
    this.glyphs = glyphsFor(environment);
  }

  /** $COLUMNS, or what the terminal says now. */
  get columns(): number {
    const wanted = Number(this.#environment['COLUMNS']);
    if (Number.isInteger(wanted) && wanted > 0 && wanted < 65_536) return wanted;
    if (!isatty(1)) return defaultColumns;
    const terminal = process.stdout as Partial<WriteStream>;
    return terminal.columns !== undefined && terminal.columns > 0 ? terminal.columns : defaultColumns;
  }

  print(text: string): void {
    this.#text += text;
  }

  printJson(value: unknown, form: 'short' | 'pretty'): void {
    this.print(`${formatJson(value, form)}\n`);
  }

  /** A message to whoever runs the command, on standard error; what was printed before comes first. */
  log(importance: Importance, message: string): void {
    this.flush();
    const style = ({ error: 'red', warning: 'yellow', notice: 'bold', info: 'plain' } as const)[importance];
    writeAll(2, `${styled(message, style, this.colours)}\n`);
  }

  /** Replaces what stands in the line of the cursor, on standard error: a terminal. */
  overwriteLine(text: string): void {
    writeAll(2, `\r${text}\x1b[K`);
  }

  /** What was printed since the last time, not to be written. */
  take(): string {
    const text = this.#text;
    this.#text = '';
    return text;
  }

  /** Writes what was printed since the last time. */
  flush(): void {
    const text = this.take();
    if (text !== '') writeAll(1, text);
  }

  /** Writes what was printed; if that is for a terminal, by a pager. */
  async page(): Promise<void> {
    const text = this.#text;
    if (text === '' || !this.onTerminal || isDumb(this.#environment)) return this.flush();
    this.#text = '';
    const { showInPager } = await import('./pager.js');
    if (!showInPager(text, this.#environment)) writeAll(1, text);
  }
}

/** Writes in full, also to a pipe that does not wait (EAGAIN); who does not want to read (EPIPE) need not. */
function writeAll(fd: number, text: string): void {
  const bytes = Buffer.from(text);
  for (let written = 0; written < bytes.length; ) {
    try {
      written += writeSync(fd, bytes, written);
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : undefined;
      if (code === 'EPIPE') return;
      if (code !== 'EAGAIN') throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
}
