import type { CommandEnd, CommandRequest } from '../../domain/command.js';
import { Failure, systemFailure } from '../../domain/failure.js';
import type { ProcessIdentity } from '../../domain/machine.js';
import type { Commands, CommandStreams, RunningCommand } from '../commands.js';

/** What there is behind one process. */
export interface FakeCommandGuest {
  readonly users: readonly string[];
  /** By the names that they are called by. 'exit N' ends with this status at once, 'wait' ends when it gets a signal, 'stay' by SIGKILL alone. */
  readonly programs: Readonly<Record<string, 'wait' | 'stay' | `exit ${number}`>>;
  readonly directories: readonly string[];
}

const SIGKILL = 9;
const SIGTERM = 15;

/** A command of the fake, and what was done to it. */
export class FakeCommand implements RunningCommand {
  readonly pid: number;
  readonly leader: number;
  readonly request: CommandRequest;
  readonly streams: CommandStreams;
  readonly ended: Promise<CommandEnd>;
  readonly signals: number[] = [];
  readonly #stays: boolean;
  #end: (end: CommandEnd) => void = () => undefined;

  constructor(pid: number, leader: number, request: CommandRequest, streams: CommandStreams, stays: boolean) {
    this.pid = pid;
    this.leader = leader;
    this.request = request;
    this.streams = streams;
    this.#stays = stays;
    this.ended = new Promise((resolve) => (this.#end = resolve));
  }

  /** It ends by itself. */
  end(end: CommandEnd): void {
    this.#end(end);
  }

  signal(signal: number): void {
    this.signals.push(signal);
    if (signal === SIGKILL || !this.#stays) this.#end({ kind: 'signaled', signal });
  }

  terminate(): void {
    this.signal(SIGTERM);
  }

  kill(): void {
    this.signal(SIGKILL);
  }
}

/** Commands by the PID of the leader; other leaders have ended. */
export class FakeCommands implements Commands {
  readonly guests = new Map<number, FakeCommandGuest>();
  readonly started: FakeCommand[] = [];
  #lastPid = 1000;

  async run({ pid }: ProcessIdentity, request: CommandRequest, streams: CommandStreams): Promise<RunningCommand> {
    const guest = this.guests.get(pid);
    if (guest === undefined) throw systemFailure('ESRCH', `Process ${pid} has ended`);
    const { user, words, workingDirectory } = request;
    if (!guest.users.includes(user)) throw new Failure('no-such-user', `The machine has no user '${user}'`);
    const behaviour = guest.programs[words[0]];
    if (behaviour === undefined) throw systemFailure('ENOENT', `The machine has no program ${words[0]}`);
    if (workingDirectory !== undefined && !guest.directories.includes(workingDirectory)) {
      throw systemFailure('ENOENT', `The machine has no directory ${workingDirectory}`);
    }
    const command = new FakeCommand(++this.#lastPid, pid, request, streams, behaviour === 'stay');
    this.started.push(command);
    if (behaviour.startsWith('exit ')) command.end({ kind: 'exited', status: Number(behaviour.slice(5)) });
    return command;
  }
}
