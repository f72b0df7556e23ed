// Changing btrfs subvolumes and their quotas: ioctl_btrfs(2), linux/btrfs.h. Directories are given by descriptors that are
// open for reading. All of these throw SystemError: ENOTTY where the file system is not btrfs.
import { bind, check, errno, type Memory } from './libc.js';
import { errnos, SystemError } from './system-error.js';

const BTRFS_IOC_SNAP_DESTROY = 0x5000940f;
const BTRFS_IOC_SNAP_CREATE_V2 = 0x50009417;
const BTRFS_IOC_SUBVOL_CREATE_V2 = 0x50009418;
const BTRFS_IOC_SUBVOL_GETFLAGS = 0x80089419;
const BTRFS_IOC_SUBVOL_SETFLAGS = 0x4008941a;
const BTRFS_IOC_QUOTA_CTL = 0xc0109428;
const BTRFS_IOC_QGROUP_ASSIGN = 0x40189429;
const BTRFS_IOC_QGROUP_CREATE = 0x4010942a;
const BTRFS_IOC_QGROUP_LIMIT = 0x8030942b;
const BTRFS_IOC_QUOTA_RESCAN = 0x4040942c;
const BTRFS_IOC_QUOTA_RESCAN_STATUS = 0x8040942d;
const BTRFS_SUBVOL_RDONLY = 2n;
const BTRFS_QUOTA_CTL_ENABLE = 1n;
const BTRFS_QGROUP_LIMIT_MAX_RFER = 1n;

const argumentSize = 4096; // struct btrfs_ioctl_vol_args and btrfs_ioctl_vol_args_v2
const noLimit = 0xffff_ffff_ffff_ffffn;

const control = bind<(fd: number, request: number, argument: Memory) => number>('int ioctl(int, unsigned long, void *)');

export function createSubvolume(directory: number, name: Uint8Array): void {
  check(control(directory, BTRFS_IOC_SUBVOL_CREATE_V2, createArguments(0, name)), 'ioctl', String(name));
}

/** Of the subvolume of which `source` is the root; subvolumes inside of it become empty directories. EXDEV: another disk. */
export function createSnapshot(source: number, directory: number, name: Uint8Array): void {
  check(control(directory, BTRFS_IOC_SNAP_CREATE_V2, createArguments(source, name)), 'ioctl', String(name));
}

/** struct btrfs_ioctl_vol_args_v2: source, transaction, flags, four unused, name */
function createArguments(source: number, name: Uint8Array): Buffer {
  const argument = Buffer.alloc(argumentSize);
  argument.writeBigInt64LE(BigInt(source), 0);
  argument.set(name, 56);
  return argument;
}

/** With all that is in it. ENOTEMPTY: there are subvolumes in it. */
export function destroySubvolume(directory: number, name: Uint8Array): void {
  const argument = Buffer.alloc(argumentSize); // struct btrfs_ioctl_vol_args: descriptor, name
  argument.set(name, 8);
  check(control(directory, BTRFS_IOC_SNAP_DESTROY, argument), 'ioctl', String(name));
}

export function isSubvolumeReadOnly(subvolume: number): boolean {
  const argument = Buffer.alloc(8);
  check(control(subvolume, BTRFS_IOC_SUBVOL_GETFLAGS, argument), 'ioctl');
  return (argument.readBigUInt64LE(0) & BTRFS_SUBVOL_RDONLY) !== 0n;
}

export function setSubvolumeReadOnly(subvolume: number, readOnly: boolean): void {
  const argument = Buffer.alloc(8);
  check(control(subvolume, BTRFS_IOC_SUBVOL_GETFLAGS, argument), 'ioctl');
  const flags = argument.readBigUInt64LE(0);
  const wanted = readOnly ? flags | BTRFS_SUBVOL_RDONLY : flags & ~BTRFS_SUBVOL_RDONLY;
  if (wanted === flags) return;
  argument.writeBigUInt64LE(wanted, 0);
  check(control(subvolume, BTRFS_IOC_SUBVOL_SETFLAGS, argument), 'ioctl');
}

/** From now on, the file system accounts for what subvolumes use; this changes nothing where it does already. */
export function enableQuota(fd: number): void {
  const argument = Buffer.alloc(16); // struct btrfs_ioctl_quota_ctl_args: command, status
  argument.writeBigUInt64LE(BTRFS_QUOTA_CTL_ENABLE, 0);
  check(control(fd, BTRFS_IOC_QUOTA_CTL, argument), 'ioctl');
}

/** In bytes; undefined: as much as there is. ENOTCONN: quotas are off. */
export function limitQuotaGroup(fd: number, group: bigint, limit: bigint | undefined): void {
  const argument = Buffer.alloc(48); // struct btrfs_ioctl_qgroup_limit_args: group, flags, max_rfer, max_excl, rsv_rfer, rsv_excl
  argument.writeBigUInt64LE(group, 0);
  argument.writeBigUInt64LE(BTRFS_QGROUP_LIMIT_MAX_RFER, 8);
  argument.writeBigUInt64LE(limit ?? noLimit, 16);
  check(control(fd, BTRFS_IOC_QGROUP_LIMIT, argument), 'ioctl');
}

/** EEXIST: there is one. */
export function createQuotaGroup(fd: number, group: bigint): void {
  makeQuotaGroup(fd, group, 1n);
}

/** ENOENT: there is none. EBUSY: it has members, or its subvolume is there. */
export function destroyQuotaGroup(fd: number, group: bigint): void {
  makeQuotaGroup(fd, group, 0n);
}

/** struct btrfs_ioctl_qgroup_create_args: create, group */
function makeQuotaGroup(fd: number, group: bigint, create: bigint): void {
  const argument = Buffer.alloc(16);
  argument.writeBigUInt64LE(create, 0);
  argument.writeBigUInt64LE(group, 8);
  check(control(fd, BTRFS_IOC_QGROUP_CREATE, argument), 'ioctl');
}

/**
 * What the member uses, the group of a higher level uses from now on. EEXIST: it is a member already. Where the file system
 * cannot tell how much that is at once, it counts again.
 */
export function joinQuotaGroup(fd: number, member: bigint, group: bigint): void {
  if (relateQuotaGroups(fd, member, group, 1n) > 0) rescanQuotas(fd);
}

/** ENOENT: it is none of its members. */
export function leaveQuotaGroup(fd: number, member: bigint, group: bigint): void {
  if (relateQuotaGroups(fd, member, group, 0n) > 0) rescanQuotas(fd);
}

/** struct btrfs_ioctl_qgroup_assign_args: assign, source, destination. Returns 1 if the numbers are wrong now. */
function relateQuotaGroups(fd: number, member: bigint, group: bigint, assign: bigint): number {
  const argument = Buffer.alloc(24);
  argument.writeBigUInt64LE(assign, 0);
  argument.writeBigUInt64LE(member, 8);
  argument.writeBigUInt64LE(group, 16);
  return check(control(fd, BTRFS_IOC_QGROUP_ASSIGN, argument), 'ioctl');
}

/** struct btrfs_ioctl_quota_rescan_args: flags, progress, reserved */
const rescanSize = 64;

/** Whether quotas are being counted anew: what leaves a group meanwhile is taken off twice. */
export function isRescanning(fd: number): boolean {
  const status = Buffer.alloc(rescanSize);
  check(control(fd, BTRFS_IOC_QUOTA_RESCAN_STATUS, status), 'ioctl');
  return status.readBigUInt64LE(0) !== 0n;
}

function rescanQuotas(fd: number): void {
  if (control(fd, BTRFS_IOC_QUOTA_RESCAN, Buffer.alloc(rescanSize)) === 0) return;
  const reason = errno();
  if (reason !== errnos.EINPROGRESS) throw new SystemError(reason, 'ioctl');
}
