import type { Scope } from './places.js';

/** What the command line asks for. */
export type Request =
  | { readonly kind: 'serve'; readonly scope: Scope }
  /** Run a program against the daemon that serves already. */
  | { readonly kind: 'run'; readonly command: readonly [string, ...string[]] }
  | { readonly kind: 'print'; readonly text: string; readonly status: number };

/** sysexits(3): EX_USAGE. */
const usageError = 64;

const help = `machined keeps track of the virtual machines and OS containers that run on this host.

Usage: machined [--system]        serve the host
       machined --user            serve the user who runs it: on the session bus, with the user's service manager and images
       machined run COMMAND...    run a program of systemd's (machinectl, systemd-nspawn, busctl) against a machined
                                  that serves on a host without systemd
       machined --help | --version

It serves in the foreground, finds out what the host has (a system bus, systemd, polkit, root's rights), and serves
org.freedesktop.machine1 on D-Bus and io.systemd.Machine on Varlink. Ctrl-C stops it and keeps the machines.

Environment:
  SYSTEMD_LOG_LEVEL        least important messages that are logged: emerg … debug, or 0 … 7 (info)
  SYSTEMD_LOG_TARGET       where to: console, journal, kmsg, auto, null … (auto)
  DBUS_SYSTEM_BUS_ADDRESS  the system bus, where it is not at its usual place
  XDG_RUNTIME_DIR, DBUS_SESSION_BUS_ADDRESS, XDG_CONFIG_HOME, XDG_STATE_HOME  where a user's things are (--user)

Exit status: 0 stopped as asked; 1 could not start or go on; 64 bad command line; of run: the program's.
`;

export function readCommandLine(words: readonly string[], version: string): Request {
  const [first, program, ...programArguments] = words;
  if (first === 'run') {
    if (program === undefined) return complaint("'run' needs a command");
    return { kind: 'run', command: [program, ...programArguments] };
  }
  let scope: Scope = 'system';
  for (const word of words) {
    if (word === '--system' || word === '--user') {
      scope = word === '--user' ? 'user' : 'system';
      continue;
    }
    if (word === '--help' || word === '-h') return { kind: 'print', text: help, status: 0 };
    if (word === '--version') return { kind: 'print', text: `machined ${version}\n`, status: 0 };
    const what = word.startsWith('-') ? 'option' : 'argument';
    return complaint(`unknown ${what} '${word}'`);
  }
  return { kind: 'serve', scope };
}

function complaint(what: string): Request {
  return { kind: 'print', text: `machined: ${what}. Try: machined --help\n`, status: usageError };
}
