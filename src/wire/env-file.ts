// Files of KEY=value lines: systemd's state files and os-release(5). The syntax is that of systemd.exec(5),
// EnvironmentFile=, with what the programs that write such files are found to produce and accept.

/** A file that is not text: `reason` says in what way. */
export class EnvFileError extends Error {
  override readonly name = 'EnvFileError';
  readonly reason: 'not-utf8' | 'nul';

  constructor(reason: 'not-utf8' | 'nul') {
    super(reason === 'nul' ? 'the file contains a NUL byte' : 'the file is not valid UTF-8');
    this.reason = reason;
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Reads all assignments. A line without '=' or without a key says nothing; of several with one key the last counts, in
 * the place of the first; a quoted value that is not closed goes on to the end. Throws EnvFileError.
 */
export function parseEnvFile(bytes: Uint8Array): Map<string, string> {
  if (bytes.includes(0)) throw new EnvFileError('nul');
  const text = decode(bytes);
  if (text.length <= longestPlainText && plainText.test(text)) return readPlain(text);
  const values = new Map<string, string>();
  const reader = new Reader(text);
  for (let line = reader.next(); line !== undefined; line = reader.next()) {
    if (line.key !== '') values.set(line.key, line.value);
  }
  return values;
}

// Nearly all files are comments and assignments without quotes, escapes and blanks, which mean what they say. The limit
// keeps the matching of a line's repetition within the stack.
const longestPlainText = 4096;
const plainText = /^(?:(?:#[^\r\n]*|[A-Za-z_][A-Za-z0-9_]*=[^ \t\r\n"'\\]*)\n)*$/;

function readPlain(text: string): Map<string, string> {
  const values = new Map<string, string>();
  for (let start = 0; start < text.length; ) {
    const end = text.indexOf('\n', start);
    const equals = text.indexOf('=', start);
    if (text.charAt(start) !== '#') values.set(text.slice(start, equals), text.slice(equals + 1, end));
    start = end + 1;
  }
  return values;
}

function decode(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw new EnvFileError('not-utf8');
  }
}

/**
 * One line of `KEY=value`, with its newline; the value is quoted where a reader would otherwise see something else.
 * Throws RangeError for a value with a NUL: no such file can hold it.
 */
export function formatAssignment(key: string, value: string): string {
  if (value.includes('\0')) throw new RangeError(`the value of ${key} contains a NUL`);
  return `${key}=${needsQuotes.test(value) ? quote(value) : value}\n`;
}

// White space and other control characters, and what a shell gives a meaning to. '#' and '~', which have one at the
// beginning of a word only, are written plain everywhere.
const needsQuotes = /[\x01-\x20\x7f"$`\\!&'()*;<>?[|]/;

function quote(value: string): string {
  return `"${value.replace(/["\\$`]/g, '\\$&')}"`;
}

interface Assignment {
  readonly key: string;
  readonly value: string;
}

class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  /** The next assignment; undefined at the end. */
  next(): Assignment | undefined {
    for (;;) {
      this.#take(anySpace);
      if (this.#at >= this.#text.length) return undefined;
      const first = this.#text.charAt(this.#at);
      if (first === '#' || first === ';') {
        this.#take(toLineEnd);
        continue;
      }
      const key = this.#take(toKeyEnd);
      if (this.#text.charAt(this.#at) !== '=') continue;
      this.#at++;
      return { key: trimEnd(key), value: this.#value() };
    }
  }

  /** Quoted pieces with nothing but blanks between them; then what is not quoted takes the rest of the line. */
  #value(): string {
    let value = '';
    for (;;) {
      this.#take(blanks);
      const quotation = this.#text.charAt(this.#at);
      if (quotation === '"') value += this.#doubleQuoted();
      else if (quotation === "'") value += this.#singleQuoted();
      else return value + this.#unquoted();
    }
  }

  #doubleQuoted(): string {
    let value = '';
    this.#at++;
    for (;;) {
      value += this.#take(toDoubleQuote);
      const stop = this.#text.charAt(this.#at++);
      if (stop !== '\\') return value;
      const escaped = this.#text.charAt(this.#at++);
      if (escaped === '\n') continue;
      value += '"\\$`'.includes(escaped) ? escaped : `\\${escaped}`;
    }
  }

  #singleQuoted(): string {
    this.#at++;
    const value = this.#take(toSingleQuote);
    this.#at++;
    return value;
  }

  /** Blanks at the end of the line are dropped, unless they are escaped. */
  #unquoted(): string {
    let value = '';
    let escapedUntil = 0;
    for (;;) {
      value += this.#take(toEscapeOrLineEnd);
      if (this.#text.charAt(this.#at) !== '\\') return value.slice(0, Math.max(escapedUntil, trimEnd(value).length));
      const escaped = this.#text.charAt(this.#at + 1);
      this.#at += 2;
      if (!isLineEnd(escaped)) value += escaped;
      escapedUntil = value.length;
    }
  }

  /** What a sticky pattern matches here, possibly nothing. */
  #take(what: RegExp): string {
    what.lastIndex = this.#at;
    const taken = what.exec(this.#text)?.[0] ?? '';
    this.#at += taken.length;
    return taken;
  }
}

const anySpace = /[ \t\r\n]*/y;
const blanks = /[ \t]*/y;
const toLineEnd = /[^\r\n]*/y;
const toKeyEnd = /[^=\r\n]*/y;
const toDoubleQuote = /[^"\\]*/y;
const toSingleQuote = /[^']*/y;
const toEscapeOrLineEnd = /[^\\\r\n]*/y;

function isLineEnd(character: string): boolean {
  return character === '\n' || character === '\r';
}

function trimEnd(text: string): string {
  let end = text.length;
  while (end > 0 && (text.charAt(end - 1) === ' ' || text.charAt(end - 1) === '\t')) end--;
  return text.slice(0, end);
}
