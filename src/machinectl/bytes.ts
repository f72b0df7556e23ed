const units = ['B', 'K', 'M', 'G', 'T', 'P', 'E'];

/** '28.1M': powers of 1024, one digit behind the point, cut off rather than rounded. undefined for 2⁶⁴−1, which says unknown. */
export function formatBytes(bytes: bigint): string | undefined {
  if (bytes === 0xffff_ffff_ffff_ffffn) return undefined;
  let factor = 1n;
  let unit = 0;
  while (unit < units.length - 1 && bytes >= factor * 1024n) {
    factor *= 1024n;
    unit++;
  }
  if (unit === 0) return `${bytes}B`;
  const tenth = ((bytes % factor) * 10n) / factor;
  return tenth === 0n ? `${bytes / factor}${units[unit]}` : `${bytes / factor}.${tenth}${units[unit]}`;
}

/** A number with its unit, or without; or the sign of a number that is too small. */
const term = /\s*(?:(-)|\+?(\d+)(?:\.(\d*))?\s*([BKMGTPE]?)\s*)/y;

/** '5M', '1.5G', '4096', '1G 512M' of systemd's size arguments as bytes: powers of 1024, the larger units first. */
export function parseBytes(text: string): bigint | 'malformed' | 'out-of-range' {
  let total = 0n;
  let position = 0;
  let lastRank = units.length;
  do {
    term.lastIndex = position;
    const match = term.exec(text);
    if (match === null) return 'malformed';
    const [, sign, whole = '', fraction = '', unit = ''] = match;
    const rank = units.indexOf(unit); // −1 without one: nothing can follow
    if (sign !== undefined || BigInt(whole) >= 1n << 64n) return 'out-of-range';
    if (rank >= lastRank) return 'malformed';
    const factor = 1024n ** BigInt(Math.max(0, rank));
    total += BigInt(whole) * factor + (BigInt(fraction) * factor) / 10n ** BigInt(fraction.length);
    if (total >= 1n << 64n) return 'out-of-range';
    lastRank = rank;
    position = term.lastIndex;
  } while (position < text.length);
  return total;
}
