import { parseBoolean } from './boolean.js';

/** What is drawn beside letters. */
export interface Glyphs {
  readonly ellipsis: string;
  /** Of a tree: before one that others follow, before the last one, and below one that others follow. */
  readonly branch: string;
  readonly lastBranch: string;
  readonly trunk: string;
  /** Where a link leads. */
  readonly arrow: string;
}

export const lineGlyphs: Glyphs = { ellipsis: '…', branch: '├─', lastBranch: '└─', trunk: '│ ', arrow: '→' };
export const asciiGlyphs: Glyphs = { ellipsis: '...', branch: '|-', lastBranch: '`-', trunk: '| ', arrow: '->' };

/**
 * $SYSTEMD_UTF8 decides; without it, whether the locale, by the first of its variables that is set (locale(7)), has another
 * character set than UTF-8: C and POSIX do, and those that name one.
 */
export function glyphsFor(environment: Readonly<Record<string, string | undefined>>): Glyphs {
  const wanted = parseBoolean(environment['SYSTEMD_UTF8'] ?? '');
  if (wanted !== undefined) return wanted ? lineGlyphs : asciiGlyphs;
  const variables = ['LC_ALL', 'LC_CTYPE', 'LANG'].flatMap((name) => environment[name] ?? []);
  // one that is set and empty is as good as C; where none is set, that means nothing
  const locale = variables.find((value) => value !== '') ?? (variables.length === 0 ? '' : 'C');
  const characters = /\.([^@]*)/.exec(locale)?.[1];
  const isAscii = /^(C|POSIX)$/.test(locale) || (characters !== undefined && !/^utf-?8$/i.test(characters));
  return isAscii ? asciiGlyphs : lineGlyphs;
}
