// What systemd-dissect(1) tells of disks that only it can look into.
import { systemFailure } from '../../domain/failure.js';
import { errnoNameOf } from '../kernel/system-error.js';
import { childProcess } from '../on-demand.js';
import type { MetadataText } from './read-metadata.js';

/** In seconds. */
const longest = 4;

const largestOutput = 4 << 20;

/**
 * Has systemd-dissect look into a disk image, which takes a moment: only a helper process may call this. Throws Failure
 * 'system': EOPNOTSUPP (it is not installed, or cannot do it either), ETIMEDOUT.
 */
export function dissect(path: string): MetadataText {
  // timeout(1) also ends what the program has started, and outlives this process
  const { status, stdout, stderr, error } = childProcess().spawnSync(
    'timeout',
    ['--signal=KILL', String(longest), 'systemd-dissect', '--no-pager', '--json=short', '--', path],
    { encoding: 'utf8', maxBuffer: largestOutput, env: { PATH: process.env['PATH'] ?? programPath, SYSTEMD_LOG_TARGET: 'console' }, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  if (status === 127 || (error !== undefined && errnoNameOf(error) === 'ENOENT')) {
    throw systemFailure('EOPNOTSUPP', 'the disk is protected by dm-verity, and systemd-dissect is not installed, which could look into it');
  }
  if (status === 137 || status === null) throw systemFailure('ETIMEDOUT', `systemd-dissect takes more than ${longest} seconds`);
  if (status !== 0) throw systemFailure('EOPNOTSUPP', `systemd-dissect fails: ${lastLine(stderr)}`);
  return understood(stdout);
}

const programPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1) ?? '';
}

/** Source: systemd-dissect(1), "--json=". */
function understood(output: string): MetadataText {
  try {
    const facts = JSON.parse(output) as Readonly<Record<string, unknown>>;
    return {
      hostname: textOf(facts['hostname']),
      machineId: textOf(facts['machineId']),
      machineInfo: assignmentsOf(facts['machineInfo']),
      osRelease: assignmentsOf(facts['osRelease']),
    };
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw systemFailure('EOPNOTSUPP', 'systemd-dissect says what cannot be understood', error);
  }
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}

function assignmentsOf(value: unknown): (readonly [string, string])[] {
  if (!Array.isArray(value)) return [];
  return value.filter((line) => typeof line === 'string').map((line: string) => {
    const sign = line.indexOf('=');
    return [line.slice(0, sign), line.slice(sign + 1)] as const;
  });
}
