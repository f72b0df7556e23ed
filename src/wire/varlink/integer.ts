/**
 * The integer that a text stands for, or undefined: optional blanks, a sign, then decimal digits, or digits after 0x
 * (hexadecimal), 0o or 0 (octal) or 0b (binary). Nothing may follow. This is what systemd accepts where it takes a
 * string for an integer, so "010" is eight.
 */
export function parseIntegerText(text: string): bigint | undefined {
  const match = /^[ \t\n\r]*([+-]?)(0x[0-9a-f]+|0b[01]+|0o?[0-7]+|0|[1-9][0-9]*)$/i.exec(text);
  if (match === null || text.length > 80) return undefined;
  const digits = (match[2] as string).replace(/^0(?=[0-7])/, '0o');
  const magnitude = BigInt(digits.toLowerCase());
  return match[1] === '-' ? -magnitude : magnitude;
}
