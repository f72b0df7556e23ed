import {
  checkCommandWords, checkTimeLimit, checkWorkingDirectory, type CommandEnd, type CommandRequest, type CommandResult,
} from '../domain/command.js';
import { Failure } from '../domain/failure.js';
import type { Machine } from '../domain/machine.js';
import { checkSignal } from '../domain/registration.js';
import { checkEnvironment, checkShellUser } from '../domain/shell.js';
import type { UserId } from '../domain/users.js';
import type { Authority } from '../ports/authority.js';
import type { Commands, CommandStreams, RunningCommand } from '../ports/commands.js';
import { accessDenied, authorize, type Call } from './call.js';
import type { MachineTerminals } from './terminals.js';

/** How many may run, or wait to be asked for their end, at a time. */
const executionLimit = 256;
const executionLimitPerUser = 64;
/** Milliseconds that a command has to end by itself once it is told to. */
const graceTime = 5000;
/** Milliseconds after which one that even SIGKILL does not end is given up. */
const killTime = 10_000;

/** A command as a caller asks for it. */
export interface CommandInput {
  /** '' is root. */
  readonly user: string;
  readonly command: readonly string[];
  /** KEY=value. */
  readonly environment: readonly string[];
  /** '' is the user's home directory. */
  readonly workingDirectory: string;
  /** In µs; 0 is none. */
  readonly timeLimit: bigint;
}

/** A command that was started. */
export class Execution {
  readonly id: number;
  readonly starter: UserId;
  readonly pid: number;
  /** Never rejects. */
  readonly ended: Promise<CommandResult>;
  readonly #command: RunningCommand;
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #giveUp: () => void;
  /** Why it is being ended, if it does not end by itself. */
  #reason: 'timeout' | 'canceled' | undefined;

  constructor(id: number, starter: UserId, command: RunningCommand, timeLimit: number | undefined) {
    this.id = id;
    this.starter = starter;
    this.pid = command.pid;
    this.#command = command;
    let giveUp = (): void => undefined;
    const givenUp = new Promise<undefined>((resolve) => (giveUp = () => resolve(undefined)));
    this.#giveUp = giveUp;
    this.ended = Promise.race([command.ended, givenUp]).then((end) => this.#resultOf(end));
    if (timeLimit !== undefined) this.#after(timeLimit, () => this.#end('timeout'));
  }

  /** To the command's own process. */
  signal(signal: number): void {
    this.#command.signal(signal);
  }

  /** Ends it with all of its processes: first kindly. */
  cancel(): void {
    this.#end('canceled');
  }

  /** Ends it at once. */
  kill(): void {
    this.#reason ??= 'canceled';
    this.#command.kill();
  }

  #end(reason: 'timeout' | 'canceled'): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    this.#command.terminate();
    this.#after(graceTime, () => {
      this.#command.kill();
      this.#after(killTime, () => this.#giveUp());
    });
  }

  #resultOf(end: CommandEnd | undefined): CommandResult {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    if (this.#reason !== undefined) return { kind: this.#reason };
    return end ?? { kind: 'canceled' };
  }

  #after(milliseconds: number, action: () => void): void {
    this.#timers.add(setTimeout(action, milliseconds));
  }
}

export interface MachineCommandsPorts {
  readonly commands: Commands;
  readonly authority: Authority;
  /** Knows which machines may be entered at all. */
  readonly terminals: Pick<MachineTerminals, 'refuseRootNamespace'>;
}

/** Commands in machines, without a terminal. Who may do what is asked for before it is found out what the machine can do. */
export class MachineCommands implements Disposable {
  readonly #ports: MachineCommandsPorts;
  readonly #executions = new Map<number, Execution>();
  /** Those that are being started, too. */
  readonly #perUser = new Map<UserId, number>();
  #count = 0;
  #lastId = 0;

  constructor(ports: MachineCommandsPorts) {
    this.#ports = ports;
  }

  /** What still runs ends. */
  [Symbol.dispose](): void {
    for (const execution of this.#executions.values()) execution.kill();
  }

  /**
   * Resolves when the program runs. It ends when `gone` is aborted: nobody wants it any more. Throws Failure 'invalid-argument',
   * 'access-denied', 'not-supported' (a virtual machine), 'too-many-operations', and what ports/commands says.
   */
  async start(call: Call, machine: Machine, input: CommandInput, streams: CommandStreams, gone: AbortSignal | undefined): Promise<Execution> {
    const request = requestOf(input);
    const timeLimit = checkTimeLimit(input.timeLimit);
    this.#ports.terminals.refuseRootNamespace(machine);
    await authorize(this.#ports.authority, call, {
      name: machine.name,
      owner: machine.owner,
      details: { user: request.user, program: request.words[0], command_line: request.words.join(' ') },
    });
    if (machine.class === 'vm') throw new Failure('not-supported', 'Commands can be run in containers and on the host only');
    const { uid } = await call.caller();
    if (uid === undefined) throw accessDenied('Nothing is known of the caller');
    const release = this.#reserve(uid);
    try {
      const command = await this.#ports.commands.run(machine.leader, request, streams);
      return this.#keep(new Execution(++this.#lastId, uid, command, timeLimit), gone, release);
    } catch (error) {
      release();
      throw error;
    }
  }

  /** Throws Failure 'no-such-execution', 'access-denied' (somebody else's), 'invalid-argument'. */
  async signal(call: Call, id: number, signal: number): Promise<void> {
    checkSignal(signal);
    const execution = await this.find(call, id);
    execution.signal(signal);
  }

  /** One of the caller's own; root may see all. Throws Failure 'no-such-execution', 'access-denied'. */
  async find(call: Pick<Call, 'caller'>, id: number): Promise<Execution> {
    const { uid } = await call.caller();
    const execution = this.#executions.get(id);
    if (execution === undefined) throw new Failure('no-such-execution', `There is no command ${id} that runs`);
    if (uid !== execution.starter && !this.#ports.authority.isPrivileged(uid)) throw accessDenied('Somebody else has started this command');
    return execution;
  }

  /** Until it has ended. */
  #keep(execution: Execution, gone: AbortSignal | undefined, release: () => void): Execution {
    const cancel = () => execution.cancel();
    this.#executions.set(execution.id, execution);
    gone?.addEventListener('abort', cancel, { once: true });
    if (gone?.aborted === true) cancel();
    void execution.ended.then(() => {
      gone?.removeEventListener('abort', cancel);
      this.#executions.delete(execution.id);
      release();
    });
    return execution;
  }

  #reserve(uid: UserId): () => void {
    const ofUser = this.#perUser.get(uid) ?? 0;
    if (this.#count >= executionLimit || ofUser >= executionLimitPerUser) {
      throw new Failure('too-many-operations', 'Too many commands run in machines already');
    }
    this.#count++;
    this.#perUser.set(uid, ofUser + 1);
    return () => {
      this.#count--;
      const left = (this.#perUser.get(uid) ?? 1) - 1;
      if (left === 0) this.#perUser.delete(uid);
      else this.#perUser.set(uid, left);
    };
  }
}

function requestOf(input: CommandInput): CommandRequest {
  return {
    user: checkShellUser(input.user),
    words: checkCommandWords(input.command),
    environment: checkEnvironment(input.environment),
    workingDirectory: checkWorkingDirectory(input.workingDirectory),
  };
}
