// Which colours a terminal gets: machinectl(1) of systemd, "Environment", and https://no-color.org.
import { parseBoolean } from './boolean.js';

export type ColourMode = 'off' | '16' | '256' | '24bit';

export interface Surroundings {
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Standard output and standard error are a terminal. */
  readonly onTerminal: boolean;
}

/** $SYSTEMD_COLORS decides; without it a terminal has colours, unless it is dumb or $NO_COLOR is set. */
export function colourMode({ environment, onTerminal }: Surroundings): ColourMode {
  const wanted = environment['SYSTEMD_COLORS'] ?? '';
  const automatic = /^auto-(16|256|24bit)$/.exec(wanted);
  if (automatic === null && wanted !== '') {
    const mode = namedMode(wanted, environment);
    if (mode !== undefined) return mode;
  }
  const none = environment['NO_COLOR'] !== undefined || !onTerminal || isDumb(environment);
  if (none) return 'off';
  return automatic === null ? richest(environment) : (automatic[1] as ColourMode);
}

function namedMode(text: string, environment: Surroundings['environment']): ColourMode | undefined {
  if (text === '16' || text === '256' || text === '24bit') return text;
  const wanted = parseBoolean(text);
  if (wanted === undefined) return undefined;
  return wanted ? richest(environment) : 'off';
}

function richest(environment: Surroundings['environment']): ColourMode {
  return ['truecolor', '24bit'].includes(environment['COLORTERM'] ?? '') ? '24bit' : '256';
}

export function isDumb(environment: Surroundings['environment']): boolean {
  return (environment['TERM'] ?? 'dumb') === 'dumb';
}

export type Style = 'plain' | 'grey' | 'red' | 'green' | 'yellow' | 'bold' | 'blue' | 'brightgrey' | 'magenta' | 'cyan' | 'italic' | 'underline' | 'heading';

const reset = '\x1b[0m';

/** The escape sequences, with their counterpart for terminals that have 16 colours first. */
export function styled(text: string, style: Style, mode: ColourMode): string {
  if (mode === 'off' || style === 'plain') return text;
  return `${sequence(style, mode)}${text}${reset}`;
}

function sequence(style: Exclude<Style, 'plain'>, mode: ColourMode): string {
  switch (style) {
    case 'grey':
      return exact('\x1b[0;90m', '\x1b[0;38:5:245m', mode);
    case 'yellow':
      return exact('\x1b[0;1;33m', '\x1b[0;1;38:5:185m', mode);
    case 'red':
      return '\x1b[0;1;31m';
    case 'green':
      return '\x1b[0;1;32m';
    case 'brightgrey':
      return exact('\x1b[0;1;90m', '\x1b[0;1;38:5:245m', mode);
    case 'blue':
      return '\x1b[0;1;34m';
    case 'magenta':
      return '\x1b[0;1;35m';
    case 'cyan':
      return '\x1b[0;1;36m';
    case 'bold':
      return '\x1b[0;1;39m';
    case 'italic':
      return '\x1b[0;1;39m\x1b[3m';
    case 'underline':
      return '\x1b[4m';
    case 'heading':
      return '\x1b[0;4m';
  }
}

/** Terminals that do not know the second sequence keep to the first. */
function exact(approximate: string, precise: string, mode: ColourMode): string {
  if (mode === '16') return approximate;
  return mode === '24bit' ? precise : approximate + precise;
}
