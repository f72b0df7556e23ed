// How many columns of a terminal a text takes.

/** East Asian wide and full-width characters, and emoji: UAX #11. */
const wide =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\u33ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u;
/** Shown as pictures by themselves, which are wide; of flags, each half counts for itself. */
const picture = /\p{Emoji_Presentation}/u;
const halfOfFlag = /\p{Regional_Indicator}/u;
/** What goes with the character before: also vowels and finals of Hangul. */
const withoutWidth = /[\p{Mn}\p{Me}\p{Cf}\u1160-\u11ff\ud7b0-\ud7ff]/u;
const plain = /^[\x20-\x7e]*$/;

export function displayWidth(text: string): number {
  if (plain.test(text)) return text.length;
  let width = 0;
  for (const character of text) width += widthOf(character);
  return width;
}

function widthOf(character: string): number {
  if (withoutWidth.test(character)) return 0;
  return wide.test(character) || (picture.test(character) && !halfOfFlag.test(character)) ? 2 : 1;
}

/** The text, or as much of its beginning as fits before the ellipsis in `columns` columns. */
export function ellipsize(text: string, columns: number, ellipsis = '…'): string {
  if (displayWidth(text) <= columns) return text;
  if (columns <= ellipsis.length) return ellipsis.slice(0, Math.max(0, columns));
  let taken = '';
  let width = 0;
  for (const character of text) {
    width += widthOf(character);
    if (width > columns - ellipsis.length) break;
    taken += character;
  }
  return `${taken}${ellipsis}`;
}

export function padTo(text: string, columns: number, side: 'left' | 'right' = 'left'): string {
  const padding = ' '.repeat(Math.max(0, columns - displayWidth(text)));
  return side === 'left' ? text + padding : padding + text;
}

/** Control characters would do things to a terminal: each becomes a '?'. */
export function printable(text: string): string {
   
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, '?');
}
