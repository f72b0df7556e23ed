// Quotas of projects, which are trees of files: ioctl_xfs_fsgetxattr(2), quotactl(2), linux/fs.h, linux/quota.h. ext4 and
// xfs have them where they are mounted with 'prjquota'.
import { bind, errno, check, type Memory } from './libc.js';
import { errnos, SystemError } from './system-error.js';

const FS_IOC_FSGETXATTR = 0x801c581f;
const FS_IOC_FSSETXATTR = 0x401c5820;
const FS_XFLAG_PROJINHERIT = 0x200;
const attributesSize = 28; // struct fsxattr: flags, two extents' facts, project, another extent's, padding

const Q_GETQUOTA = 0x800007;
const Q_SETQUOTA = 0x800008;
const PRJQUOTA = 2;
const QIF_BLIMITS = 1;
const quotaSize = 72; // struct if_dqblk
const blockSize = 1024n; // of limits, whatever the file system's own are

const control = bind<(fd: number, request: number, argument: Memory) => number>('int ioctl(int, unsigned long, void *)');
const quotaControl = bind<(number: 443, fd: number, command: number, id: number, quota: Memory) => number>(
  'long syscall(long, long, long, long, void *)',
);

/** The project that an open file or directory belongs to; 0 is none. */
export interface ProjectMembership {
  readonly project: number;
  /** What is made in the directory belongs to it, too. */
  readonly inherited: boolean;
}

/** In bytes. */
export interface ProjectQuota {
  readonly usage: bigint;
  readonly limit: bigint | undefined;
  readonly files: bigint;
}

/** Undefined if the file system knows no projects. Throws SystemError. */
export function readProject(fd: number): ProjectMembership | undefined {
  const attributes = Buffer.alloc(attributesSize);
  if (control(fd, FS_IOC_FSGETXATTR, attributes) < 0) {
    const reason = errno();
    if (reason === errnos.ENOTTY || reason === errnos.EOPNOTSUPP || reason === errnos.EINVAL) return undefined;
    throw new SystemError(reason, 'ioctl');
  }
  return { project: attributes.readUInt32LE(12), inherited: (attributes.readUInt32LE(0) & FS_XFLAG_PROJINHERIT) !== 0 };
}

/** Of an open file or directory; `inherited` is for directories only. Throws SystemError: EPERM if it is immutable. */
export function setProject(fd: number, { project, inherited }: ProjectMembership): void {
  const attributes = Buffer.alloc(attributesSize);
  check(control(fd, FS_IOC_FSGETXATTR, attributes), 'ioctl');
  const flags = attributes.readUInt32LE(0);
  const wanted = inherited ? flags | FS_XFLAG_PROJINHERIT : flags & ~FS_XFLAG_PROJINHERIT;
  if (wanted === flags && attributes.readUInt32LE(12) === project) return;
  attributes.writeUInt32LE(wanted, 0);
  attributes.writeUInt32LE(project, 12);
  check(control(fd, FS_IOC_FSSETXATTR, attributes), 'ioctl');
}

/**
 * What the files of a project use. `fd` is open on the file system. Throws SystemError: ESRCH or ENOSYS where nothing counts
 * it (others where the file system knows no quotas at all), EPERM.
 */
export function readProjectQuota(fd: number, project: number): ProjectQuota {
  const quota = Buffer.alloc(quotaSize);
  if (quotaControl(443, fd, commandOf(Q_GETQUOTA), project, quota) < 0) {
    const reason = errno();
    if (reason === errnos.ENOENT) return { usage: 0n, limit: undefined, files: 0n }; // xfs has never heard of it
    throw new SystemError(reason, 'quotactl_fd');
  }
  const limit = quota.readBigUInt64LE(0); // hard limit, soft limit, bytes in use, two limits of files, files in use, …
  return { usage: quota.readBigUInt64LE(16), limit: limit === 0n ? undefined : limit * blockSize, files: quota.readBigUInt64LE(40) };
}

/** In bytes, rounded up to KiB; undefined is none. Throws as readProjectQuota does. */
export function limitProject(fd: number, project: number, limit: bigint | undefined): void {
  const quota = Buffer.alloc(quotaSize);
  const blocks = limit === undefined ? 0n : (limit + blockSize - 1n) / blockSize;
  const least = limit === undefined ? 0n : 1n; // 0 blocks are no limit
  quota.writeBigUInt64LE(blocks > least ? blocks : least, 0);
  quota.writeUInt32LE(QIF_BLIMITS, 64);
  check(quotaControl(443, fd, commandOf(Q_SETQUOTA), project, quota), 'quotactl_fd');
}

function commandOf(command: number): number {
  return command * 256 + PRJQUOTA;
}
