import { ownMachineVarlink } from '../contract/varlink/own-machine.js';
import type { Output } from '../wire/varlink/schema.js';
import type { CommandRequest, RunningCommand } from './backend.js';
import { defined, formatAssignments } from './convert.js';
import { MachinedError } from './error.js';
import { hasEnded, stoppedBy, type ExecResult } from './execution.js';
import type { CallSettings } from './model.js';
import type { VarlinkClient } from './varlink.js';

type ExecOutput = Output<(typeof ownMachineVarlink)['methods']['Exec']>;
type Replies = AsyncGenerator<ExecOutput, void, undefined>;

/** By one call, whose connection is the command's: it ends with it. */
export async function startOverVarlink(own: VarlinkClient, request: CommandRequest, settings: CallSettings): Promise<RunningCommand> {
  const stop = stoppedBy(settings.signal);
  const { descriptors } = request;
  const replies = own.callManyWithDescriptors(ownMachineVarlink, 'Exec', inputOf(request, settings), { descriptors, signal: stop.signal });
  const first = await firstOf(replies, stop, settings.timeout);
  const ended = lastOf(first, replies);
  const over = (): void => stop.abort(hasEnded());
  ended.then(over, over);
  return {
    pid: first.pid,
    ended,
    kill: async (signal, limits) => {
      if (first.id === undefined || stop.signal.aborted) throw hasEnded();
      await own.call(ownMachineVarlink, 'SignalExec', { id: first.id, signal }, limits);
    },
    end: (reason) => stop.abort(reason),
  };
}

function inputOf({ machine, command, user, environment, workingDirectory, timeLimit }: CommandRequest, { interactive }: CallSettings) {
  return defined({
    name: machine,
    command,
    user,
    environment: environment && formatAssignments(environment),
    workingDirectory,
    timeLimitUSec: timeLimit === undefined ? undefined : BigInt(Math.ceil(timeLimit * 1000)),
    allowInteractiveAuthentication: interactive,
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
