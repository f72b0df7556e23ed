import { invalidArgument } from './failure.js';

/** A command that is to run in a machine, without a terminal. */
export interface CommandRequest {
  /** A user's name, or a user id in decimal. */
  readonly user: string;
  /** The program, an absolute path or a name to be looked for in PATH, and its arguments. */
  readonly words: readonly [program: string, ...rest: readonly string[]];
  /** KEY=value. */
  readonly environment: readonly string[];
  /** An absolute path; undefined: the user's home directory. */
  readonly workingDirectory: string | undefined;
}

/** How a command ended by itself. */
export type CommandEnd =
  | { readonly kind: 'exited'; readonly status: number }
  | { readonly kind: 'signaled'; readonly signal: number };

/** How it ended for whoever wanted it: also by the time limit, or because it was given up. */
export type CommandResult = CommandEnd | { readonly kind: 'timeout' } | { readonly kind: 'canceled' };

/** µs: longer than timers go. A longer time limit is refused, not cut. */
const longestTimeLimit = 0x7fffffff * 1000;
/** What D-Bus has for "none": USEC_INFINITY of systemd. */
const infinity = 2n ** 64n - 1n;

/** Throws Failure 'invalid-argument'. */
export function checkCommandWords(words: readonly string[]): CommandRequest['words'] {
  const [program, ...rest] = words;
  if (program === undefined || program === '') throw invalidArgument('command', 'A command has at least the name of a program');
  if (program.includes('/') && !program.startsWith('/')) {
    throw invalidArgument('command', `'${program}' is neither an absolute path nor the name of a program`);
  }
  if (words.some((word) => word.includes('\0'))) throw invalidArgument('command', 'A word of a command has no NUL in it');
  return [program, ...rest];
}

/** '' is none. Throws Failure 'invalid-argument'. */
export function checkWorkingDirectory(directory: string): string | undefined {
  if (directory === '') return undefined;
  if (directory.startsWith('/') && !directory.includes('\0')) return directory;
  throw invalidArgument('workingDirectory', `The working directory '${directory}' is not an absolute path`);
}

/** Milliseconds, or undefined for 0 and for 2^64 − 1, which are no limit. Throws Failure 'invalid-argument'. */
export function checkTimeLimit(microseconds: bigint): number | undefined {
  if (microseconds === 0n || microseconds === infinity) return undefined;
  if (microseconds > longestTimeLimit) throw invalidArgument('timeLimitUSec', 'A time limit is at most 24 days');
  return Math.ceil(Number(microseconds) / 1000);
}
