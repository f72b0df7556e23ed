// Shows text by a pager: systemctl(1), "Environment".
import { spawnSync } from 'node:child_process';

/** @returns whether a pager has shown it, or was at least there. */
export function showInPager(text: string, environment: NodeJS.ProcessEnv): boolean {
  const pagerEnvironment = {
    ...environment,
    LESS: environment['SYSTEMD_LESS'] ?? 'FRSXMK',
    LESSCHARSET: environment['SYSTEMD_LESSCHARSET'] ?? 'utf-8',
    ...(isRestricted(environment) ? { LESSSECURE: '1' } : {}),
  };
  for (const [command = '', ...parameters] of choosePagers(environment)) {
    const { error } = spawnSync(command, parameters, { input: text, stdio: ['pipe', 'inherit', 'inherit'], env: pagerEnvironment });
    const isMissing = error !== undefined && 'code' in error && error.code === 'ENOENT';
    if (!isMissing) return true;
  }
  return false;
}

/** Pagers to be tried in turn: systemd's own variable, everybody's, and then what most have. None if one says so. */
export function choosePagers(environment: NodeJS.ProcessEnv): readonly (readonly string[])[] {
  if (isRestricted(environment)) return [['less']];
  const wanted = environment['SYSTEMD_PAGER'] ?? environment['PAGER'];
  if (wanted === undefined) return [['pager'], ['less'], ['more']];
  const words = wanted.split(/\s+/).filter((word) => word !== '');
  return words.length === 0 || words[0] === 'cat' ? [] : [words];
}

/** Who runs this by sudo must not get a shell out of the pager: systemctl(1), $SYSTEMD_PAGERSECURE. */
function isRestricted(environment: NodeJS.ProcessEnv): boolean {
  const wanted = environment['SYSTEMD_PAGERSECURE'];
  if (wanted !== undefined) return !/^(0|n|no|f|false|off)$/i.test(wanted);
  return environment['SUDO_UID'] !== undefined;
}
