// Machines that are controlled by a program of their own, over Varlink: virtual machines that systemd-vmspawn runs.
import { isMachinedError, type MachinedError } from '../client/error.js';
import { VarlinkClient } from '../client/varlink.js';
import { machineVarlink } from '../contract/varlink/machine.js';
import { error, integer, method, nullable, required, string, varlinkInterface } from '../wire/varlink/schema.js';
import type { Context } from './context.js';
import { CommandFailure } from './failure.js';
import { runtimeDirectory } from './own-socket.js';
import { errnoText } from './system-errors.js';

const simple = method({ documentation: '', input: {}, output: {}, extra: {} });

/** What such a program is told: io.systemd.MachineInstance of systemd 262. */
export const machineInstance = varlinkInterface({
  name: 'io.systemd.MachineInstance',
  documentation: 'The program that runs a machine.',
  types: [],
  methods: {
    Terminate: simple,
    PowerOff: simple,
    Reboot: simple,
    Pause: simple,
    Resume: simple,
    AddStorage: method({
      documentation: 'Attaches a volume.',
      input: { fileDescriptorIndex: required(integer()), name: required(string), config: nullable(string) },
      output: {},
      extra: {},
    }),
    RemoveStorage: method({ documentation: 'Detaches a volume that AddStorage has attached.', input: { name: required(string) }, output: {}, extra: {} }),
  },
  errors: { NotSupported: error('') },
});

export type Command = 'Terminate' | 'PowerOff' | 'Reboot' | 'Pause' | 'Resume';

const registrySocket = 'systemd/machine/io.systemd.Machine';

/**
 * The Varlink address of the program that controls the machine; undefined if it has none, or lives elsewhere. Throws
 * CommandFailure if there is no such machine.
 */
export async function controlAddress({ registry, settings }: Context, name: string): Promise<string | undefined> {
  if (registry.target.transport !== 'local') return undefined;
  using client = new VarlinkClient(`${runtimeDirectory(settings)}/${registrySocket}`);
  try {
    const machine = await client.call(machineVarlink, 'List', { name });
    return machine.controlAddress ?? undefined;
  } catch (error) {
    // A registry of systemd before 262 knows of no such programs, or has no socket at all.
    const old = isMachinedError(error, 'unreachable') || isMachinedError(error, 'not-offered') || isMachinedError(error, 'protocol');
    if (old) return undefined;
    if (isMachinedError(error)) throw new CommandFailure(`Failed to look up machine '${name}': ${error.errorName ?? error.message}`);
    throw error;
  }
}

/** Tells the program; false if there is none, and the registry has to do it. */
export async function tellControl(context: Context, name: string, command: Command): Promise<boolean> {
  const address = await controlAddress(context, name);
  if (address === undefined) return false;
  using client = new VarlinkClient(address);
  try {
    await client.call(machineInstance, command, {});
    return true;
  } catch (error) {
    if (isUnreached(error)) throw new CommandFailure(`Failed to connect to machine control socket: ${callReason(error)}`);
    throw controlFailure(command, 'Machine control call failed', error);
  }
}

export async function pauseOrResume(context: Context, names: readonly string[], command: 'Pause' | 'Resume'): Promise<void> {
  for (const name of names) {
    if (!(await tellControl(context, name, command))) throw withoutControl(name);
  }
}

/** The program that controls a machine of this host, which answers; the caller closes it. Throws CommandFailure. */
export async function connectControl(context: Context, name: string): Promise<VarlinkClient> {
  const address = await controlAddress(context, name);
  if (address === undefined) throw withoutControl(name);
  const client = new VarlinkClient(address);
  try {
    await client.connect();
    return client;
  } catch (error) {
    if (isUnreached(error)) throw new CommandFailure(`Failed to connect to machine control socket ${address}: ${callReason(error)}`);
    throw error;
  }
}

/** Why such a program did not do it: what it answered, behind `refused`, or that it did not answer. Bugs are thrown on. */
export function controlFailure(methodName: string, refused: string, error: unknown): unknown {
  if (!isMachinedError(error)) return error;
  const start = isMachinedError(error, 'disconnected') ? `Failed to call ${machineInstance.name}.${methodName}` : refused;
  return new CommandFailure(`${start}: ${callReason(error)}`);
}

/** 'io.systemd.MachineInstance.NotSupported', 'No such file or directory': why a Varlink call failed, as systemd's tools have it. */
export function callReason(error: MachinedError): string {
  if (error.code === 'disconnected') return errnoText('ECONNRESET');
  return error.errorName ?? (error.errno === undefined ? error.message : errnoText(error.errno));
}

/** Nobody listens, or not to this user. */
function isUnreached(error: unknown): error is MachinedError {
  return isMachinedError(error) && error.errorName === undefined && error.errno !== undefined;
}

function withoutControl(name: string): CommandFailure {
  return new CommandFailure(`Machine '${name}' does not expose a varlink control socket.`);
}
