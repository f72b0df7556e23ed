/** Sources: RFC 1035, sections 2.3.4 (lengths) and 5.1 (escapes). */
const longestLabel = 63;
/** On the wire, with a byte before each label and one for the root. */
const longestName = 255;

const label = /(?:[^.\\\0-\x1f\x7f]|\\[.\\]|\\(?:[01][0-9]{2}|2[0-4][0-9]|25[0-5]))+/y;

/**
 * The labels of a domain name, escapes included: 'a.b' and 'a.b.' have two, '' and '.', which are the root, have none.
 * undefined if no domain can be called so: an empty label, a control character, an escape that does not exist, too long.
 */
export function dnsLabels(name: string): string[] | undefined {
  if (name === '' || name === '.') return [];
  const labels: string[] = [];
  let position = 0;
  let wireLength = 1;
  while (position < name.length) {
    label.lastIndex = position;
    const text = label.exec(name)?.[0];
    if (text === undefined) return undefined;
    const length = lengthOnWire(text);
    wireLength += 1 + length;
    if (length > longestLabel || wireLength > longestName) return undefined;
    labels.push(text);
    position += text.length;
    if (position < name.length && name[position++] !== '.') return undefined;
  }
  return labels;
}

/** In bytes: an escape stands for one. */
function lengthOnWire(text: string): number {
  return new TextEncoder().encode(text.replace(/\\(?:[0-9]{3}|.)/g, '-')).length;
}
