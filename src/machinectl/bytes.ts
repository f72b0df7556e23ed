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

/** '5M', '1.5G', '4096', 'infinity' of systemd's size arguments as bytes; undefined if it is none. Powers of 1024. */
export function parseBytes(text: string): bigint | undefined {
  const match = /^\s*(\d+)(?:\.(\d+))?\s*([BKMGTPE]?)\s*$/.exec(text);
  if (match === null) return undefined;
  const [, whole = '0', fraction = '', unit = 'B'] = match;
  const factor = 1024n ** BigInt(Math.max(0, units.indexOf(unit)));
  const bytes = BigInt(whole) * factor + (BigInt(fraction === '' ? 0 : fraction) * factor) / 10n ** BigInt(fraction.length);
  return bytes < 1n << 64n ? bytes : undefined;
}
