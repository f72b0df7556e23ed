// Which bus a command line means, as an address that a D-Bus client connects to.
import { readFileSync, readlinkSync } from 'node:fs';
import { isMachineName } from '../domain/name.js';
import { formatProgramAddress, parseAddresses } from '../wire/dbus/address.js';
import { WireError } from '../wire/dbus/errors.js';
import { EnvFileError, parseEnvFile } from '../wire/env-file.js';
import { CommandFailure } from './failure.js';
import type { Settings } from './settings.js';
import { errnoText } from './system-errors.js';

export interface BusTarget {
  /** As in $DBUS_SYSTEM_BUS_ADDRESS. */
  readonly address: string;
  /** What error messages call the way there. Descriptors do not pass on that to a remote host. */
  readonly transport: 'local' | 'remote' | 'machine';
}

/** Where the D-Bus Specification puts the system bus, and where the daemon has its own on hosts without one. */
const systemBuses = 'unix:path=/run/dbus/system_bus_socket;unix:path=/run/machined/bus';

/** Throws CommandFailure if there is no way to it. */
export function busTarget(settings: Settings, environment: NodeJS.ProcessEnv): BusTarget {
  if (settings.host !== undefined) return { address: remoteAddress(settings.host, settings.scope, environment), transport: 'remote' };
  const { machine } = settings;
  if (machine === undefined || machine === '.host') return { address: localAddress(settings.scope, environment), transport: 'local' };
  return { address: machineAddress(machine, settings.scope), transport: 'machine' };
}

function localAddress(scope: Settings['scope'], environment: NodeJS.ProcessEnv): string {
  const named = environment[scope === 'system' ? 'DBUS_SYSTEM_BUS_ADDRESS' : 'DBUS_SESSION_BUS_ADDRESS'];
  if (named !== undefined) return usableAddress(named, scope);
  if (scope === 'system') return systemBuses;
  const runtime = environment['XDG_RUNTIME_DIR'];
  if (runtime !== undefined) return `unix:path=${runtime}/bus;unix:path=${runtime}/machined/bus`;
  throw connectFailure(
    scope, 'local',
    '$DBUS_SESSION_BUS_ADDRESS and $XDG_RUNTIME_DIR not defined ' +
      '(consider using --machine=<user>@.host --user to connect to bus of other user)',
  );
}

function usableAddress(address: string, scope: Settings['scope']): string {
  try {
    parseAddresses(address);
    return address;
  } catch (error) {
    if (error instanceof WireError) throw connectFailure(scope, 'local', error.message);
    throw error;
  }
}

/** [USER@]HOST[:PORT][/CONTAINER], by ssh and the bridge of systemd over there. $SYSTEMD_SSH names another ssh. */
function remoteAddress(host: string, scope: Settings['scope'], environment: NodeJS.ProcessEnv): string {
  if (scope === 'user') throw connectFailure(scope, 'remote', 'Operation not supported');
  const remote = parseRemote(host);
  if (remote === undefined) throw connectFailure(scope, 'remote', 'Invalid argument');
  const { port, container, login } = remote;
  // behind '--', even a host called -oProxyCommand=… is the name of a host
  const parameters = [
    '-xT', ...(port === undefined ? [] : ['-p', port]), '--', login,
    'systemd-stdio-bridge', ...(container === undefined ? [] : [`--machine=${container}`]),
  ];
  const ssh = environment['SYSTEMD_SSH'] ?? '';
  return formatProgramAddress(ssh === '' ? 'ssh' : ssh, parameters);
}

interface RemoteHost {
  /** USER@HOST or HOST, as ssh takes it. */
  readonly login: string;
  readonly port: string | undefined;
  readonly container: string | undefined;
}

const remotePattern =
  /^(?:(?<user>[^@:/[]*)@(?!$))?(?:\[(?<bracketed>[^\]]*)\][^@:/]*|(?<plain>[^@:/[][^@:/]*)?)(?::(?<port>\d+)(?=\/|$))?(?:(?<separator>[:/])(?<container>.*))?$/s;

/** HOST:CONTAINER is understood, too. undefined if it is no way to a host. */
function parseRemote(text: string): RemoteHost | undefined {
  const groups: Readonly<Record<string, string | undefined>> | undefined = remotePattern.exec(text)?.groups;
  if (groups === undefined) return undefined;
  const { user, port, separator, container = '' } = groups;
  const isContainer = isMachineName(container);
  if (separator === ':' && !isContainer) return undefined;
  const host = groups['bracketed'] ?? groups['plain'] ?? '';
  // behind a slash, what cannot be a container is nothing
  return { login: user === undefined ? host : `${user}@${host}`, port, container: isContainer ? container : undefined };
}

/**
 * [USER@]CONTAINER: the bridge of systemd within it, in all of its namespaces; a container without a bus of its own has
 * none. As another user, also of this host, by a session of that user's.
 */
function machineAddress(machine: string, scope: Settings['scope']): string {
  const at = machine.lastIndexOf('@');
  const user = at < 0 ? '' : machine.slice(0, at);
  const name = machine.slice(at + 1);
  const isHost = name === '.host' || (name === '' && at >= 0);
  if (!isHost && !isMachineName(name)) throw connectFailure(scope, 'machine', 'Invalid argument');
  const bridge = ['systemd-stdio-bridge', ...(scope === 'user' ? ['--user'] : [])];
  const asUser = user === '' || user === 'root' ? bridge : ['setpriv', `--reuid=${user}`, `--regid=${user}`, '--init-groups', ...bridge];
  if (isHost) return formatProgramAddress(asUser[0] ?? '', asUser.slice(1));
  try {
    const leader = enterableLeader(name, scope);
    return formatProgramAddress('nsenter', [`--target=${leader}`, '--all', '--root', '--wd=/', '--', ...asUser]);
  } catch (error) {
    if (at < 0 || !(error instanceof CommandFailure)) throw error;
    // With a user, the original has a program say that, and then finds nobody behind it.
    return formatProgramAddress('sh', ['-c', 'printf "%s\\n" "$1" >&2; exit 1', 'sh', error.message]);
  }
}

/** The leader of a container, whose namespaces this process may enter. Throws CommandFailure. */
function enterableLeader(name: string, scope: Settings['scope']): string {
  const leader = leaderOf(name);
  if (leader === undefined) throw connectFailure(scope, 'machine', 'Host is down');
  try {
    readlinkSync(`/proc/${leader}/ns/mnt`);
    return leader;
  } catch (error) {
    if (!(error instanceof Error) || !('code' in error)) throw error;
    throw connectFailure(scope, 'machine', errnoText(String(error.code)));
  }
}

/** From the file that the registry keeps of it, where there is no bus to be asked yet; undefined if there is none. */
function leaderOf(name: string): string | undefined {
  try {
    const leader = parseEnvFile(readFileSync(`/run/systemd/machines/${name}`)).get('LEADER') ?? '';
    return /^[1-9]\d*$/.test(leader) ? leader : undefined;
  } catch (error) {
    const missing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    if (missing || error instanceof EnvFileError) return undefined;
    throw error;
  }
}

export function connectFailure(scope: Settings['scope'], transport: BusTarget['transport'], reason: string): CommandFailure {
  return new CommandFailure(`Failed to connect to ${scope} scope bus via ${transport} transport: ${reason}`);
}
