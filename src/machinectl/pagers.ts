// Which pager shows what is printed on a terminal: systemctl(1), "Environment".
import { readFileSync } from 'node:fs';
import { parseBoolean } from './boolean.js';

type Environment = Readonly<Record<string, string | undefined>>;

/** Tried where nobody has asked for another, or that is not there. */
export const usualPagers = ['pager', 'less', 'more'];

/** Pagers to be tried in turn: systemd's own variable, everybody's, and then what most have. None if one says so. */
export function choosePagers(environment: Environment, restricted = isRestricted(environment)): readonly (readonly string[])[] {
  const wanted = environment['SYSTEMD_PAGER'] ?? environment['PAGER'];
  const words = wanted?.split(/\s+/).filter((word) => word !== '');
  if (words !== undefined && (words.length === 0 || wanted === 'cat')) return [];
  if (restricted) return [['less']];
  return [...(words === undefined ? [] : [words]), ...usualPagers.map((name) => [name])];
}

/**
 * Who has become another user must not get a shell out of the pager: $SYSTEMD_PAGERSECURE says so, sudo does, or that
 * this is not the session of the user whose rights it has.
 */
export function isRestricted(environment: Environment): boolean {
  const wanted = parseBoolean(environment['SYSTEMD_PAGERSECURE'] ?? '');
  return wanted ?? (environment['SUDO_UID'] !== undefined || sessionOwner() !== process.geteuid?.());
}

/** The user whose slice this process is in: systemd.special(7), user-UID.slice. undefined where there are no such slices. */
function sessionOwner(): number | undefined {
  try {
    const uid = /\/user-(\d+)\.slice(\/|$)/m.exec(readFileSync('/proc/self/cgroup', 'utf8'))?.[1];
    return uid === undefined ? undefined : Number(uid);
  } catch {
    return undefined; // no /proc
  }
}
