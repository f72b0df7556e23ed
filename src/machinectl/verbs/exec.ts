import { constants } from 'node:os';
import { isMachinedError } from '../../client/error.js';
import { VarlinkClient } from '../../client/varlink.js';
import { ownMachineVarlink } from '../../contract/varlink/own-machine.js';
import type { Context } from '../context.js';
import { CommandFailure } from '../failure.js';
import { ownReason, ownSocket } from '../own-socket.js';
import { readSpecification } from './shell.js';

/** What shells add to the number of the signal that ended a command. */
const signalStatus = 128;
/** Of timeout(1), for a command whose time was over. */
const timeoutStatus = 124;
/** Milliseconds from the start of a command until its id must be here. */
const startingTime = 1000;
/** Signals to this process that are meant for the command. */
const passedOn = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const;

/** The command has this process's own standard input, output and error. */
export async function run(context: Context, [specification = '', ...command]: readonly string[]): Promise<number> {
  const { settings } = context;
  const { user, machine } = readSpecification(specification, settings.uid ?? '');
  using client = new VarlinkClient(ownSocket(context));
  const signals = new PassedSignals(context, client);
  const input = {
    name: machine, ...(user === '' ? {} : { user }), command, environment: settings.environment,
    inputFileDescriptor: 0, outputFileDescriptor: 1, errorFileDescriptor: 2, allowInteractiveAuthentication: await context.registry.allowQuestions(),
  };
  try {
    for await (const reply of client.callManyWithDescriptors(ownMachineVarlink, 'Exec', input, { descriptors: [0, 1, 2] })) {
      const { id, result, status, signal } = reply;
      if (id !== undefined) signals.passTo(id);
      if (result === 'timeout') return timeoutStatus;
      if (result !== undefined) return status ?? signalStatus + (signal ?? 0);
    }
  } catch (error) {
    if (isMachinedError(error, 'unreachable')) throw new CommandFailure(`exec takes this project's daemon. ${error.message}`);
    if (isMachinedError(error)) throw new CommandFailure(`Failed to run the command: ${ownReason(error, machine, user === '' ? 'root' : user)}`);
    throw error;
  }
  throw new CommandFailure('Failed to run the command: the daemon did not tell how it ended');
}

/**
 * Signals to this process are the command's. It may run for a moment before its id is known here: what comes then is kept
 * for it. Where nothing has started after that, as while a password is asked for, the signal is this process's own.
 */
class PassedSignals {
  readonly #context: Context;
  readonly #client: VarlinkClient;
  readonly #early: NodeJS.Signals[] = [];
  #id: number | undefined;

  constructor(context: Context, client: VarlinkClient) {
    this.#context = context;
    this.#client = client;
    for (const name of passedOn) process.on(name, this.#onSignal);
  }

  passTo(id: number): void {
    this.#id = id;
    for (const name of this.#early.splice(0)) this.#pass(id, name);
  }

  readonly #onSignal = (name: NodeJS.Signals): void => {
    if (this.#id !== undefined) return this.#pass(this.#id, name);
    this.#early.push(name);
    setTimeout(() => this.#endUnlessStarted(name), startingTime).unref();
  };

  #endUnlessStarted(name: NodeJS.Signals): void {
    if (this.#id !== undefined) return;
    for (const other of passedOn) process.off(other, this.#onSignal);
    process.kill(process.pid, name);
  }

  #pass(id: number, name: NodeJS.Signals): void {
    this.#client.call(ownMachineVarlink, 'SignalExec', { id, signal: constants.signals[name] }).catch((error: unknown) => {
      // It may well have ended in the meantime; that is told by the call that runs it.
      if (isMachinedError(error)) return;
      this.#context.output.log('error', String(error));
    });
  }
}
