// What a command prints, and where: gathered, and then shown at once, by a pager if it is more than a terminal holds.
import { writeSync } from 'node:fs';
import { constants } from 'node:os';
import type { WriteStream } from 'node:tty';
import { isatty } from 'node:tty';
import { CommandFailure } from './failure.js';
import { glyphsFor, type Glyphs } from './glyphs.js';
import { formatJson } from './json.js';
import { errnoText } from './system-errors.js';
import { colourMode, isDumb, styled, type ColourMode } from './colours.js';
import { choosePagers } from './pagers.js';
import type { Settings, TableForm } from './settings.js';

export type Importance = 'error' | 'warning' | 'notice' | 'info';

const importanceLevels = { error: 3, warning: 4, notice: 5, info: 6 } as const satisfies Record<Importance, number>;
/** The names of these levels: $SYSTEMD_LOG_LEVEL, systemd(1). */
const levelNames = ['emerg', 'alert', 'crit', 'err', 'warning', 'notice', 'info', 'debug'];

/** Columns where the output is no terminal, or does not say. */
const defaultColumns = 80;

export class Output {
  readonly colours: ColourMode;
  readonly glyphs: Glyphs;
  readonly onTerminal: boolean;
  /** Resolves when something was written that nobody reads. */
  readonly unread: Promise<void>;
  #giveUp: () => void = () => undefined;
  readonly #environment: NodeJS.ProcessEnv;
  #text = '';

  constructor(environment: NodeJS.ProcessEnv = process.env) {
    this.#environment = environment;
    this.onTerminal = isatty(1) && isatty(2);
    this.colours = colourMode({ environment, onTerminal: this.onTerminal });
    this.glyphs = glyphsFor(environment);
    this.unread = new Promise((resolve) => (this.#giveUp = resolve));
  }

  /** $COLUMNS, or what the terminal says now. */
  get columns(): number {
    const wanted = Number(this.#environment['COLUMNS']);
    if (Number.isInteger(wanted) && wanted > 0 && wanted < 65_536) return wanted;
    if (!isatty(1)) return defaultColumns;
    const terminal = process.stdout as Partial<WriteStream>;
    return terminal.columns !== undefined && terminal.columns > 0 ? terminal.columns : defaultColumns;
  }

  /** Columns that lines have to fit; undefined: as many as they take, in a file or a pager. */
  widthFor({ full, pager }: Pick<Settings, 'full' | 'pager'>): number | undefined {
    const isPaged = pager && !isDumb(this.#environment) && choosePagers(this.#environment).length > 0;
    return full || !this.onTerminal || isPaged ? undefined : this.columns;
  }

  print(text: string): void {
    this.#text += text;
  }

  printJson(value: unknown, form: Exclude<TableForm, 'off'>): void {
    const text = `${formatJson(value, form === 'pretty' ? 'pretty' : 'short')}\n`;
    if (form === 'sse') this.print(`data: ${text}\n`);
    else this.print(form === 'seq' ? `\x1e${text}` : text);
  }

  /** A message to whoever runs the command, on standard error; what was printed before comes first. */
  log(importance: Importance, message: string): void {
    this.flush();
    if (importanceLevels[importance] > mostVerbose(this.#environment)) return;
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

  /**
   * Writes what was printed since the last time. Where the reader of a pipe has ended, this process ends as others do.
   * Throws CommandFailure if there is no place for it.
   */
  flush(): void {
    const problem = writeAll(1, this.take());
    if (problem === 'EPIPE') endByBrokenPipe();
    // Closed: who does not want to read need not.
    if (problem === 'EBADF') this.#giveUp();
    else if (problem !== undefined) throw new CommandFailure(`Failed to write the output: ${errnoText(problem)}`);
  }

  /** Writes what was printed; if that is for a terminal, by a pager. */
  async page(): Promise<void> {
    const text = this.#text;
    if (text === '' || !this.onTerminal || isDumb(this.#environment)) return this.flush();
    const { showInPager } = await import('./pager.js');
    this.#text = '';
    const warn = (message: string): void => this.log('warning', message);
    if (showInPager(text, this.#environment, warn)) return;
    this.print(text);
    this.flush();
  }
}

/** Messages of greater levels are not for whoever runs this. */
function mostVerbose(environment: NodeJS.ProcessEnv): number {
  // 'crit,journal:info': that for other targets is none of ours
  const wanted = (environment['SYSTEMD_LOG_LEVEL'] ?? '').split(',').find((entry) => !entry.includes(':')) ?? '';
  const level = /^[0-7]$/.test(wanted) ? Number(wanted) : levelNames.indexOf(wanted);
  return level < 0 ? importanceLevels.info : level;
}

/** Writes in full, also to a pipe that does not wait (EAGAIN). @returns the errno of what is in the way of that, if something is. */
function writeAll(fd: number, text: string): string | undefined {
  const bytes = Buffer.from(text);
  for (let written = 0; written < bytes.length; ) {
    try {
      written += writeSync(fd, bytes, written);
    } catch (error) {
      if (!(error instanceof Error) || !('code' in error)) throw error;
      if (error.code !== 'EAGAIN') return String(error.code);
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
  return undefined;
}

/** Node ignores SIGPIPE, until somebody has listened for it and does no more. */
function endByBrokenPipe(): never {
  const listener = (): void => undefined;
  process.on('SIGPIPE', listener).off('SIGPIPE', listener);
  process.kill(process.pid, 'SIGPIPE');
  process.exit(128 + constants.signals.SIGPIPE);
}
