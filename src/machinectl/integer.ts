const forms = [
  { pattern: /^0x([0-9a-f]+)$/i, base: 16 },
  { pattern: /^0b([01]+)$/i, base: 2 },
  { pattern: /^0o?([0-7]+)$/i, base: 8 },
  { pattern: /^(0|[1-9]\d*)$/, base: 10 },
] as const;

/**
 * '5', '+5', '0x5', '0b101', '0o5', '05': a whole number as systemd's tools take it, with or without a sign, blanks
 * before it. undefined for what is none. Numbers beyond 2⁵³ are not exact.
 */
export function parseInteger(text: string): number | undefined {
  const [, sign, digits = ''] = /^[ \t\n\r]*([+-]?)(.*)$/s.exec(text) ?? [];
  for (const { pattern, base } of forms) {
    const found = pattern.exec(digits)?.[1];
    if (found !== undefined) return Number.parseInt(found, base) * (sign === '-' ? -1 : 1);
  }
  return undefined;
}

const mostUnsigned = 2 ** 32 - 1;

/** The same of one that is not negative and has 32 bits at most. */
export function parseUnsigned(text: string): number | undefined {
  const number = parseInteger(text);
  return number !== undefined && number >= 0 && number <= mostUnsigned ? Math.abs(number) : undefined;
}
