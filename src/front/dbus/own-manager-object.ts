import type { Handlers } from '../../contract/dbus/declare.js';
import { ownManagerInterface } from '../../contract/dbus/own-manager.js';
import type { IncomingCall } from './incoming.js';
import type { ManagerServices } from './manager-object.js';
import { bindInterface, type ObjectKind } from './objects.js';

/** /io/machined: what this project offers beyond the original. */
export function ownManagerObject(services: ManagerServices): ObjectKind<ManagerServices> {
  return { interfaces: [bindInterface(ownManagerInterface, handlers(), {})], find: () => services };
}

function handlers(): Handlers<typeof ownManagerInterface, IncomingCall, ManagerServices> {
  return {};
}
