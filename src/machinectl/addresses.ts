const AF_INET = 2;

/** '192.0.2.11', '2001:db8::11', from an address's bytes. */
export function formatAddress(family: number, bytes: Uint8Array | readonly number[]): string {
  if (family === AF_INET) return Array.from(bytes).join('.');
  const groups = Array.from({ length: 8 }, (_, index) => ((bytes[2 * index] ?? 0) << 8) | (bytes[2 * index + 1] ?? 0));
  if (groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff) return `::ffff:${Array.from(bytes).slice(12).join('.')}`;
  return abbreviate(groups);
}

/** The longest run of two zeros and more becomes '::', the first one of several: RFC 5952, section 4. */
function abbreviate(groups: readonly number[]): string {
  let start = -1;
  let length = 1;
  for (let index = 0; index < groups.length; index++) {
    const run = groups.slice(index).findIndex((group) => group !== 0);
    const zeros = run < 0 ? groups.length - index : run;
    if (zeros > length) {
      start = index;
      length = zeros;
    }
  }
  const hexadecimal = (part: readonly number[]): string => part.map((group) => group.toString(16)).join(':');
  if (start < 0) return hexadecimal(groups);
  return `${hexadecimal(groups.slice(0, start))}::${hexadecimal(groups.slice(start + length))}`;
}
