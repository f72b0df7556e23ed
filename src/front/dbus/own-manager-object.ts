import type { Handlers, ValuesOf } from '../../contract/dbus/declare.js';
import { ownManagerInterface } from '../../contract/dbus/own-manager.js';
import { ownOperationsInterface } from '../../contract/dbus/own-operations.js';
import type { CommandResult } from '../../domain/command.js';
import { Failure, invalidArgument } from '../../domain/failure.js';
import type { CommandStreams } from '../../ports/commands.js';
import type { Departures, Presence } from './departures.js';
import type { IncomingCall } from './incoming.js';
import { terminalReply } from './machine-object.js';
import type { ManagerServices } from './manager-object.js';
import { bindInterface, type ObjectKind } from './objects.js';
import { operationHandlers } from './own-operations.js';

type StartInput = ValuesOf<(typeof ownManagerInterface)['methods']['StartExec']['in']>;

/** How many commands a caller may have whose end it has not asked for. */
const unclaimedLimit = 128;

interface Unclaimed {
  readonly caller: string;
  readonly end: Promise<CommandResult>;
  readonly presence: Presence;
}

/** Commands of the callers of one connection to the bus, until they are told of their end, or have left. */
class BusExecutions {
  readonly #departures: Departures;
  readonly #unclaimed = new Map<bigint, Unclaimed>();

  constructor(departures: Departures) {
    this.#departures = departures;
  }

  async start({ machines, commands }: ManagerServices, input: StartInput, call: IncomingCall): Promise<{ id: bigint; pid: number }> {
    const { name, user, command, environment, working_directory: workingDirectory, time_limit_usec: timeLimit } = input;
    const caller = call.message.sender ?? '';
    const streams = streamsOf(input.descriptors);
    const machine = machines.byName(name);
    if (this.#countOf(caller) >= unclaimedLimit) throw new Failure('too-many-operations', 'Ask how the commands before this one have ended first');
    const presence = await this.#departures.watch(caller);
    try {
      const asked = { user, command, environment, workingDirectory, timeLimit };
      const { id, pid, ended } = await commands.start(call, machine, asked, streams, presence.gone);
      this.#keep(BigInt(id), { caller, end: ended, presence });
      return { id: BigInt(id), pid };
    } catch (error) {
      presence[Symbol.dispose]();
      throw error;
    }
  }

  /** Throws Failure 'no-such-execution' if it is not the caller's, or its end has been told already. */
  async wait(id: bigint, call: IncomingCall): Promise<CommandResult> {
    const unclaimed = this.#unclaimed.get(id);
    if (unclaimed === undefined || unclaimed.caller !== call.message.sender) {
      throw new Failure('no-such-execution', `The caller has no command ${id} to wait for`);
    }
    const end = await unclaimed.end;
    this.#forget(id);
    return end;
  }

  #keep(id: bigint, unclaimed: Unclaimed): void {
    const { gone } = unclaimed.presence;
    this.#unclaimed.set(id, unclaimed);
    gone.addEventListener('abort', () => this.#forget(id), { once: true });
    if (gone.aborted) this.#forget(id);
  }

  #forget(id: bigint): void {
    const unclaimed = this.#unclaimed.get(id);
    this.#unclaimed.delete(id);
    unclaimed?.presence[Symbol.dispose]();
  }

  #countOf(caller: string): number {
    let count = 0;
    for (const unclaimed of this.#unclaimed.values()) if (unclaimed.caller === caller) count++;
    return count;
  }
}

/** /io/machined: what this project offers beyond the original. */
export function ownManagerObject(services: ManagerServices, departures: Departures): ObjectKind<ManagerServices> {
  const interfaces = [
    bindInterface(ownManagerInterface, handlers(new BusExecutions(departures)), {}),
    bindInterface(ownOperationsInterface, operationHandlers(services.operations), {}),
  ];
  return { interfaces, find: () => services };
}

function handlers(executions: BusExecutions): Handlers<typeof ownManagerInterface, IncomingCall, ManagerServices> {
  return {
    StartExec: (services, input, call) => executions.start(services, input, call),
    WaitExec: async (_, { id }, call) => describeEnd(await executions.wait(id, call)),
    SignalExec: async ({ commands }, { id, signal }, call) => {
      await commands.signal(call, Number(id), signal);
      return {};
    },
    OpenShell: async ({ machines, terminals }, { name, ...input }, call) =>
      terminalReply(await terminals.openEnteredShell(call, machines.byName(name), input), call),
    UnbindMachine: async ({ machines, files }, { name, destination }, call) => {
      await files.unbind(call, machines.byName(name), destination);
      return {};
    },
  };
}

const streamNames = ['input', 'output', 'error'] as const satisfies readonly (keyof CommandStreams)[];

/** The descriptors belong to the message. */
function streamsOf(descriptors: StartInput['descriptors']): CommandStreams {
  for (const name of descriptors.keys()) {
    if (!streamNames.some((known) => known === name)) throw invalidArgument('descriptors', `A command has no stream '${name}'`);
  }
  return { input: descriptors.get('input'), output: descriptors.get('output'), error: descriptors.get('error') };
}

function describeEnd(end: CommandResult): { result: string; status: number } {
  switch (end.kind) {
    case 'exited':
      return { result: end.kind, status: end.status };
    case 'signaled':
      return { result: end.kind, status: end.signal };
    case 'timeout':
    case 'canceled':
      return { result: end.kind, status: 0 };
  }
}
