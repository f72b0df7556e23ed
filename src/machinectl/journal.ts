import { spawnSync } from 'node:child_process';
import { accessSync, constants, readdirSync } from 'node:fs';
import path from 'node:path';
import type { ColourMode } from './colours.js';
import { errorCode } from './system-errors.js';

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
/** journalctl takes no larger number. */
const mostLines = 0x7fff_ffff;

const blocked = 'Warning: some journal files were not opened due to insufficient permissions.\n';

/** What journalctl has to say of a unit, or why it has nothing to say; '' where there is no journal. */
export function readJournal(request: JournalRequest): string {
  if (request.lines === 0) return '';
  const seconds = request.since / 1_000_000n;
  const fraction = String(request.since % 1_000_000n).padStart(6, '0');
  const found = runJournalctl(request, [`--lines=${Math.min(request.lines, mostLines)}`, `--since=@${seconds}.${fraction}`]);
  if (found !== '' || !isSomeUnreadable()) return found;
  return runJournalctl(request, ['--lines=1']) === '' ? blocked : '';
}

function runJournalctl(request: JournalRequest, choice: readonly string[]): string {
  const parameters = [
    '--quiet', '--no-pager', '--boot', `--output=${request.format}`, ...choice,
    request.full ? '--full' : '--no-full', `${request.scope === 'user' ? '--user-unit' : '--unit'}=${request.unit}`,
  ];
  const environment = { ...process.env, COLUMNS: String(request.columns), SYSTEMD_COLORS: request.colours === 'off' ? '0' : request.colours };
  const result = spawnSync('journalctl', parameters, { env: environment, stdio: ['ignore', 'pipe', 'ignore'], maxBuffer: mostBytes });
  return result.status === 0 ? result.stdout.toString() : '';
}

/** Where journald has its files: systemd-journald.service(8), "Files". */
const directories = ['/run/log/journal', '/var/log/journal'];

/** But not all: with nothing to look into, the original has nothing to say. */
function isSomeUnreadable(): boolean {
  const files = directories.flatMap((directory) => filesIn(directory).flatMap(filesIn)).filter((file) => file.endsWith('.journal'));
  const forbidden = files.filter(isForbidden);
  return forbidden.length > 0 && forbidden.length < files.length;
}

function filesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory).map((name) => path.join(directory, name));
  } catch {
    return []; // none, or nothing that would be for us
  }
}

function isForbidden(file: string): boolean {
  try {
    accessSync(file, constants.R_OK);
    return false;
  } catch (error) {
    return errorCode(error) === 'EACCES';
  }
}
