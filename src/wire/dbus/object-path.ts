const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Any text as one element of an object path, the way systemd's services do (sd_bus_path_encode(3)): bytes other than
 * A-Z a-z 0-9, and a digit at the beginning, become _ and two hexadecimal digits; nothing becomes _.
 * 'a-b' is 'a_2db', '9lives' is '_39lives'.
 */
export function escapeLabel(text: string): string {
  if (text === '') return '_';
  if (plainLabel.test(text)) return text;
  const bytes = Buffer.from(text);
  const first = bytes[0]!;
  let label = isDigit(first) ? escaped(first) : labels[first]!;
  for (let index = 1; index < bytes.length; index++) label += labels[bytes[index]!]!;
  return label;
}

const plainLabel = /^[A-Za-z][A-Za-z0-9]*$/;
const labels = Array.from({ length: 256 }, (_, byte) => (isPlain(byte) ? String.fromCharCode(byte) : escaped(byte)));

/**
 * The text that a label stands for; undefined if it is malformed. Escapes that `escapeLabel` would not have made
 * ('_41' for 'A') are taken as well.
 */
export function unescapeLabel(label: string): string | undefined {
  if (label === '_') return '';
  if (!/^(?:[A-Za-z0-9]|_[0-9A-Fa-f]{2})+$/.test(label)) return undefined;
  const bytes: number[] = [];
  for (let index = 0; index < label.length; index++) {
    if (label[index] !== '_') {
      bytes.push(label.charCodeAt(index));
      continue;
    }
    bytes.push(Number.parseInt(label.slice(index + 1, index + 3), 16));
    index += 2;
  }
  return decodeText(Uint8Array.from(bytes));
}

function escaped(byte: number): string {
  return `_${byte.toString(16).padStart(2, '0')}`;
}

function isPlain(byte: number): boolean {
  return /[A-Za-z0-9]/.test(String.fromCharCode(byte));
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}

function decodeText(bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes);
  } catch {
    // Not UTF-8, so no text was ever escaped to this; the decoder has no other way to say so.
    return undefined;
  }
}
