import { constants } from 'node:os';
import { CommandFailure } from './failure.js';

/** The first and the last real-time signal of the C library: signal(7). */
const SIGRTMIN = 34;
const SIGRTMAX = 64;

/** A signal by number or by name, with or without SIG: '15', 'TERM', 'SIGTERM', 'SIGRTMIN+4', 'RTMAX-1'. */
export function parseSignal(text: string): number {
  const number = signalNumber(text);
  if (number === undefined || number < 1 || number > SIGRTMAX) {
    throw new CommandFailure(`Failed to parse signal string "${text}".`);
  }
  return number;
}

function signalNumber(text: string): number | undefined {
  if (/^\d{1,2}$/.test(text)) return Number(text);
  const name = text.startsWith('SIG') ? text : `SIG${text}`;
  const realTime = /^SIGRT(MIN|MAX)(?:([+-])(\d{1,2}))?$/.exec(name);
  if (realTime === null) return (constants.signals as Readonly<Record<string, number>>)[name];
  const [, base, sign = '+', offset = '0'] = realTime;
  const number = (base === 'MIN' ? SIGRTMIN : SIGRTMAX) + (sign === '+' ? 1 : -1) * Number(offset);
  return number >= SIGRTMIN ? number : undefined;
}

/** All signals in the order of their numbers, as `--signal=list` shows them. */
export function signalTable(): readonly { readonly number: number; readonly name: string }[] {
  const names = new Map<number, string>();
  for (const [name, number] of Object.entries(constants.signals)) if (!names.has(number)) names.set(number, name);
  return Array.from({ length: SIGRTMAX }, (_, index) => {
    const number = index + 1;
    const name = number < SIGRTMIN ? (names.get(number) ?? `SIG${number}`) : `SIGRTMIN+${number - SIGRTMIN}`;
    return { number, name };
  });
}
