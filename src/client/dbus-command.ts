import { ownManagerInterface } from '../contract/dbus/own-manager.js';
import type { CommandRequest, RunningCommand } from './backend.js';
import type { BusClient, InputOf, OutputOf } from './bus.js';
import { formatAssignments } from './convert.js';
import { isMachinedError, MachinedError } from './error.js';
import { hasEnded, stoppedBy, type ExecResult } from './execution.js';
import type { CallSettings } from './model.js';

type Manager = typeof ownManagerInterface;
type ExecMethod = 'StartExec' | 'WaitExec' | 'SignalExec';

/** On a connection of its own, which is closed in the end: the command ends when its caller leaves the bus. */
export async function startOverBus(bus: BusClient, path: string, request: CommandRequest, settings: CallSettings): Promise<RunningCommand> {
  const stop = stoppedBy(settings.signal);
  stop.signal.addEventListener('abort', () => bus.close());
  // All by the connection that passes descriptors: to the daemon, another one is another caller.
  const call = async <M extends ExecMethod>(method: M, input: InputOf<Manager, M>, limits: CallSettings): Promise<OutputOf<Manager, M>> =>
    (await bus.callForDescriptors(ownManagerInterface, path, method, input, limits)).output;
  try {
    const { id, pid } = await call('StartExec', inputOf(request), { ...settings, signal: stop.signal });
    const ended = endOf(call('WaitExec', { id }, { timeout: 0, signal: stop.signal }));
    const over = (): void => stop.abort(hasEnded());
    ended.then(over, over);
    return {
      pid,
      ended,
      kill: async (signal, limits) => {
        if (stop.signal.aborted) throw hasEnded();
        await call('SignalExec', { id, signal }, limits);
      },
      end: (reason) => stop.abort(reason),
    };
  } catch (error) {
    bus.close();
    throw error;
  }
}

function inputOf(request: CommandRequest): InputOf<Manager, 'StartExec'> {
  const { machine, command, user = '', environment = {}, workingDirectory = '', timeLimit } = request;
  const [input, output, error] = request.descriptors;
  return {
    name: machine,
    command: [...command],
    user,
    environment: formatAssignments(environment),
    working_directory: workingDirectory,
    // 0 is no limit there
    time_limit_usec: timeLimit === undefined ? 0n : BigInt(Math.max(1, Math.ceil(timeLimit * 1000))),
    descriptors: new Map([['input', input], ['output', output], ['error', error]]),
  };
}

async function endOf(answer: Promise<OutputOf<Manager, 'WaitExec'>>): Promise<ExecResult> {
  const { result, status } = await answer.catch((error: unknown) => {
    // Nobody has the name any more, or has left the call unanswered, for which there is no time limit; or is another daemon.
    if (!isMachinedError(error)) throw error;
    const isUnanswered = ['timed-out', 'unreachable'].includes(error.code);
    if (!isUnanswered && error.errorName?.endsWith('.NoSuchExecution') !== true) throw error;
    throw new MachinedError('disconnected', 'The daemon went before it told how the command ended', error);
  });
  switch (result) {
    case 'exited':
      return { result, status };
    case 'signaled':
      return { result, signal: status };
    case 'timeout':
    case 'canceled':
      return { result };
    default:
      throw new MachinedError('protocol', `There is no '${result}' that a command could end with`);
  }
}
