import { closeSync, constants, openSync, readFileSync } from 'node:fs';
import { isHiddenImage, type Image, type ImageType } from '../../domain/image.js';
import { quotaIfOn, readSubvolume, type Subvolume, type SubvolumeQuota } from '../kernel/btrfs.js';
import { isOnReadOnlyMount, readAttribute, type FileStatus } from '../kernel/file-status.js';
import type { ProjectQuota } from '../kernel/project-quota.js';
import { errnoNameOf } from '../kernel/system-error.js';
import { countsProjects, projectQuotaOf } from './projects.js';

const subvolumeInode = 256n; // the root of every btrfs subvolume has it, and files of other file systems may

/** What becomes of a file: an image, and the sign that it stays one like this for as long as its status is the same. */
export interface Description {
  readonly image: Image;
  readonly lasting: boolean;
}

/**
 * Describes a directory, regular file or block device as an image. `path` is free of symbolic links; `inReadOnlyPlace` is
 * what isReadOnlyPlace says of it. Throws what the system says, if the file is gone for example.
 */
export function describeImage(name: string, path: string, status: FileStatus, inReadOnlyPlace: boolean): Description {
  const readOnly = isHiddenImage(name) || inReadOnlyPlace;
  if (status.kind === 'file') return { image: describeRaw(name, path, status, readOnly), lasting: true };
  if (status.kind === 'block') return { image: describeBlock(name, path, status, readOnly), lasting: false };
  const isStack = path.endsWith('.mstack');
  if (!isStack && status.inode === subvolumeInode) {
    const image = describeSubvolume(name, path, readOnly);
    if (image !== undefined) return { image, lasting: false }; // no status tells of its quota
  }
  const type: ImageType = isStack ? 'mstack' : 'directory';
  const quota = countsProjects(path, status.fileSystem) ? projectQuotaOf(path) : undefined;
  // a project that a directory gets changes its status, what files in it use does not
  return { image: describeDirectory(name, path, type, status, readOnly, quota), lasting: quota === undefined };
}

/** Images of the vendor's are no more to be changed than those on a file system that is mounted read-only. */
export function isReadOnlyPlace(path: string): boolean {
  return path === '/usr' || path.startsWith('/usr/') || isOnReadOnlyMount(path);
}

function describeDirectory(
  name: string,
  path: string,
  type: ImageType,
  status: FileStatus,
  readOnly: boolean,
  quota: ProjectQuota | undefined,
): Image {
  return {
    name,
    path,
    type,
    readOnly: readOnly || status.immutable,
    creationTime: creationTime(path, status),
    modificationTime: 0n, // its own time says little about the tree
    usage: quota?.usage,
    usageExclusive: quota?.usage,
    limit: quota?.limit,
    limitExclusive: quota?.limit,
  };
}

function describeRaw(name: string, path: string, status: FileStatus, readOnly: boolean): Image {
  return {
    name,
    path,
    type: 'raw',
    readOnly: readOnly || (status.mode & 0o222) === 0,
    creationTime: creationTime(path, status),
    modificationTime: status.modified,
    usage: status.allocated,
    usageExclusive: status.allocated,
    limit: status.size,
    limitExclusive: status.size,
  };
}

function describeBlock(name: string, path: string, status: FileStatus, readOnly: boolean): Image {
  const { major, minor } = status.device;
  const sectors = readDeviceFact(major, minor, 'size');
  // a device without a medium has none
  const size = sectors === undefined || sectors === 0n ? undefined : sectors * 512n; // whatever the device's own sectors have
  return {
    name,
    path,
    type: 'block',
    readOnly: readOnly || readDeviceFact(major, minor, 'ro') === 1n,
    creationTime: 0n,
    modificationTime: 0n,
    usage: size,
    usageExclusive: size,
    limit: size,
    limitExclusive: size,
  };
}

/** A number that sysfs(5) has of a block device, which so need not be opened; undefined if there is no such device. */
function readDeviceFact(major: number, minor: number, fact: 'size' | 'ro'): bigint | undefined {
  try {
    return BigInt(readFileSync(`/sys/dev/block/${major}:${minor}/${fact}`, 'utf8').trim());
  } catch (error) {
    if (errnoNameOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** Undefined if it is none, or one that this process may not look into. */
function describeSubvolume(name: string, path: string, readOnly: boolean): Image | undefined {
  const found = lookIntoSubvolume(path);
  if (found === undefined) return undefined;
  const { subvolume, quota } = found;
  return {
    name,
    path,
    type: 'subvolume',
    readOnly: readOnly || subvolume.readOnly,
    creationTime: subvolume.created,
    modificationTime: subvolume.changed,
    usage: quota?.referenced,
    usageExclusive: quota?.exclusive,
    limit: quota?.limit,
    limitExclusive: quota?.exclusiveLimit,
  };
}

function lookIntoSubvolume(path: string): { subvolume: Subvolume; quota: SubvolumeQuota | undefined } | undefined {
  const fd = unless(['EACCES'], () => openSync(path, constants.O_RDONLY | constants.O_DIRECTORY));
  if (fd === undefined) return undefined;
  try {
    const subvolume = unless(['ENOTTY', 'EOPNOTSUPP', 'EINVAL'], () => readSubvolume(fd));
    if (subvolume === undefined) return undefined;
    return { subvolume, quota: unless(['EPERM'], () => quotaIfOn(fd, subvolume.id)) };
  } finally {
    closeSync(fd);
  }
}

/** What `look` returns; undefined if the system refuses it in one of these ways. */
function unless<T>(refusals: readonly string[], look: () => T): T | undefined {
  try {
    return look();
  } catch (error) {
    if (refusals.includes(errnoNameOf(error) ?? '')) return undefined;
    throw error;
  }
}

/** A copy is younger than its contents: systemd's tools keep the older time in an attribute. */
function creationTime(path: string, status: FileStatus): bigint {
  const kept = readAttribute(path, 'user.crtime_usec', 8)?.readBigUInt64LE(0) ?? 0n;
  const isKept = kept !== 0n && kept !== 0xffff_ffff_ffff_ffffn;
  if (!isKept) return status.born;
  return status.born === 0n || kept < status.born ? kept : status.born;
}
