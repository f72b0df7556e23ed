import path from 'node:path';
import { MachineClient } from './client.js';
import { systemBusAddress } from './bus.js';
import { DBusBackend } from './dbus-backend.js';
import { isMachinedError, MachinedError } from './error.js';
import { stateDirectory } from './state.js';
import { VarlinkBackend } from './varlink-backend.js';

export interface ConnectOptions {
  /**
   * `auto`, the default: Varlink, and D-Bus for what the daemon's release does not have there (all of it, before systemd
   * 257). `varlink` and `dbus`: nothing else.
   */
  readonly transport?: 'auto' | 'varlink' | 'dbus' | undefined;
  /** The host's registry, the default, or the one that this user runs. */
  readonly scope?: 'system' | 'user' | undefined;
  /** The registry's Varlink socket; /run/systemd/machine/io.systemd.Machine. */
  readonly socket?: string | undefined;
  /** The socket of images, where that is another one; beside the registry's, io.systemd.MachineImage. */
  readonly imageSocket?: string | undefined;
  /** The socket of what machined adds; /run/machined/io.machined. */
  readonly ownSocket?: string | undefined;
  /** The address of the bus; $DBUS_SYSTEM_BUS_ADDRESS, the system bus, or the bus that machined starts where there is none. */
  readonly busAddress?: string | undefined;
  /** The directory of the state files; /run/systemd/machines. */
  readonly stateDirectory?: string | undefined;
  /** Milliseconds to wait for an answer, where a call does not say; 30,000, and 120,000 with `interactive`. */
  readonly timeout?: number | undefined;
}

/**
 * A client of the registry, which somebody answers for: rejects with MachinedError `unreachable` if nobody does, or with
 * `access-denied`. Close it in the end: its connections keep the process alive.
 *
 *     await using client = await connect();
 *     for (const machine of await client.list()) console.log(machine.name);
 */
export async function connect(options: ConnectOptions = {}): Promise<MachineClient> {
  const { transport = 'auto', scope = 'system' } = options;
  const places = scope === 'user' ? userPlaces() : systemPlaces;
  const socket = options.socket ?? places.socket;
  const varlink = new VarlinkBackend({
    machineSocket: socket,
    imageSocket: options.imageSocket ?? path.join(path.dirname(socket), 'io.systemd.MachineImage'),
    ownSocket: options.ownSocket ?? places.ownSocket,
  });
  const dbus = new DBusBackend(options.busAddress ?? places.busAddress());
  const backends = { auto: [varlink, dbus], varlink: [varlink], dbus: [dbus] }[transport];
  const failures: MachinedError[] = [];
  for (const backend of backends) {
    try {
      await backend.connect();
      return new MachineClient({ transport, varlink, dbus, stateDirectory: options.stateDirectory ?? places.stateDirectory, timeout: options.timeout });
    } catch (error) {
      if (!isMachinedError(error)) throw error;
      failures.push(error);
    }
  }
  varlink[Symbol.dispose]();
  dbus[Symbol.dispose]();
  throw nobodyAnswers(failures);
}

function nobodyAnswers(failures: readonly MachinedError[]): MachinedError {
  const [first] = failures;
  const reasons = failures.map(({ message }) => message).join('; ');
  const advice = 'does systemd-machined or machined run?';
  return new MachinedError(first?.code ?? 'unreachable', `There is no registry of machines (${advice}) ${reasons}`, { cause: first });
}

const systemPlaces = {
  socket: '/run/systemd/machine/io.systemd.Machine',
  ownSocket: '/run/machined/io.machined',
  stateDirectory,
  busAddress: () => process.env['DBUS_SYSTEM_BUS_ADDRESS'] ?? `${systemBusAddress};unix:path=/run/machined/bus`,
};

function userPlaces(): typeof systemPlaces {
  const runtime = process.env['XDG_RUNTIME_DIR'] ?? `/tmp/machined-${process.getuid?.() ?? 0}`;
  return {
    socket: path.join(runtime, 'systemd/machine/io.systemd.Machine'),
    ownSocket: path.join(runtime, 'machined/io.machined'),
    stateDirectory: path.join(runtime, 'systemd/machines'),
    busAddress: () => process.env['DBUS_SESSION_BUS_ADDRESS'] ?? `unix:path=${runtime}/bus;unix:path=${runtime}/machined/bus`,
  };
}
