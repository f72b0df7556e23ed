import { logControlInterface } from '../../contract/dbus/log-control.js';
import type { Readers } from '../../contract/dbus/declare.js';
import { invalidArgument } from '../../domain/failure.js';
import { logLevelNames, logTargets, type Log, type LogLevel } from '../../ports/log.js';
import { bindInterface, type ObjectKind } from './objects.js';

/** As the original has it, so that `journalctl -t` and `systemctl service-log-level` find what they look for. */
const syslogIdentifier = 'systemd-machined';

/** org.freedesktop.LogControl1: how much is logged, and where to. */
export function logControlObject(log: Log): ObjectKind<Log> {
  const readers: Readers<typeof logControlInterface, Log> = {
    LogLevel: () => logLevelNames[log.level],
    LogTarget: () => log.target,
    SyslogIdentifier: () => syslogIdentifier,
  };
  const writers = {
    LogLevel: (value: unknown) => {
      log.level = parseLogLevel(String(value));
    },
    LogTarget: (value: unknown) => {
      const target = logTargets.find((name) => name === value);
      if (target === undefined) throw invalidArgument('target', `Invalid log target '${String(value)}'`);
      log.target = target;
    },
  };
  return { interfaces: [bindInterface(logControlInterface, {}, readers, writers)], find: () => log };
}

/** A name, or its number. Throws Failure 'invalid-argument'. */
function parseLogLevel(text: string): LogLevel {
  const level = /^[0-7]$/.test(text) ? Number(text) : logLevelNames.findIndex((name) => name === text);
  if (level < 0) throw invalidArgument('level', `Invalid log level '${text}'`);
  return level as LogLevel;
}
