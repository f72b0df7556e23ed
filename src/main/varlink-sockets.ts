import { lstatSync, mkdirSync, readlinkSync, rmSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { UndoStack } from '../domain/undo.js';
import { imageInterface, type ImageVarlinkServices } from '../front/varlink/image.js';
import { machineInterface, type MachineVarlinkServices } from '../front/varlink/machine.js';
import { ownMachineInterface, type OwnMachineServices } from '../front/varlink/own-machine.js';
import { ownOperationsInterface, type OwnOperationsServices } from '../front/varlink/own-operations.js';
import { resolveHookInterface } from '../front/varlink/resolve-hook.js';
import { serviceControlInterface, systemErrorsInterface } from '../front/varlink/service-control.js';
import { VarlinkService, type BoundVarlinkInterface, type ServiceInformation } from '../front/varlink/service.js';
import { userDatabaseInterface } from '../front/varlink/user-database.js';
import { close } from '../host/kernel/libc.js';
import type { PassedDescriptor } from '../host/kernel/socket-activation.js';
import { errnos } from '../host/kernel/system-error.js';
import { adoptListener, listenUnix, type AcceptOptions } from '../host/kernel/unix-socket.js';
import type { Log } from '../ports/log.js';
import { VarlinkServer } from '../transport/varlink/server.js';
import type { Places } from './places.js';

export interface VarlinkServices extends MachineVarlinkServices, ImageVarlinkServices, OwnMachineServices, OwnOperationsServices {
  readonly log: Log;
}

/** The same words as the original: clients and scripts look at them. */
export function serviceInformation(version: string): ServiceInformation {
  return {
    vendor: 'The systemd Project',
    product: `systemd (systemd-machined) compatible: machined ${version}`,
    version,
    url: 'https://systemd.io/',
  };
}

/**
 * The Varlink sockets: machines (passed by the service manager, or made here), what the original does not have, users, and
 * the hook of systemd-resolved.
 * Throws SystemError if one cannot be listened on; then none is.
 */
export function listenOnVarlink(
  services: VarlinkServices,
  places: Places,
  information: ServiceInformation,
  passed: readonly PassedDescriptor[],
): Disposable {
  const { log, machines, inspector, users } = services;
  const undo = new UndoStack();
  const serve = (interfaces: readonly BoundVarlinkInterface[], takesDescriptors = false): AcceptOptions => {
    const service = new VarlinkService(information, [systemErrorsInterface, ...interfaces], { log, errnoNumber, closeDescriptor: close });
    const server = undo.use(
      new VarlinkServer({
        dispatch: (call, peer, fds) => service.dispatch(call, peer, fds),
        takesDescriptors,
        failed: (call, error) => service.failed(call, error),
        closeDescriptor: close,
      }),
    );
    return {
      refuseDescriptors: !takesDescriptors,
      onConnection: (stream) => server.accept(stream),
      onShortage: (error) => log.warning(`Clients have to wait: ${error.message}`),
    };
  };
  const listenAt = (socket: string, acceptOptions: AcceptOptions) => {
    mkdirSync(path.dirname(socket), { recursive: true, mode: 0o755 });
    undo.use(listenUnix(socket, { ...acceptOptions, mode: places.socketMode, backlog: 4096 }));
  };
  try {
    const control = serviceControlInterface({ log, authority: services.authority, environment });
    const machineOptions = serve([machineInterface(services), imageInterface(services, log), control]);
    const sockets = passed.filter(({ name }) => name === 'varlink');
    for (const { fd } of sockets) undo.use(adoptListener(fd, machineOptions));
    if (sockets.length === 0) {
      listenAt(places.machineSocket, machineOptions);
      for (const link of places.machineSocketLinks) undo.use(linkTo(places.machineSocket, link));
    }
    listenAt(places.ownSocket, serve([ownMachineInterface(services), ownOperationsInterface(services)], true));
    if (places.userDatabaseSocket !== undefined) listenAt(places.userDatabaseSocket, serve([userDatabaseInterface(users)]));
    if (places.resolveHookSocket !== undefined) {
      listenAt(places.resolveHookSocket, serve([resolveHookInterface(machines, inspector)]));
    }
    return undo;
  } catch (error) {
    undo[Symbol.dispose]();
    throw error;
  }
}

/** A link of somebody else's is left alone, one that an earlier daemon left behind is replaced. */
function linkTo(target: string, link: string): Disposable {
  mkdirSync(path.dirname(link), { recursive: true, mode: 0o755 });
  const isOurs = () => lstatSync(link, { throwIfNoEntry: false })?.isSymbolicLink() === true && readlinkSync(link) === target;
  if (lstatSync(link, { throwIfNoEntry: false }) === undefined) symlinkSync(target, link);
  return {
    [Symbol.dispose]: () => {
      if (isOurs()) rmSync(link);
    },
  };
}

function environment(): readonly string[] {
  return Object.entries(process.env).map(([name, value]) => `${name}=${value ?? ''}`);
}

function errnoNumber(name: string): number | undefined {
  return errnos[name];
}
