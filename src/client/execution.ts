import { Socket } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import type { CommandRequest, RunningCommand } from './backend.js';
import { signalNumber } from './convert.js';
import { MachinedError } from './error.js';
import type { CallSettings } from './model.js';
import { loadNative, type Native } from './native.js';

/** How a command is run. */
export interface ExecSettings extends CallSettings {
  /** A name or a number; root, if absent. */
  readonly user?: string | undefined;
  /** Variables beside HOME, USER, LOGNAME, SHELL and PATH. */
  readonly environment?: Readonly<Record<string, string>> | undefined;
  /** An absolute path in the machine; the user's home directory, if absent. */
  readonly workingDirectory?: string | undefined;
  /** Milliseconds after which the command is ended; none, if absent. */
  readonly timeLimit?: number | undefined;
}

/** How a command ended: with a status, by a signal, because its time was over, or because nobody wanted it any more. */
export interface ExecResult {
  readonly result: 'exited' | 'signaled' | 'timeout' | 'canceled';
  readonly status?: number | undefined;
  readonly signal?: number | undefined;
}

/** Has a protocol start the command. */
type Start = (request: CommandRequest) => Promise<RunningCommand>;

/**
 * A command that runs in a machine. It is ended, with all of its processes, when this is disposed of, when the signal that
 * it was started with is aborted, or when this process ends. Read its output, or it will wait when the pipes are full.
 */
export class Execution implements AsyncDisposable {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** Its PID on the host, where it is told. */
  readonly pid: number | undefined;
  /** Resolves when it has ended. Rejects with MachinedError `disconnected` when the daemon goes. */
  readonly ended: Promise<ExecResult>;
  readonly #command: RunningCommand;

  private constructor(command: RunningCommand, input: number, output: number, errors: number) {
    this.#command = command;
    this.stdin = new Socket({ fd: input, readable: false, writable: true });
    this.stdout = new Socket({ fd: output, readable: true, writable: false });
    this.stderr = new Socket({ fd: errors, readable: true, writable: false });
    this.pid = command.pid;
    this.ended = command.ended;
    // Nobody need wait for it.
    this.ended.catch(() => undefined);
    // A program need not read its input; EPIPE then.
    this.stdin.on('error', () => undefined);
  }

  /** @internal */
  static async start(start: Start, machine: string, command: readonly string[], settings: ExecSettings): Promise<Execution> {
    settings.signal?.throwIfAborted();
    const native = await loadNative();
    const [input, output, errors] = [native.pipe(), native.pipe(), native.pipe()];
    const given = [input.readEnd, output.writeEnd, errors.writeEnd] as const;
    try {
      const running = await start({ ...settings, machine, command, descriptors: given });
      return new Execution(running, input.writeEnd, output.readEnd, errors.readEnd);
    } catch (error) {
      closeAll(native, [input.writeEnd, output.readEnd, errors.readEnd]);
      throw error;
    } finally {
      closeAll(native, given);
    }
  }

  /** Sends a signal, a number or a name, to the command. Rejects with MachinedError if it has ended. */
  async kill(signal: number | string, settings: CallSettings = {}): Promise<void> {
    await this.#command.kill(signalNumber(signal), settings);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#command.end(new MachinedError('disconnected', 'The command was given up'));
    for (const stream of [this.stdin, this.stdout, this.stderr]) stream.destroy();
    await this.ended.catch(() => undefined);
  }
}

/** @internal What ends a command; the caller's signal does so, too. */
export function stoppedBy(signal: AbortSignal | undefined): AbortController {
  const stop = new AbortController();
  signal?.addEventListener('abort', () => stop.abort(signal.reason), { signal: stop.signal });
  return stop;
}

/** @internal */
export function hasEnded(): MachinedError {
  return new MachinedError('not-available', 'The command has ended');
}

function closeAll(native: Native, fds: readonly number[]): void {
  for (const fd of fds) native.close(fd);
}
