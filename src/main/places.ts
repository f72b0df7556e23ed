import path from 'node:path';

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
  readonly userDatabaseSocket: string;
  readonly resolveHookSocket: string;
  /** Other names of the machine socket. */
  readonly machineSocketLinks: readonly string[];
  /** Where a bus of this daemon's own lives. */
  readonly busDirectory: string;
}

/** Where a user's sockets and state go; undefined for root, whose places are fixed. */
export function runtimeDirectory(uid: number, environment: NodeJS.ProcessEnv): string | undefined {
  if (uid === 0) return undefined;
  const named = environment['XDG_RUNTIME_DIR'] ?? '';
  return path.isAbsolute(named) ? named : `/tmp/machined-${uid}`;
}

/** Root's places are the ones that all clients know; another user's are below the runtime directory of that user. */
export function placesOf(uid: number, environment: NodeJS.ProcessEnv): Places {
  const runtime = runtimeDirectory(uid, environment) ?? '/run';
  const inSystemd = (...parts: string[]) => path.join(runtime, 'systemd', ...parts);
  return {
    stateDirectory: inSystemd('machines'),
    extraStateDirectory: path.join(runtime, 'machined', 'state'),
    guestsDirectory: path.join(runtime, 'machined', 'guests'),
    machineSocket: inSystemd('machine', 'io.systemd.Machine'),
    ownSocket: path.join(runtime, 'machined', 'io.machined'),
    userDatabaseSocket: inSystemd('userdb', 'io.systemd.Machine'),
    resolveHookSocket: inSystemd('resolve.hook', 'io.systemd.Machine'),
    machineSocketLinks: [
      inSystemd('machine', 'io.systemd.MachineImage'),
      path.join(runtime, 'varlink', 'registry', 'io.systemd.Machine'),
      path.join(runtime, 'varlink', 'registry', 'io.systemd.MachineImage'),
    ],
    busDirectory: path.join(runtime, 'machined'),
  };
}
