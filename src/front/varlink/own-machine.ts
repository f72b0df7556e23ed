import { ownMachineVarlink } from '../../contract/varlink/own-machine.js';
import type { CommandResult } from '../../domain/command.js';
import type { FailureKind } from '../../domain/failure.js';
import type { CommandStreams } from '../../ports/commands.js';
import type { Processes } from '../../ports/processes.js';
import type { MachineCommands } from '../../service/commands.js';
import { MachineEvents, type MachineEvent } from '../../service/machine-events.js';
import type { MachineFiles } from '../../service/machine-files.js';
import type { Machines } from '../../service/machines.js';
import type { MachineTerminals } from '../../service/terminals.js';
import type { Input, Output } from '../../wire/varlink/schema.js';
import { describeMachine, referenceOf } from './machine.js';
import { bindVarlink, Ongoing, Replies, type BoundVarlinkInterface, type VarlinkCall } from './service.js';

export interface OwnMachineServices {
  readonly machines: Machines;
  readonly commands: MachineCommands;
  readonly terminals: MachineTerminals;
  readonly files: MachineFiles;
  readonly processes: Processes;
}

type Methods = (typeof ownMachineVarlink)['methods'];
type ExecInput = Input<Methods['Exec']>;
type ExecOutput = Output<Methods['Exec']>;
type EventOutput = Output<Methods['Subscribe']>;

type OwnError = `io.machined.Machine.${keyof (typeof ownMachineVarlink)['errors']}`;

const ownErrors: Readonly<Partial<Record<FailureKind, OwnError>>> = {
  'no-such-machine': 'io.machined.Machine.NoSuchMachine',
  'no-machine-for-pid': 'io.machined.Machine.NoSuchMachine',
  'not-available': 'io.machined.Machine.NotAvailable',
  'not-supported': 'io.machined.Machine.NotSupported',
  'no-such-user': 'io.machined.Machine.NoSuchUser',
  'no-such-execution': 'io.machined.Machine.NoSuchExecution',
  'too-many-operations': 'io.machined.Machine.TooManyOperations',
};

/** io.machined.Machine. */
export function ownMachineInterface(services: OwnMachineServices): BoundVarlinkInterface {
  const { machines, commands, terminals, files, processes } = services;
  return bindVarlink(
    ownMachineVarlink,
    {
      Exec: (input, call) => execute(services, input, call),
      SignalExec: async ({ id, signal }, call) => {
        await commands.signal(call, id, signal);
        return {};
      },
      OpenShell: async (input, call) => {
        const { user = '', path = '', args = [], environment = [] } = input;
        const machine = await machines.byReference(referenceOf(input), call);
        const terminal = await terminals.openEnteredShell(call, machine, { user, path, args, environment });
        return { ptyFileDescriptor: call.passDescriptor(terminal.fd), ptyPath: terminal.path };
      },
      Unbind: async (input, call) => {
        await files.unbind(call, await machines.byReference(referenceOf(input), call), input.destination);
        return {};
      },
      Subscribe: () => Replies.stream(eventsOf(machines, processes.bootId)),
    },
    ownErrors,
  );
}

async function execute({ machines, commands }: OwnMachineServices, input: ExecInput, call: VarlinkCall): Promise<ExecOutput | Ongoing<ExecOutput>> {
  const { user = '', command, environment = [], workingDirectory = '', timeLimitUSec: timeLimit = 0n } = input;
  const streams = streamsOf(input, call);
  const { gone } = await call.caller();
  const machine = await machines.byReference(referenceOf(input), call);
  const execution = await commands.start(call, machine, { user, command, environment, workingDirectory, timeLimit }, streams, gone);
  const started = { id: execution.id, pid: execution.pid };
  const ended = execution.ended.then(describeEnd);
  return call.more ? new Ongoing<ExecOutput>(started, ended) : { ...started, ...(await ended) };
}

function streamsOf(input: ExecInput, call: VarlinkCall): CommandStreams {
  const stream = (name: 'inputFileDescriptor' | 'outputFileDescriptor' | 'errorFileDescriptor') => {
    const index = input[name];
    return index === undefined ? undefined : call.descriptor(name, index);
  };
  return { input: stream('inputFileDescriptor'), output: stream('outputFileDescriptor'), error: stream('errorFileDescriptor') };
}

function describeEnd(end: CommandResult): ExecOutput {
  switch (end.kind) {
    case 'exited':
      return { result: 'exited', status: end.status };
    case 'signaled':
      return { result: 'signaled', signal: end.signal };
    case 'timeout':
    case 'canceled':
      return { result: end.kind };
  }
}

function eventsOf(machines: Machines, bootId: string): AsyncIterable<EventOutput> {
  return {
    [Symbol.asyncIterator]() {
      const events = new MachineEvents(machines);
      return {
        async next() {
          const { done, value } = await events.next();
          return done === true ? { done, value: undefined } : { done: false, value: describeEvent(value, bootId) };
        },
        async return() {
          await events.return();
          return { done: true, value: undefined };
        },
      };
    },
  };
}

function describeEvent(event: MachineEvent, bootId: string): EventOutput {
  if (event.kind === 'ready') return { event: 'ready' };
  const { kind, machine } = event;
  return { event: kind, machine: { ...describeMachine(machine, bootId), state: machine.state } };
}
