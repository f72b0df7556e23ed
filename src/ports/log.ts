/** syslog(3) levels, 0 (emerg) … 7 (debug). */
export type LogLevel = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7;
export const logLevelNames = ['emerg', 'alert', 'crit', 'err', 'warning', 'notice', 'info', 'debug'] as const;

export interface Log {
  level: LogLevel;
  /** One of systemd's targets: 'auto', 'console', 'journal', 'kmsg', 'journal-or-kmsg', 'null', … */
  target: string;
  write(level: LogLevel, message: string, fields?: Readonly<Record<string, string>>): void;
  error(message: string, fields?: Readonly<Record<string, string>>): void;
  warning(message: string, fields?: Readonly<Record<string, string>>): void;
  notice(message: string, fields?: Readonly<Record<string, string>>): void;
  info(message: string, fields?: Readonly<Record<string, string>>): void;
  debug(message: string, fields?: Readonly<Record<string, string>>): void;
}
