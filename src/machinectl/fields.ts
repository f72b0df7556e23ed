// Details as `status` and `image-status` show them: labels in a column of their own, right-aligned.

/** A label, and one line or more. */
export type Field = readonly [label: string, ...lines: readonly string[]];

const tab = 8;

/** Lines of text, each with its newline. The column is two tab stops wide. */
export function formatFields(fields: readonly Field[]): string {
  return fields.map(([label, ...lines]) => lines.map((line, index) => formatLine(index === 0 ? `${label}:` : ' ', line)).join('')).join('');
}

function formatLine(label: string, line: string): string {
  const isLong = label.length > tab + 1;
  return isLong ? `${label.padStart(2 * tab + 1)} ${line}\n` : `\t${label.padStart(tab + 1)} ${line}\n`;
}
