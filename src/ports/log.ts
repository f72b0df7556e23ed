/** syslog(3) levels, 0 (emerg) … 7 (debug). */
export type LogLevel = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7;
export const logLevelNames = ['emerg', 'alert', 'crit', 'err', 'warning', 'notice', 'info', 'debug'] as const;

/** Where a log can go, by systemd's names: systemd(1), $SYSTEMD_LOG_TARGET. */
export const logTargets = [
  'console', 'console-prefixed', 'kmsg', 'journal', 'journal-or-kmsg', 'syslog', 'syslog-or-kmsg', 'auto', 'null',
] as const;
export type LogTarget = (typeof logTargets)[number];

export interface Log {
  level: LogLevel;
  target: LogTarget;
  write(level: LogLevel, message: string, fields?: Readonly<Record<string, string>>): void;
  error(message: string, fields?: Readonly<Record<string, string>>): void;
  warning(message: string, fields?: Readonly<Record<string, string>>): void;
  notice(message: string, fields?: Readonly<Record<string, string>>): void;
  info(message: string, fields?: Readonly<Record<string, string>>): void;
  debug(message: string, fields?: Readonly<Record<string, string>>): void;
}
