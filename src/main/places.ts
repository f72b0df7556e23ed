import path from 'node:path';
import { imagePlaces } from '../host/images/host-image-changes.js';
import type { ImagePlaces } from '../host/images/image-change.js';

/** Whose machines are registered: the host's, or those of the user who runs the registry. */
export type Scope = 'system' | 'user';

/** Where things are in the file system. */
export interface Places {
  readonly stateDirectory: string;
  /** What the state files have no room for. */
  readonly extraStateDirectory: string;
  /** What is remembered of what was mounted in machines and copied from and to them. */
  readonly guestsDirectory: string;
  readonly machineSocket: string;
  /** Where what the original does not have is served. */
  readonly ownSocket: string;
  /** Who may connect to the sockets. */
  readonly socketMode: number;
  /** undefined where names of users are none of this registry's business. */
  readonly userDatabaseSocket: string | undefined;
  /** undefined where names of hosts are not. */
  readonly resolveHookSocket: string | undefined;
  /** Other names of the machine socket. */
  readonly machineSocketLinks: readonly string[];
  /** Where a bus of this daemon's own lives. */
  readonly busDirectory: string;
  readonly images: Omit<ImagePlaces, 'instance'>;
}

/** Where a user's sockets and state go; undefined for the host's registry, whose places are fixed. */
export function runtimeDirectory(scope: Scope, uid: number, environment: NodeJS.ProcessEnv): string | undefined {
  if (scope === 'system' && uid === 0) return undefined;
  return absolute(environment['XDG_RUNTIME_DIR']) ?? `/tmp/machined-${uid}`;
}

/** Root's places are the ones that all clients know; another user's are below the runtime directory of that user. */
export function placesOf(scope: Scope, uid: number, environment: NodeJS.ProcessEnv): Places {
  const runtime = runtimeDirectory(scope, uid, environment) ?? '/run';
  const inSystemd = (...parts: string[]) => path.join(runtime, 'systemd', ...parts);
  const isOfHost = scope === 'system';
  return {
    stateDirectory: inSystemd('machines'),
    extraStateDirectory: path.join(runtime, 'machined', 'state'),
    guestsDirectory: path.join(runtime, 'machined', 'guests'),
    machineSocket: inSystemd('machine', 'io.systemd.Machine'),
    ownSocket: path.join(runtime, 'machined', 'io.machined'),
    socketMode: isOfHost ? 0o666 : 0o600,
    userDatabaseSocket: isOfHost ? inSystemd('userdb', 'io.systemd.Machine') : undefined,
    resolveHookSocket: isOfHost ? inSystemd('resolve.hook', 'io.systemd.Machine') : undefined,
    machineSocketLinks: [
      inSystemd('machine', 'io.systemd.MachineImage'),
      path.join(runtime, 'varlink', 'registry', 'io.systemd.Machine'),
      path.join(runtime, 'varlink', 'registry', 'io.systemd.MachineImage'),
    ],
    busDirectory: path.join(runtime, 'machined'),
    images: isOfHost ? imagePlaces : imagePlacesOfUser(runtime, environment),
  };
}

/** The session bus: where the D-Bus Specification has it, or where systemd's user instance listens. */
export function sessionBusAddress(uid: number, environment: NodeJS.ProcessEnv): string {
  const runtime = runtimeDirectory('user', uid, environment) as string;
  return environment['DBUS_SESSION_BUS_ADDRESS'] ?? `unix:path=${path.join(runtime, 'bus')}`;
}

/** Where systemd-machined --user looks; the directories are those of the XDG Base Directory Specification. */
function imagePlacesOfUser(runtime: string, environment: NodeJS.ProcessEnv): Places['images'] {
  const home = absolute(environment['HOME']) ?? '/';
  const configuration = absolute(environment['XDG_CONFIG_HOME']) ?? path.join(home, '.config');
  const pool = path.join(absolute(environment['XDG_STATE_HOME']) ?? path.join(home, '.local/state'), 'machines');
  return {
    directories: [path.join(configuration, 'machines'), path.join(runtime, 'machines'), pool, path.join(home, '.local/lib/machines')],
    pool,
    settings: [path.join(configuration, 'systemd/nspawn'), path.join(runtime, 'systemd/nspawn')],
    locks: path.join(runtime, 'systemd/nspawn/locks'),
  };
}

function absolute(named: string | undefined): string | undefined {
  return named !== undefined && path.isAbsolute(named) ? named : undefined;
}
