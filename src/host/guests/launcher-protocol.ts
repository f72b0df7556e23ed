// What the daemon and the launcher of commands say to each other over a socket: JSON values that end with a NUL, and
// descriptors beside them.
import type { CommandEnd } from '../../domain/command.js';
import type { CommandEntrance } from './entrance.js';

/**
 * Its descriptors: those of the streams that there are, then those of the entrance, then the cgroup.procs of the cgroup that it
 * is to join, if any, and the cgroup.kill of that, if it is the command's own.
 */
export interface StartMessage {
  readonly id: number;
  readonly entrance: CommandEntrance;
  /** The program, which PATH in `environment` leads to, and its arguments. */
  readonly words: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  /** Which of standard input, output and error come along. */
  readonly streams: readonly [input: boolean, output: boolean, error: boolean];
  readonly cgroupFiles: number;
}

export type LauncherMessage =
  /** It runs: its PID, and that of the process which waits for it, the leader of its session. A pidfd comes along. */
  | { readonly kind: 'started'; readonly id: number; readonly pid: number; readonly waiter: number }
  /** It has never run. */
  | { readonly kind: 'failed'; readonly id: number; readonly errno: string; readonly message: string }
  | { readonly kind: 'ended'; readonly id: number; readonly end: CommandEnd };
