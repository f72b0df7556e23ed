/** A UNIX user or group id of the host, 0 … 4294967294. */
export type UserId = number;

/** One line of uid_map or gid_map (user_namespaces(7)): `count` ids from `inside` on are those from `outside` on. */
export interface IdMapping {
  readonly inside: number;
  readonly outside: number;
  readonly count: number;
}
