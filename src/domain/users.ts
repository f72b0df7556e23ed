/** A UNIX user or group id of the host, 0 … 4294967294. */
export type UserId = number;

/** One line of uid_map or gid_map (user_namespaces(7)): `count` ids from `inside` on are those from `outside` on. */
export interface IdMapping {
  readonly inside: number;
  readonly outside: number;
  readonly count: number;
}

/** Ids below this one are the host's own system and ordinary users. Source: systemd.io/UIDS-GIDS. */
const hostIdLimit = 65536;
/** The user and group of what has no owner here (user_namespaces(7), overflowuid). */
export const nobodyId = 65534;

/** 65535 and 4294967295 mean "no id" in the 16 and the 32 bit calls: they name nobody. Source: systemd.io/UIDS-GIDS. */
export function isUserId(id: number): boolean {
  return Number.isInteger(id) && id >= 0 && id < 0xffffffff && id !== 0xffff;
}

/**
 * A name that a user or group may have, in the relaxed sense: no number, no hyphen alone, no colon, slash, control
 * character or blank at the ends. Source: https://systemd.io/USER_NAMES, "Relaxed Mode".
 */
export function isUserName(name: string): boolean {
  if (name === '.' || name === '..' || /^-?[0-9]*$/.test(name)) return false;
  if (name.startsWith(' ') || name.endsWith(' ')) return false;
  return !/[\u0000-\u001f\u007f:/]/.test(name);
}

/** Whether an id is one of the host's own, which no machine may claim. */
export function isHostId(id: number): boolean {
  return id < hostIdLimit;
}

/** The host's id for one of the machine's, or undefined if it has no mapping for it. */
export function mapOut(mappings: readonly IdMapping[], inside: number): number | undefined {
  for (const mapping of mappings) {
    const offset = inside - mapping.inside;
    if (offset >= 0 && offset < mapping.count) return mapping.outside + offset;
  }
  return undefined;
}

/** The machine's id for one of the host's, or undefined if it has no mapping for it. */
export function mapIn(mappings: readonly IdMapping[], outside: number): number | undefined {
  for (const mapping of mappings) {
    const offset = outside - mapping.outside;
    if (offset >= 0 && offset < mapping.count) return mapping.inside + offset;
  }
  return undefined;
}

/**
 * The first host id of a machine whose ids are all shifted by the same amount, or undefined if they are mapped in a
 * more complicated way (several ranges, or one that does not begin with the machine's root).
 */
export function uidShift(mappings: readonly IdMapping[]): number | undefined {
  const [only, another] = mappings;
  if (only === undefined || another !== undefined || only.inside !== 0) return undefined;
  return only.outside;
}

const longestUserName = 31; // utmp(5), UT_NAMESIZE less the NUL: what the strictest tools can show

/**
 * 'vu-NAME-UID' and 'vg-NAME-GID', as nss-mymachines(8) shows a container's users; undefined if no user can be called so:
 * it would be too long, or have a dot. Source: https://systemd.io/USER_NAMES, "Strict Mode".
 */
export function machineUserName(kind: 'vu' | 'vg', machine: string, id: number): string | undefined {
  const name = `${kind}-${machine}-${id}`;
  return name.length > longestUserName || name.includes('.') ? undefined : name;
}

/** Takes such a name apart; undefined if it is none. The machine's name is not checked against any machine. */
export function parseMachineUserName(kind: 'vu' | 'vg', name: string): { machine: string; id: number } | undefined {
  const match = /^(v[ug])-(.+)-(0|[1-9][0-9]{0,9})$/.exec(name);
  if (match === null || match[1] !== kind) return undefined;
  const id = Number(match[3]);
  return isUserId(id) ? { machine: match[2] as string, id } : undefined;
}
