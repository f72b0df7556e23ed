// Machines that come and go, as the registry tells it.
import { managerInterface } from '../contract/dbus/manager.js';
import { CommandFailure } from './failure.js';
import { failureOf, type Registry } from './registry.js';

const service = 'org.freedesktop.machine1';
const managerPath = '/org/freedesktop/machine1';

export interface MachineEvent {
  readonly type: 'added' | 'removed';
  readonly name: string;
}

/** Tells of every one from now on, until the bus is gone: then it rejects with CommandFailure. `ready` is called once none is missed. */
export async function followMachines(registry: Registry, heard: (event: MachineEvent) => void, ready: () => void): Promise<never> {
  const client = registry.client(service);
  try {
    await registry.attempt(client.connect());
    using _added = await client.subscribe(managerInterface, managerPath, 'MachineNew', ({ machine }) => heard({ type: 'added', name: machine }));
    using _removed = await client.subscribe(managerInterface, managerPath, 'MachineRemoved', ({ machine }) => heard({ type: 'removed', name: machine }));
    await registry.poolProperties(); // a registry that is started on demand tells nothing before it runs
    ready();
    await client.whenClosed();
  } catch (error) {
    throw failureOf('Cannot listen to the registry', error);
  }
  throw new CommandFailure('The bus has ended the connection.');
}
