// Machines that are controlled by a program of their own, over Varlink: virtual machines that systemd-vmspawn runs.
import { isMachinedError } from '../client/error.js';
import { VarlinkClient } from '../client/varlink.js';
import { machineVarlink } from '../contract/varlink/machine.js';
import { error, method, varlinkInterface } from '../wire/varlink/schema.js';
import type { Context } from './context.js';
import { CommandFailure } from './failure.js';

/** What such a program is told: io.systemd.MachineInstance of systemd 262. */
const machineInstance = varlinkInterface({
  name: 'io.systemd.MachineInstance',
  documentation: 'The program that runs a machine.',
  types: [],
  methods: Object.fromEntries(
    ['Terminate', 'PowerOff', 'Reboot', 'Pause', 'Resume'].map((name) => [name, method({ documentation: '', input: {}, output: {}, extra: {} })]),
  ),
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
  const runtime = settings.scope === 'user' ? (process.env['XDG_RUNTIME_DIR'] ?? '/run') : '/run';
  using client = new VarlinkClient(`${runtime}/${registrySocket}`);
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
  using client = new VarlinkClient(address.replace(/^unix:/, ''));
  try {
    await client.call(machineInstance, command, {});
    return true;
  } catch (error) {
    if (isMachinedError(error, 'unreachable')) throw new CommandFailure(`Failed to connect to machine control socket: ${error.message}`);
    if (isMachinedError(error)) throw new CommandFailure(`Machine control call failed: ${error.errorName ?? error.message}`);
    throw error;
  }
}

export async function pauseOrResume(context: Context, names: readonly string[], command: 'Pause' | 'Resume'): Promise<void> {
  for (const name of names) {
    if (!(await tellControl(context, name, command))) throw new CommandFailure(`Machine '${name}' does not expose a varlink control socket.`);
  }
}
