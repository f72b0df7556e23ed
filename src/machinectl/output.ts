// What a command prints, and where: gathered, and then shown at once, by a pager if it is more than a terminal holds.
import { spawnSync } from 'node:child_process';
import { writeSync } from 'node:fs';
import type { WriteStream } from 'node:tty';
import { isatty } from 'node:tty';
import { formatJson } from './json.js';
import { colourMode, isDumb, styled, type ColourMode } from './colours.js';

export type Importance = 'error' | 'warning' | 'notice' | 'info';

/** Columns where the output is no terminal, or does not say. */
const defaultColumns = 80;

export class Output {
  readonly colours: ColourMode;
  readonly onTerminal: boolean;
  readonly #environment: NodeJS.ProcessEnv;
  #text = '';
  #columns: number | undefined;

  constructor(environment: NodeJS.ProcessEnv = process.env) {
    this.#environment = environment;
    this.onTerminal = isatty(1) && isatty(2);
    this.colours = colourMode({ environment, onTerminal: this.onTerminal });
  }

  /** $COLUMNS, or what the terminal says. */
  get columns(): number {
    this.#columns ??= this.#countColumns();
    return this.#columns;
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

  /** Writes what was printed since the last time. */
  flush(): void {
    const text = this.#text;
    this.#text = '';
    if (text !== '') writeAll(1, text);
  }

  /** Writes what was printed; if that is for a terminal, by a pager. */
  page(): void {
    const text = this.#text;
    if (text === '' || !this.onTerminal || isDumb(this.#environment)) return this.flush();
    this.#text = '';
    for (const pager of choosePagers(this.#environment)) {
      const [command = '', ...parameters] = pager;
      const result = spawnSync(command, parameters, { input: text, stdio: ['pipe', 'inherit', 'inherit'], env: this.#pagerEnvironment() });
      if (result.error === undefined || !('code' in result.error) || result.error.code !== 'ENOENT') return;
    }
    writeAll(1, text);
  }

  #pagerEnvironment(): NodeJS.ProcessEnv {
    const environment = this.#environment;
    return {
      ...environment,
      LESS: environment['SYSTEMD_LESS'] ?? 'FRSXMK',
      LESSCHARSET: environment['SYSTEMD_LESSCHARSET'] ?? 'utf-8',
      ...(isPagerRestricted(environment) ? { LESSSECURE: '1' } : {}),
    };
  }

  #countColumns(): number {
    const wanted = Number(this.#environment['COLUMNS']);
    if (Number.isInteger(wanted) && wanted > 0 && wanted < 65_536) return wanted;
    if (!isatty(1)) return defaultColumns;
    const terminal = process.stdout as Partial<WriteStream>;
    return terminal.columns !== undefined && terminal.columns > 0 ? terminal.columns : defaultColumns;
  }
}

/** Pagers to be tried in turn: systemd's own variable, everybody's, and then what most have. None if one says so. */
export function choosePagers(environment: NodeJS.ProcessEnv): readonly (readonly string[])[] {
  if (isPagerRestricted(environment)) return [['less']];
  const wanted = environment['SYSTEMD_PAGER'] ?? environment['PAGER'];
  if (wanted === undefined) return [['pager'], ['less'], ['more']];
  const words = wanted.split(/\s+/).filter((word) => word !== '');
  return words.length === 0 || words[0] === 'cat' ? [] : [words];
}

/** Who runs this by sudo must not get a shell out of the pager: systemctl(1), $SYSTEMD_PAGERSECURE. */
function isPagerRestricted(environment: NodeJS.ProcessEnv): boolean {
  const wanted = environment['SYSTEMD_PAGERSECURE'];
  if (wanted !== undefined) return !/^(0|n|no|f|false|off)$/i.test(wanted);
  return environment['SUDO_UID'] !== undefined;
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
