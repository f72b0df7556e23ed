// Shows text by a pager.
import { spawnSync } from 'node:child_process';
import { choosePagers, isRestricted, usualPagers } from './pagers.js';
import { errnoText, errorCode } from './system-errors.js';

/** @returns whether a pager has shown it. `warn` is told of one that was asked for, and is not there. */
export function showInPager(text: string, environment: NodeJS.ProcessEnv, warn: (message: string) => void): boolean {
  const restricted = isRestricted(environment);
  const pagerEnvironment = {
    ...environment,
    LESS: environment['SYSTEMD_LESS'] ?? 'FRSXMK',
    LESSCHARSET: environment['SYSTEMD_LESSCHARSET'] ?? 'utf-8',
    ...(restricted ? { LESSSECURE: '1' } : {}),
  };
  for (const [command = '', ...parameters] of choosePagers(environment, restricted)) {
    const { error, pid } = spawnSync(command, parameters, { input: text, stdio: ['pipe', 'inherit', 'inherit'], env: pagerEnvironment });
    // one that has ended before it had read all (EPIPE) has shown enough
    if (error === undefined || pid !== 0) return true;
    if (!usualPagers.includes(command)) warn(`Failed to execute '${command}', using fallback pagers: ${errnoText(errorCode(error))}`);
  }
  return false;
}
