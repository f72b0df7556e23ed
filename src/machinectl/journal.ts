import { spawnSync } from 'node:child_process';
import type { ColourMode } from './colours.js';

export interface JournalRequest {
  readonly unit: string;
  /** Microseconds since 1970: nothing from before the machine was there. */
  readonly since: bigint;
  readonly lines: number;
  readonly format: string;
  readonly full: boolean;
  readonly scope: 'system' | 'user';
  readonly columns: number;
  readonly colours: ColourMode;
}

/** A journal of this many bytes is more than anybody asked for. */
const mostBytes = 64 << 20;

/** What journalctl has to say of a unit; '' where there is no journal. */
export function readJournal(request: JournalRequest): string {
  if (request.lines === 0) return '';
  const seconds = request.since / 1_000_000n;
  const fraction = String(request.since % 1_000_000n).padStart(6, '0');
  const parameters = [
    '--quiet', '--no-pager', '--boot', `--lines=${request.lines}`, `--output=${request.format}`, `--since=@${seconds}.${fraction}`,
    request.full ? '--full' : '--no-full', `${request.scope === 'user' ? '--user-unit' : '--unit'}=${request.unit}`,
  ];
  const environment = { ...process.env, COLUMNS: String(request.columns), SYSTEMD_COLORS: request.colours === 'off' ? '0' : request.colours };
  const result = spawnSync('journalctl', parameters, { env: environment, stdio: ['ignore', 'pipe', 'ignore'], maxBuffer: mostBytes });
  return result.status === 0 ? result.stdout.toString() : '';
}
