import { getSystemErrorMap } from 'node:util';

/** What C programs say of an errno: 'No such file or directory' for 'ENOENT'. */
export function errnoText(name: string): string {
  for (const [code, text] of getSystemErrorMap().values()) {
    if (code === name) return text.charAt(0).toUpperCase() + text.slice(1);
  }
  return name;
}
