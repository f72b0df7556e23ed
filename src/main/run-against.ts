import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { childProcess } from '../host/on-demand.js';

/**
 * systemd's programs refuse to work where /run/systemd/system is missing (sd_booted(3)). To make that directory for all
 * would tell every other program on the host, package managers included, that systemd runs. So it is made in a mount
 * namespace of the program's own: a file system of its own at /run/systemd, with everything that is there bound into it.
 */
const privateView = `
set -e
view=$(mktemp -d /run/machined/view.XXXXXX)
trap 'rmdir "$view"' EXIT
mount -t tmpfs -o mode=755 machined "$view"

for entry in /run/systemd/*; do
  [ -d "$entry" ] || continue
  mkdir "$view/\${entry##*/}"
  mount --rbind "$entry" "$view/\${entry##*/}"
done
mkdir -p "$view/system"
mount --move "$view" /run/systemd
rmdir "$view"
trap - EXIT
exec "$@"
`;

/** Runs a program against the registry that serves at `busAddress`; returns its exit status, as a shell has it. */
export function runAgainst(busAddress: string, uid: number, command: readonly [string, ...string[]]): number {
  const env = { ...process.env };
  if (!existsSync('/run/dbus/system_bus_socket')) env['DBUS_SYSTEM_BUS_ADDRESS'] ??= busAddress;
  const needsView = uid === 0 && !existsSync('/run/systemd/system');
  const [program, ...programArguments] = needsView
    ? ['unshare', '--mount', '--propagation', 'slave', 'sh', '-c', privateView, 'sh', ...command]
    : command;
  const result = childProcess().spawnSync(program, programArguments, { stdio: 'inherit', env });
  if (result.error !== undefined) {
    process.stderr.write(`machined: cannot run ${program}: ${result.error.message}\n`);
    return 127;
  }
  if (result.signal !== null) return 128 + constants.signals[result.signal];
  return result.status ?? 0;
}
