import type { PeerCredentials } from '../../ports/stream.js';
import { check, errno, getSocketOption } from './libc.js';
import { errnos, SystemError } from './system-error.js';

const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
const SO_PEERGROUPS = 59;
const SO_PEERPIDFD = 77;

const length = new Uint32Array(1);
const credentials = Buffer.alloc(12); // struct ucred: pid_t, uid_t, gid_t
const pidfd = new Int32Array(1);
let groups = new Uint32Array(64);

/**
 * Who is at the other end, as it was when it connected (for a socket that we connected: when it began to listen). Throws
 * SystemError; EMFILE and ENFILE are to be expected, as a pidfd is one more descriptor.
 */
export function readPeerCredentials(fd: number): PeerCredentials {
  length[0] = credentials.length;
  check(getSocketOption(fd, SOL_SOCKET, SO_PEERCRED, credentials, length), 'getsockopt');
  const pid = credentials.readInt32LE(0);
  const uid = credentials.readUInt32LE(4);
  const gid = credentials.readUInt32LE(8);
  return { pid, uid, gid, groups: readPeerGroups(fd), pidfd: readPeerPidfd(fd) };
}

function readPeerGroups(fd: number): number[] {
  length[0] = groups.byteLength;
  const result = getSocketOption(fd, SOL_SOCKET, SO_PEERGROUPS, groups, length);
  if (result === 0) return [...groups.subarray(0, length[0] / 4)];
  const reason = errno();
  if (reason !== errnos.ERANGE) throw new SystemError(reason, 'getsockopt');
  groups = new Uint32Array(length[0] / 4); // the kernel said how many there are: at most 65536
  return readPeerGroups(fd);
}

// No pidfd of: an older kernel (ENOPROTOOPT); a socketpair's or inherited peer that the kernel has none for (ENODATA);
// a peer that has ended and been reaped already (ESRCH; EINVAL before 6.16).
const noPidfd = new Set([errnos.ENOPROTOOPT, errnos.ENODATA, errnos.ESRCH, errnos.EINVAL]);

function readPeerPidfd(fd: number): number | undefined {
  length[0] = 4;
  if (getSocketOption(fd, SOL_SOCKET, SO_PEERPIDFD, pidfd, length) === 0) return pidfd[0];
  const reason = errno();
  if (!noPidfd.has(reason)) throw new SystemError(reason, 'getsockopt');
  return undefined;
}
