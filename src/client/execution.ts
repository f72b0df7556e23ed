import { Socket } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { ownMachineVarlink } from '../contract/varlink/own-machine.js';
import type { Output } from '../wire/varlink/schema.js';
import { defined, formatAssignments, signalNumber } from './convert.js';
import { isMachinedError, MachinedError } from './error.js';
import type { CallSettings } from './model.js';
import { loadNative, type Native } from './native.js';
import type { VarlinkClient } from './varlink.js';

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

type ExecOutput = Output<(typeof ownMachineVarlink)['methods']['Exec']>;
type Replies = AsyncGenerator<ExecOutput, void, undefined>;

interface Streams {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
}

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
  readonly #own: VarlinkClient;
  readonly #id: number | undefined;
  readonly #stop: AbortController;

  private constructor(own: VarlinkClient, streams: Streams, first: ExecOutput, replies: Replies, stop: AbortController) {
    this.#own = own;
    this.stdin = streams.stdin;
    this.stdout = streams.stdout;
    this.stderr = streams.stderr;
    this.pid = first.pid;
    this.#id = first.id;
    this.#stop = stop;
    this.ended = lastOf(first, replies);
    // Nobody need wait for it.
    this.ended.catch(() => undefined);
    // A program need not read its input; EPIPE then.
    this.stdin.on('error', () => undefined);
  }

  /** @internal */
  static async start(own: VarlinkClient, name: string, command: readonly string[], settings: ExecSettings): Promise<Execution> {
    settings.signal?.throwIfAborted();
    const native = await loadNative();
    const [input, output, errors] = [native.pipe(), native.pipe(), native.pipe()];
    const given = [input.readEnd, output.writeEnd, errors.writeEnd];
    const kept = [input.writeEnd, output.readEnd, errors.readEnd];
    const stop = new AbortController();
    settings.signal?.addEventListener('abort', () => stop.abort(settings.signal?.reason), { signal: stop.signal });
    const request = requestOf(name, command, settings);
    const replies = own.callManyWithDescriptors(ownMachineVarlink, 'Exec', request, { descriptors: given, signal: stop.signal });
    try {
      const first = await firstOf(replies, stop, settings.timeout);
      return new Execution(own, streamsOf(input.writeEnd, output.readEnd, errors.readEnd), first, replies, stop);
    } catch (error) {
      closeAll(native, kept);
      throw error;
    } finally {
      closeAll(native, given);
    }
  }

  /** Sends a signal, a number or a name, to the command. Rejects with MachinedError if it has ended. */
  async kill(signal: number | string, settings: CallSettings = {}): Promise<void> {
    if (this.#id === undefined) throw new MachinedError('not-available', 'The command has ended');
    await this.#own.call(ownMachineVarlink, 'SignalExec', { id: this.#id, signal: signalNumber(signal) }, settings);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new MachinedError('disconnected', 'The command was given up'));
    for (const stream of [this.stdin, this.stdout, this.stderr]) stream.destroy();
    await this.ended.catch(() => undefined);
  }
}

function requestOf(name: string, command: readonly string[], settings: ExecSettings) {
  return defined({
    name,
    command,
    user: settings.user,
    environment: settings.environment && formatAssignments(settings.environment),
    workingDirectory: settings.workingDirectory,
    timeLimitUSec: settings.timeLimit === undefined ? undefined : BigInt(Math.ceil(settings.timeLimit * 1000)),
    allowInteractiveAuthentication: settings.interactive,
    inputFileDescriptor: 0,
    outputFileDescriptor: 1,
    errorFileDescriptor: 2,
  });
}

/** The reply that says that it runs. */
async function firstOf(replies: Replies, stop: AbortController, timeout = 0): Promise<ExecOutput> {
  const late = new MachinedError('timed-out', `The command did not start within ${timeout} ms`);
  const timer = timeout === 0 ? undefined : setTimeout(() => stop.abort(late), timeout);
  try {
    const { value } = await replies.next();
    if (value === undefined) throw new MachinedError('protocol', 'Exec was not answered');
    return value;
  } catch (error) {
    if (!isMachinedError(error, 'unreachable')) throw error;
    throw new MachinedError('not-offered', `Only machined can do this, and it does not run: ${error.message}`, { cause: error });
  } finally {
    clearTimeout(timer);
  }
}

async function lastOf(first: ExecOutput, replies: Replies): Promise<ExecResult> {
  let last = first;
  for await (const reply of replies) last = reply;
  if (last.result === undefined) throw new MachinedError('protocol', 'Nothing was said of how the command ended');
  return defined({ result: last.result, status: last.status, signal: last.signal });
}

function streamsOf(input: number, output: number, errors: number): Streams {
  return {
    stdin: new Socket({ fd: input, readable: false, writable: true }),
    stdout: new Socket({ fd: output, readable: true, writable: false }),
    stderr: new Socket({ fd: errors, readable: true, writable: false }),
  };
}

function closeAll(native: Native, fds: readonly number[]): void {
  for (const fd of fds) native.close(fd);
}
