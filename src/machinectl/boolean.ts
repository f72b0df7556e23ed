/** As systemd's tools write booleans; undefined for what is none. */
export function parseBoolean(text: string): boolean | undefined {
  if (/^(1|y|yes|t|true|on)$/i.test(text)) return true;
  return /^(0|n|no|f|false|off)$/i.test(text) ? false : undefined;
}
