// Tables as systemd's tools print them: columns as wide as their cells, squeezed evenly where the terminal is too narrow.
import { styled, type ColourMode, type Style } from './colours.js';
import { displayWidth, ellipsize, padTo, printable } from './display-width.js';
import type { Glyphs } from './glyphs.js';

export interface Cell {
  /** Several lines make a row that is several lines high. */
  readonly text: string | readonly string[];
  readonly style?: Style;
}

export interface Column {
  readonly title: string;
  readonly align?: 'left' | 'right';
}

export interface TableOptions {
  /** Columns of the terminal that the table has to fit; undefined: as many as it takes. */
  readonly width: number | undefined;
  readonly colours: ColourMode;
  readonly glyphs: Glyphs;
  readonly header: boolean;
  /** Lines that a cell may take at most; one with more ends in an ellipsis. */
  readonly maximumHeight?: number;
}

/** What stands for a value that there is none of. */
export const nothing: Cell = { text: '-', style: 'grey' };

/** The text or, if it is empty, a grey dash. */
export function textOrDash(text: string): Cell {
  return text === '' ? nothing : { text };
}

/** Lines of text, each with its newline. */
export function formatTable(columns: readonly Column[], rows: readonly (readonly Cell[])[], options: TableOptions): string {
  const body = rows.map((row) => row.map((cell) => ({ style: cell.style ?? 'plain', lines: linesOf(cell, options) })));
  const wanted = columns.map(({ title }, index) => {
    const widths = body.map((row) => Math.max(0, ...(row[index]?.lines ?? []).map(displayWidth)));
    return Math.max(options.header ? displayWidth(title) : 0, 1, ...widths);
  });
  const gaps = columns.length - 1;
  const widths = options.width === undefined ? wanted : squeeze(wanted, options.width - gaps);
  const header = options.header ? formatHeader(columns, widths, options) : '';
  return header + body.map((row) => formatRow(columns, row, widths, options)).join('');
}

interface CellLines {
  readonly style: Style;
  readonly lines: readonly string[];
}

function linesOf({ text }: Cell, { glyphs, maximumHeight: maximum = Number.POSITIVE_INFINITY }: TableOptions): readonly string[] {
  const lines = (typeof text === 'string' ? [text] : text).map(printable);
  if (lines.length <= maximum) return lines;
  return lines.slice(0, maximum).map((line, index) => (index === maximum - 1 ? `${line}${glyphs.ellipsis}` : line));
}

/**
 * Widths that together fit `room`: columns that want no more than an even share get what they want, the others share
 * what is left, the last ones taking what does not divide. One column each at least.
 */
export function squeeze(wanted: readonly number[], room: number): readonly number[] {
  const total = wanted.reduce((sum, width) => sum + width, 0);
  if (total <= room) return wanted;
  const widths = new Map<number, number>();
  const open = new Set(wanted.keys());
  let left = Math.max(room, wanted.length);
  const settle = (index: number, width: number): void => {
    widths.set(index, width);
    open.delete(index);
    left -= width;
  };
  for (;;) {
    const share = Math.floor(left / open.size);
    const modest = [...open].find((index) => (wanted[index] ?? 0) <= share);
    if (modest === undefined) break;
    settle(modest, wanted[modest] ?? 0);
  }
  for (const index of [...open]) settle(index, Math.floor(left / open.size));
  return wanted.map((_, index) => widths.get(index) ?? 1);
}

/** Underlined as a whole on terminals: the gaps, too. */
function formatHeader(columns: readonly Column[], widths: readonly number[], { colours, glyphs }: TableOptions): string {
  const cells = columns.map((column, index) => {
    const width = widths[index] ?? 0;
    return { text: ellipsize(column.title, width, glyphs.ellipsis), column, width };
  });
  if (colours === 'off') return `${cells.map(({ text, column, width }) => padTo(text, width, column.align)).join(' ').trimEnd()}\n`;
  const underlined = cells.map(({ text, column, width }) => styled(padTo(text, width, column.align), 'underline', colours));
  return `${underlined.join(styled(' ', 'underline', colours))}\n`;
}

function formatRow(columns: readonly Column[], row: readonly CellLines[], widths: readonly number[], { colours, glyphs }: TableOptions): string {
  const height = Math.max(1, ...row.map(({ lines }) => lines.length));
  let text = '';
  for (let line = 0; line < height; line++) {
    const cells = row.map(({ lines, style }, index) => {
      const width = widths[index] ?? 0;
      const content = ellipsize(lines[line] ?? '', width, glyphs.ellipsis);
      const isLast = index === row.length - 1;
      // Nothing but colour is printed behind the last word of a line.
      const bare = isLast && columns[index]?.align !== 'right' && (style === 'plain' || colours === 'off');
      return bare ? content : styled(padTo(content, width, columns[index]?.align), style, colours);
    });
    text += `${cells.join(' ')}\n`;
  }
  return text;
}
