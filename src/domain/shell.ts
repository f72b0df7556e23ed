import { invalidArgument } from './failure.js';
import { isUserId, isUserName } from './users.js';

/** A program, and its arguments with argv[0]. */
export interface Command {
  readonly program: string;
  readonly arguments: readonly string[];
}

/** What is to run on a terminal in a machine. */
export interface ShellRequest {
  /** A user's name, or a user id in decimal. */
  readonly user: string;
  /** undefined: the user's own login shell. A `$` in the arguments is for systemd.service(5) to interpret. */
  readonly command: Command | undefined;
  /** KEY=value. */
  readonly environment: readonly string[];
}

/**
 * Finds the user's shell in the machine's own user database, and becomes it. There are no braces in it, because systemd
 * would take them for variables of its own.
 */
const becomeLoginShell = `
shell=$(getent passwd "$1" | cut -d: -f7)
test -n "$shell" || shell=/bin/sh
exec "$shell" -l`.trim();

/** The program that systemd in the machine is to run. */
export function commandOf({ user, command }: ShellRequest): Command {
  return command ?? { program: '/bin/sh', arguments: ['sh', '-c', becomeLoginShell, 'sh', user] };
}

/** '' is root. Throws Failure 'invalid-argument' for what no user can be called. */
export function checkShellUser(user: string): string {
  if (user === '') return 'root';
  if (!isShellUser(user)) throw invalidArgument('user', `Invalid user name '${user}'`);
  return user;
}

/**
 * With '' for a program, the arguments mean nothing; with none, the program is its own argv[0]. Throws Failure
 * 'invalid-argument' unless the program is an absolute path.
 */
export function checkCommand(program: string, words: readonly string[]): Command | undefined {
  if (program === '') return undefined;
  if (!program.startsWith('/')) throw invalidArgument('path', `Specified path '${program}' is not absolute`);
  if (program.includes('\0')) throw invalidArgument('path', 'A path has no NUL in it');
  if (words.some((word) => word.includes('\0'))) throw invalidArgument('args', 'An argument has no NUL in it');
  return { program, arguments: words.length === 0 ? [program] : words };
}

/** Throws Failure 'invalid-argument' unless all are KEY=value, with different keys. */
export function checkEnvironment(assignments: readonly string[]): readonly string[] {
  if (!isEnvironment(assignments)) throw invalidArgument('environment', 'Invalid environment assignments');
  return assignments;
}

export function isEnvironment(assignments: readonly string[]): boolean {
  const names = new Set<string>();
  for (const assignment of assignments) {
    const name = /^([A-Za-z_][A-Za-z0-9_]*)=/.exec(assignment)?.[1];
    if (name === undefined || names.has(name) || assignment.includes('\0')) return false;
    names.add(name);
  }
  return true;
}

/** Whether it is a user id in decimal, or a name. */
export function isShellUser(user: string): boolean {
  return /^(?:0|[1-9][0-9]*)$/.test(user) ? isUserId(Number(user)) : isUserName(user);
}
