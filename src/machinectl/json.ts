export type JsonValue = string | number | bigint | boolean | null | readonly JsonValue[] | { readonly [key: string]: JsonValue | undefined };

/** JSON text; `pretty` indents it as systemd's tools do. Numbers of 64 bits are written in full. */
export function formatJson(value: unknown, form: 'short' | 'pretty'): string {
  return write(value as JsonValue, form === 'pretty' ? '' : undefined);
}

/** `indentation` of the line that the value starts on; undefined: all in one line. */
function write(value: JsonValue, indentation: string | undefined): string {
  if (typeof value === 'bigint') return value.toString();
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  const inner = indentation === undefined ? undefined : `${indentation}\t`;
  if (isList(value)) return enclose('[', value.map((item) => write(item, inner)), ']', indentation);
  const colon = indentation === undefined ? ':' : ' : ';
  const members = Object.entries(value).flatMap(([key, member]) =>
    member === undefined ? [] : [`${JSON.stringify(key)}${colon}${write(member, inner)}`],
  );
  return enclose('{', members, '}', indentation);
}

function isList(value: object): value is readonly JsonValue[] {
  return Array.isArray(value);
}

function enclose(open: string, items: readonly string[], close: string, indentation: string | undefined): string {
  if (items.length === 0) return open + close;
  if (indentation === undefined) return open + items.join(',') + close;
  return `${open}\n${items.map((item) => `${indentation}\t${item}`).join(',\n')}\n${indentation}${close}`;
}
