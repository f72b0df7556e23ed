import type { CommandEnd, CommandRequest } from '../domain/command.js';
import type { ProcessIdentity } from '../domain/machine.js';

/** Descriptors that a command gets as its standard input, output and error; undefined is /dev/null. They stay the caller's. */
export interface CommandStreams {
  readonly input: number | undefined;
  readonly output: number | undefined;
  readonly error: number | undefined;
}

export interface RunningCommand {
  /** Its PID on the host. */
  readonly pid: number;
  /** Never rejects. */
  readonly ended: Promise<CommandEnd>;
  /** To the command alone, 1 … 64. Does nothing once it has ended. */
  signal(signal: number): void;
  /** SIGTERM for all of its processes; what is left of them when the command has ended gets SIGKILL. */
  terminate(): void;
  /** SIGKILL for all of its processes, those that left its session included where there are cgroups. */
  kill(): void;
}

/**
 * Runs commands in what runs behind a process: in its namespaces and its cgroup, with no more rights than it has, and with
 * nothing of the host's but the three descriptors. A guest may be hostile, or stand still: that costs the asker an error
 * within seconds, and nobody else anything.
 */
export interface Commands {
  /**
   * Resolves when the program runs. Rejects with Failure 'no-such-user', 'invalid-argument', 'too-many-operations', or
   * 'system': ENOENT, ENOTDIR, EACCES (the program or the working directory is not there, is none, or not for this user),
   * ESRCH (the leader has ended), E2BIG, EPERM (it cannot be entered), ETIMEDOUT.
   */
  run(leader: ProcessIdentity, request: CommandRequest, streams: CommandStreams): Promise<RunningCommand>;
}
