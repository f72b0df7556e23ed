import { ownMachineVarlink } from '../../contract/varlink/own-machine.js';
import type { FailureKind } from '../../domain/failure.js';
import type { Processes } from '../../ports/processes.js';
import { MachineEvents, type MachineEvent } from '../../service/machine-events.js';
import type { MachineFiles } from '../../service/machine-files.js';
import type { Machines } from '../../service/machines.js';
import type { Output } from '../../wire/varlink/schema.js';
import { describeMachine, referenceOf } from './machine.js';
import { bindVarlink, Replies, type BoundVarlinkInterface } from './service.js';

export interface OwnMachineServices {
  readonly machines: Machines;
  readonly files: MachineFiles;
  readonly processes: Processes;
}

type Methods = (typeof ownMachineVarlink)['methods'];
type EventOutput = Output<Methods['Subscribe']>;

type OwnError = `io.machined.Machine.${keyof (typeof ownMachineVarlink)['errors']}`;

const ownErrors: Readonly<Partial<Record<FailureKind, OwnError>>> = {
  'no-such-machine': 'io.machined.Machine.NoSuchMachine',
  'no-machine-for-pid': 'io.machined.Machine.NoSuchMachine',
  'not-available': 'io.machined.Machine.NotAvailable',
  'not-supported': 'io.machined.Machine.NotSupported',
  'no-such-user': 'io.machined.Machine.NoSuchUser',
  'too-many-operations': 'io.machined.Machine.TooManyOperations',
};

/** io.machined.Machine. */
export function ownMachineInterface({ machines, files, processes }: OwnMachineServices): BoundVarlinkInterface {
  return bindVarlink(
    ownMachineVarlink,
    {
      Unbind: async (input, call) => {
        await files.unbind(call, await machines.byReference(referenceOf(input), call), input.destination);
        return {};
      },
      Subscribe: () => Replies.stream(eventsOf(machines, processes.bootId)),
    },
    ownErrors,
  );
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
