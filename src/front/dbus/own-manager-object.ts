import type { Handlers } from '../../contract/dbus/declare.js';
import { ownManagerInterface } from '../../contract/dbus/own-manager.js';
import { ownOperationsInterface } from '../../contract/dbus/own-operations.js';
import type { IncomingCall } from './incoming.js';
import type { ManagerServices } from './manager-object.js';
import { bindInterface, type ObjectKind } from './objects.js';
import { operationHandlers } from './own-operations.js';

/** /io/machined: what this project offers beyond the original. */
export function ownManagerObject(services: ManagerServices): ObjectKind<ManagerServices> {
  const interfaces = [
    bindInterface(ownManagerInterface, handlers(services), {}),
    bindInterface(ownOperationsInterface, operationHandlers(services.operations), {}),
  ];
  return { interfaces, find: () => services };
}

function handlers({ machines, files }: ManagerServices): Handlers<typeof ownManagerInterface, IncomingCall, ManagerServices> {
  return {
    UnbindMachine: async (_, { name, destination }, call) => {
      await files.unbind(call, machines.byName(name), destination);
      return {};
    },
  };
}
