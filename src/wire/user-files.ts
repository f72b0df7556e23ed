// The user database of a file system without anything clever: passwd(5), group(5).

/** A line of passwd(5). */
export interface UserEntry {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
  readonly shell: string;
}

/** The user of this name, or of this id in decimal; lines that are none are passed over. */
export function findUser(passwd: string, user: string): UserEntry | undefined {
  for (const line of passwd.split('\n')) {
    const [name = '', , uid = '', gid = '', , home = '', shell = ''] = line.split(':');
    if (!isId(uid) || !isId(gid) || name === '' || line.includes('\0')) continue;
    if (name === user || uid === user) return { name, uid: Number(uid), gid: Number(gid), home, shell };
  }
  return undefined;
}

/** The ids of the groups that the user is listed in, in their order. */
export function findGroups(group: string, user: string): readonly number[] {
  const found: number[] = [];
  for (const line of group.split('\n')) {
    const [, , gid = '', members = ''] = line.split(':');
    if (isId(gid) && members.split(',').includes(user)) found.push(Number(gid));
  }
  return found;
}

function isId(text: string): boolean {
  return /^[0-9]{1,10}$/.test(text) && Number(text) < 0xffffffff;
}
