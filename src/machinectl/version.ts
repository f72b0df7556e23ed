import { readFileSync } from 'node:fs';

/** 'machined 0.1.0', and which release of systemd's machinectl this is like. */
export function versionText(): string {
  const manifest = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string };
  return `machined ${manifest.version} (machinectl of systemd 262)\n`;
}
