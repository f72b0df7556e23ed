import { readFileSync } from 'node:fs';

/** What is mounted in a directory, as this process sees it. `directory` is free of symbolic links. Source: proc_pid_mountinfo(5). */
export function mountPointsBelow(directory: string): string[] {
  const lines = readFileSync('/proc/self/mountinfo', 'latin1').split('\n');
  const beginning = Buffer.from(`${directory}/`).toString('latin1');
  return lines.map((line) => unescaped(line.split(' ')[4] ?? '')).filter((point) => point.startsWith(beginning));
}

/** Blanks and the like are written as three octal digits. */
function unescaped(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}
