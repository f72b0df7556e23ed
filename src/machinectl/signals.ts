import { constants } from 'node:os';
import { CommandFailure } from './failure.js';
import { parseInteger } from './integer.js';

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

/** Second names that the original does not know. */
const unknownNames = new Set(['SIGIOT', 'SIGPOLL', 'SIGUNUSED']);

function signalNumber(text: string): number | undefined {
  const number = parseInteger(text);
  if (number !== undefined) return number;
  const name = text.startsWith('SIG') ? text : `SIG${text}`;
  const realTime = /^SIGRT(MIN|MAX)(|[+-].+)$/.exec(name);
  if (realTime === null) return unknownNames.has(name) ? undefined : (constants.signals as Readonly<Record<string, number>>)[name];
  const [, base, offset = ''] = realTime;
  const distance = offset === '' ? 0 : parseInteger(offset);
  if (distance === undefined) return undefined;
  const realTimeNumber = (base === 'MIN' ? SIGRTMIN : SIGRTMAX) + distance;
  return realTimeNumber >= SIGRTMIN ? realTimeNumber : undefined;
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
