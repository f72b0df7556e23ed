// The way to the system bus: its address, a socket, and a connection on it.
import { BusConnection } from '../transport/dbus/connection.js';
import { parseAddresses, type ServerAddress } from '../wire/dbus/address.js';
import { WireError } from '../wire/dbus/errors.js';
import { close } from './kernel/libc.js';
import { SystemError, errnos } from './kernel/system-error.js';
import { connectUnix } from './kernel/unix-socket.js';

/** Where the D-Bus Specification ("Well-known Message Bus Instances") and every distribution put it. */
const defaultAddress = 'unix:path=/run/dbus/system_bus_socket';

/**
 * Connects to the system bus, as this process's effective user. The address is $DBUS_SYSTEM_BUS_ADDRESS unless given;
 * of several, the first that answers is taken. Rejects with SystemError if none does, with its cause (ENOENT: there is
 * no bus here); with an Error if the bus refuses this process.
 */
export async function connectSystemBus(address = process.env['DBUS_SYSTEM_BUS_ADDRESS']): Promise<BusConnection> {
  let failure: SystemError | undefined;
  for (const candidate of readAddresses(address ?? defaultAddress)) {
    try {
      const stream = await connectUnix(socketName(candidate));
      return await BusConnection.open(stream, { uid: ownUser(), closeDescriptor: close });
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      failure ??= error;
    }
  }
  throw failure ?? new SystemError(errnos.EINVAL, 'connect', address);
}

function readAddresses(text: string): readonly ServerAddress[] {
  try {
    return parseAddresses(text);
  } catch (error) {
    if (error instanceof WireError) throw new SystemError(errnos.EINVAL, 'connect', text);
    throw error;
  }
}

function socketName(address: ServerAddress): string {
  switch (address.transport) {
    case 'unix':
      return address.path;
    case 'unix-abstract':
      return `@${address.name}`;
    case 'unixexec':
      throw new SystemError(errnos.EPROTONOSUPPORT, 'connect', address.path);
    case 'unsupported':
      throw new SystemError(errnos.EPROTONOSUPPORT, 'connect', address.text);
  }
}

/** process.geteuid is missing on Windows alone, by its type. */
function ownUser(): number {
  return process.geteuid?.() ?? 0;
}
