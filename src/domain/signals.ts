/** The signals of Linux on x86 and ARM, by number from 1. Source: signal(7). */
const names = [
  'HUP', 'INT', 'QUIT', 'ILL', 'TRAP', 'ABRT', 'BUS', 'FPE', 'KILL', 'USR1', 'SEGV', 'USR2', 'PIPE', 'ALRM', 'TERM',
  'STKFLT', 'CHLD', 'CONT', 'STOP', 'TSTP', 'TTIN', 'TTOU', 'URG', 'XCPU', 'XFSZ', 'VTALRM', 'PROF', 'WINCH', 'IO',
  'PWR', 'SYS',
];
const realTimeMinimum = 34;
const realTimeMaximum = 64;

/** The number of 'SIGTERM', 'TERM', 'RTMIN', 'RTMIN+3', 'RTMAX-1'; undefined if there is no such signal. */
export function signalByName(name: string): number | undefined {
  const plain = name.startsWith('SIG') ? name.slice(3) : name;
  const index = names.indexOf(plain);
  if (index >= 0) return index + 1;
  const match = /^(?:RTMIN(?:\+(\d{1,2}))?|RTMAX(?:-(\d{1,2}))?)$/.exec(plain);
  if (match === null) return undefined;
  const signal = plain.startsWith('RTMIN') ? realTimeMinimum + Number(match[1] ?? 0) : realTimeMaximum - Number(match[2] ?? 0);
  return signal >= realTimeMinimum && signal <= realTimeMaximum ? signal : undefined;
}
