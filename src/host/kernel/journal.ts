// Where log messages go. What a target is called: systemd's --log-target=. What a line looks like: sd-daemon(3) for the
// '<N>' prefixes, systemd.io/JOURNAL_NATIVE_PROTOCOL for the journal's datagrams.
import { fstatSync, openSync, writeSync } from 'node:fs';
import type { Log, LogLevel, LogTarget } from '../../ports/log.js';
import { check, isatty, socket } from './libc.js';
import { sendDatagram } from './socket-message.js';
import { errnoNameOf, SystemError } from './system-error.js';
import { AF_UNIX, encodeUnixAddress } from './unix-address.js';

type Fields = Readonly<Record<string, string>>;
/** Throws a system call's error if the message could not be written. */
type Sink = (level: LogLevel, message: string, fields: Fields) => void;

const standardError = 2;
/** Warnings and what is worse: after one of them the process may end. */
const urgentLevel: LogLevel = 4;
const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const daemonFacility = 3 << 3;
const journalSocket = '/run/systemd/journal/socket';

/** syslog has no sink of its own: on a host with systemd, the journal is what listens to it. */
const sinksOfTarget: Readonly<Record<Exclude<LogTarget, 'auto'>, readonly SinkName[]>> = {
  'null': [],
  'console': ['console'],
  'console-prefixed': ['prefixed'],
  'kmsg': ['kmsg'],
  'journal': ['journal'],
  'syslog': ['journal'],
  'journal-or-kmsg': ['journal', 'kmsg'],
  'syslog-or-kmsg': ['journal', 'kmsg'],
};
type SinkName = 'console' | 'prefixed' | 'kmsg' | 'journal';

export interface LogOptions {
  /** SYSLOG_IDENTIFIER, and the name on /dev/kmsg. */
  readonly identifier: string;
  readonly level: LogLevel;
  /** 'auto' looks at where standard error leads. */
  readonly target: LogTarget;
  /** JOURNAL_STREAM, INVOCATION_ID and NO_COLOR count. */
  readonly environment: NodeJS.ProcessEnv;
}

/**
 * Writes each message to the first sink of its target that takes it, and to standard error if none does. Nothing waits:
 * a message that cannot be written at once anywhere is dropped, and the next one says how many were. What it opens stays
 * open, as it is there for as long as the process.
 */
export class ServiceLog implements Log {
  level: LogLevel;
  readonly #identifier: string;
  readonly #environment: NodeJS.ProcessEnv;
  readonly #makers: Readonly<Record<SinkName, () => Sink>>;
  readonly #made = new Map<SinkName, Sink>();
  #target: LogTarget;
  #sinks: readonly SinkName[];
  #lost = 0;
  /** Those that wait for the end of this turn. */
  #waiting: (readonly [level: LogLevel, message: string, fields: Fields])[] = [];

  constructor(options: LogOptions) {
    this.level = options.level;
    this.#identifier = options.identifier;
    this.#environment = options.environment;
    this.#makers = {
      console: () => consoleSink(isatty(standardError) === 1 && !this.#environment['NO_COLOR']),
      prefixed: () => prefixedSink,
      kmsg: () => kmsgSink(this.#identifier),
      journal: () => journalSink(this.#identifier, journalSocket),
    };
    this.#target = options.target;
    this.#sinks = this.#sinksOf(options.target);
    process.once('exit', () => this.#flush());
  }

  get target(): LogTarget {
    return this.#target;
  }

  set target(target: LogTarget) {
    this.#flush();
    this.#sinks = this.#sinksOf(target);
    this.#target = target;
  }

  /** What is not urgent waits for the end of this turn, so that nobody's answer waits for it. */
  write(level: LogLevel, message: string, fields: Fields = {}): void {
    if (level > this.level || this.#target === 'null') return;
    if (this.#waiting.push([level, message, fields]) === 1 && level > urgentLevel) process.nextTick(() => this.#flush());
    if (level <= urgentLevel) this.#flush();
  }

  #flush(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const [level, message, fields] of waiting) this.#writeNow(level, message, fields);
  }

  #writeNow(level: LogLevel, message: string, fields: Fields): void {
    if (this.#lost > 0 && this.#deliver(4, `${this.#lost} log messages were lost`, {})) this.#lost = 0;
    if (!this.#deliver(level, message, fields)) this.#lost++;
  }

  error(message: string, fields?: Fields): void {
    this.write(3, message, fields);
  }
  warning(message: string, fields?: Fields): void {
    this.write(4, message, fields);
  }
  notice(message: string, fields?: Fields): void {
    this.write(5, message, fields);
  }
  info(message: string, fields?: Fields): void {
    this.write(6, message, fields);
  }
  debug(message: string, fields?: Fields): void {
    this.write(7, message, fields);
  }

  #sinksOf(target: LogTarget): readonly SinkName[] {
    return target === 'auto' ? automaticSinks(this.#environment) : sinksOfTarget[target];
  }

  #deliver(level: LogLevel, message: string, fields: Fields): boolean {
    return [...this.#sinks, 'prefixed' as const].some((name) => this.#tryOne(name, level, message, fields));
  }

  #tryOne(name: SinkName, level: LogLevel, message: string, fields: Fields): boolean {
    try {
      const sink = this.#made.get(name) ?? this.#makers[name]();
      this.#made.set(name, sink);
      sink(level, message, fields);
      return true;
    } catch (error) {
      if (errnoNameOf(error) === undefined) throw error;
      return false;
    }
  }
}

/** Straight to the journal if standard error leads there anyway: fields survive, and lines stay together. */
function automaticSinks(environment: NodeJS.ProcessEnv): readonly SinkName[] {
  if (leadsToJournal(environment['JOURNAL_STREAM'])) return ['journal', 'prefixed'];
  if (environment['INVOCATION_ID'] !== undefined && isatty(standardError) === 0) return ['prefixed'];
  return ['console'];
}

/** JOURNAL_STREAM of systemd.exec(5): 'DEVICE:INODE' of the stream that the service manager connected. */
function leadsToJournal(stream: string | undefined): boolean {
  if (stream === undefined) return false;
  const { dev, ino } = fstatSync(standardError, { bigint: true });
  return stream === `${dev}:${ino}`;
}

const colours = ['1;31', '1;31', '1;31', '1;31', '33', '1', '', '90'] as const;

function consoleSink(coloured: boolean): Sink {
  return (level, message) => {
    const colour = coloured ? colours[level] : '';
    const line = printable(message);
    writeLine(standardError, colour === '' ? line : `\x1b[${colour}m${line}\x1b[0m`);
  };
}

const prefixedSink: Sink = (level, message) => {
  writeLine(standardError, printable(message).replace(/^/gm, `<${level}>`));
};

/** One record of /dev/kmsg (kernel: Documentation/ABI/testing/dev-kmsg) is one line of at most 1 KiB or so. */
function kmsgSink(identifier: string): Sink {
  const device = openSync('/dev/kmsg', 'w');
  return (level, message) => {
    const line = printable(message).replaceAll('\n', ' ').slice(0, longestRecord);
    writeLine(device, `<${daemonFacility | level}>${identifier}[${process.pid}]: ${line}`);
  };
}
const longestRecord = 800;

/** Text from elsewhere must not steer a terminal. */
function printable(message: string): string {
  return message.replace(/[\x00-\x08\x0b-\x1f\x7f]/g, '\ufffd');
}

function writeLine(fd: number, line: string): void {
  writeSync(fd, `${line}\n`);
}

/** Sends to a socket that speaks the journal's native protocol. */
export function journalSink(identifier: string, path: string): Sink {
  const address = encodeUnixAddress(path, 'sendmsg');
  const fd = check(socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), 'socket');
  return (level, message, fields) => {
    const entry = { MESSAGE: message, PRIORITY: String(level), SYSLOG_IDENTIFIER: identifier, ...fields };
    const result = sendDatagram(fd, address, encodeJournalEntry(entry), []);
    if (result < 0) throw new SystemError(-result, 'sendmsg', path);
  };
}

/** Field names are upper case, and do not begin with an underscore: those are the journal's own. */
export function encodeJournalEntry(fields: Fields): Buffer {
  const parts: Buffer[] = [];
  let lines = '';
  for (const [name, value] of Object.entries(fields)) {
    if (!fieldName.test(name)) throw new RangeError(`'${name}' cannot be a field of the journal`);
    if (!value.includes('\n')) {
      lines += `${name}=${value}\n`;
      continue;
    }
    const text = Buffer.from(value);
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(text.length));
    parts.push(Buffer.from(`${lines}${name}\n`), length, text);
    lines = '\n';
  }
  const rest = Buffer.from(lines);
  return parts.length === 0 ? rest : Buffer.concat([...parts, rest]);
}
const fieldName = /^[A-Z0-9][A-Z0-9_]{0,63}$/;
