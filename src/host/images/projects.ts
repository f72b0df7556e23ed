// Limits of plain directories, by the project quotas of ext4 and xfs: every file of an image belongs to a project of its own.
// A file belongs to one project only, so that either the pool is limited or the images in it are.
import { constants, fstatSync, openSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { systemFailure, type Failure } from '../../domain/failure.js';
import { Descriptor, namesIn } from '../guests/tree-copy.js';
import { isBtrfs } from '../kernel/btrfs.js';
import { O_PATH, openUnmounted } from '../kernel/file-calls.js';
import { limitProject, readProject, readProjectQuota, setProject, type ProjectQuota } from '../kernel/project-quota.js';
import { errnoNameOf } from '../kernel/system-error.js';

/** Projects that administrators name have small numbers. */
const firstProject = 0x4000_0000;
const projects = 0x3fff_ffff;

/** Deeper than trees are; each level takes two descriptors. */
const deepest = 1024;

/** For how long an answer is taken for granted that most directories of a list get alike. In milliseconds. */
const answerHolds = 1000;

const answers = new Map<string, { readonly counts: boolean; readonly until: number }>();

/** Whether the file system that a directory is on counts what projects use. */
export function countsProjects(directory: string, fileSystem: string): boolean {
  const now = performance.now();
  const known = answers.get(fileSystem);
  if (known !== undefined && now < known.until) return known.counts;
  const counts = isCounting(directory);
  answers.set(fileSystem, { counts, until: now + answerHolds });
  return counts;
}

function isCounting(directory: string): boolean {
  using opened = openIfAllowed(directory);
  try {
    return opened !== undefined && readProjectQuota(opened.fd, 0).files >= 0n;
  } catch (error) {
    if (errnoNameOf(error) === undefined) throw error;
    return false;
  }
}

/** What a directory uses whose files are a project of their own; undefined if they are none, or nothing counts them. */
export function projectQuotaOf(directory: string): ProjectQuota | undefined {
  using opened = openIfAllowed(directory);
  const project = opened === undefined ? undefined : ownProject(opened.fd, directory);
  if (opened === undefined || project === undefined) return undefined;
  try {
    return readProjectQuota(opened.fd, project);
  } catch (error) {
    if (errnoNameOf(error) === undefined) throw error;
    return undefined;
  }
}

/** Throws Failure 'system' EOPNOTSUPP, with the reason. */
export function directoryLimit(directory: string): bigint | undefined {
  using opened = openTree(directory);
  requireQuota(opened.fd, directory);
  const project = ownProject(opened.fd, directory);
  return project === undefined ? undefined : readProjectQuota(opened.fd, project).limit;
}

/** In bytes. Throws Failure 'system' EOPNOTSUPP, with the reason, SystemError and Node's errors. */
export function limitDirectory(directory: string, limit: bigint | undefined): void {
  using opened = openTree(directory);
  requireQuota(opened.fd, directory);
  using parent = openTree(path.dirname(directory));
  if (limit !== undefined && readProject(parent.fd)?.inherited === true) {
    throw unsupported(`${path.dirname(directory)} is limited as a whole, by a project quota: what is in it cannot have another. Lift that limit first.`);
  }
  const existing = ownProject(opened.fd, directory);
  if (existing === undefined && limit === undefined) return;
  const project = existing ?? freeProject(opened.fd);
  if (limit !== undefined) assign(opened.fd, project, 0);
  limitProject(opened.fd, project, limit);
}

/** All that is in the pool together. Throws as limitDirectory does. */
export function limitPoolDirectory(pool: string, limit: bigint | undefined): void {
  using opened = openTree(pool);
  requireQuota(opened.fd, pool);
  const existing = ownProject(opened.fd, pool);
  if (limit === undefined) {
    if (existing === undefined) return;
    limitProject(opened.fd, existing, undefined);
    return setProject(opened.fd, { project: existing, inherited: false }); // images may have limits of their own from now on
  }
  const project = existing ?? freeProject(opened.fd);
  const limited = limitedEntry(opened.fd, project);
  if (limited !== undefined) {
    throw unsupported(`${pool}/${limited} has a limit of its own, by a project quota: what it is in cannot have another. Lift that limit first.`);
  }
  assign(opened.fd, project, 0);
  limitProject(opened.fd, project, limit);
}

/** Forgets the limit of a directory that is going to be removed. Returns what does so once it is gone. */
export function takeProjectOf(directory: string): (parent: number) => void {
  using opened = openIfAllowed(directory);
  const project = opened === undefined ? undefined : ownProject(opened.fd, directory);
  return (parent) => {
    try {
      if (project !== undefined) limitProject(parent, project, undefined);
    } catch (error) {
      if (errnoNameOf(error) === undefined) throw error; // nothing counts it: there was no limit
    }
  };
}

/** The project of a directory; undefined if it has none, or that of the directory that it is in. */
function ownProject(fd: number, directory: string): number | undefined {
  const project = readProject(fd)?.project ?? 0;
  if (project === 0) return undefined;
  using parent = openIfAllowed(path.dirname(directory));
  return parent !== undefined && readProject(parent.fd)?.project === project ? undefined : project;
}

/** One without files. Where it is looked for first, another process looks only for the same directory. */
function freeProject(fd: number): number {
  const inode = fstatSync(fd, { bigint: true }).ino;
  for (let offset = inode; ; offset++) {
    const project = firstProject + Number(offset % BigInt(projects));
    if (readProjectQuota(fd, project).files === 0n) return project;
  }
}

/** The name of an entry that is in another project than the whole, and is limited. */
function limitedEntry(directory: number, project: number): string | undefined {
  for (const name of namesIn(directory)) {
    using entry = openPlain(directory, name);
    const other = entry === undefined ? undefined : readProject(entry.fd)?.project;
    const isOther = entry !== undefined && other !== undefined && other !== 0 && other !== project;
    if (isOther && readProjectQuota(entry.fd, other).limit !== undefined) return String(name);
  }
  return undefined;
}

/** A directory before what is in it: what is made there meanwhile belongs to the project by itself. */
function assign(directory: number, project: number, depth: number): void {
  if (depth > deepest) return;
  setProject(directory, { project, inherited: true });
  for (const name of namesIn(directory)) {
    using entry = openPlain(directory, name);
    if (entry === undefined) continue;
    if (fstatSync(entry.fd).isDirectory()) assign(entry.fd, project, depth + 1);
    else assignFile(entry.fd, project);
  }
}

/** What is protected against changes does not grow. */
function assignFile(file: number, project: number): void {
  try {
    setProject(file, { project, inherited: false });
  } catch (error) {
    if (errnoNameOf(error) !== 'EPERM') throw error;
  }
}

/** Undefined for what is mounted there, has gone, or is neither a file nor a directory: such things take no space. */
function openPlain(directory: number, name: Buffer): Descriptor | undefined {
  try {
    using located = new Descriptor(openUnmounted(directory, name, O_PATH));
    const status = fstatSync(located.fd);
    if (!status.isFile() && !status.isDirectory()) return undefined;
    return new Descriptor(openSync(`/proc/self/fd/${located.fd}`, constants.O_RDONLY | constants.O_NONBLOCK));
  } catch (error) {
    if (['ENOENT', 'EXDEV'].includes(errnoNameOf(error) ?? '')) return undefined;
    throw error;
  }
}

function openTree(directory: string): Descriptor {
  return new Descriptor(openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY));
}

function openIfAllowed(directory: string): Descriptor | undefined {
  try {
    return openTree(directory);
  } catch (error) {
    if (['EACCES', 'ENOENT', 'ENOTDIR'].includes(errnoNameOf(error) ?? '')) return undefined;
    throw error;
  }
}

/** Throws Failure 'system' EOPNOTSUPP: nothing counts what directories use there, and why that is so. */
function requireQuota(fd: number, directory: string): void {
  try {
    readProjectQuota(fd, 0);
  } catch (error) {
    const code = errnoNameOf(error);
    if (code === undefined || code === 'EPERM') throw error;
    throw unsupported(reasonAgainst(fd, directory, code));
  }
}

function reasonAgainst(fd: number, directory: string, code: string): string {
  const { type, point } = mountOf(fd);
  const where = `${directory} is a directory on ${type}`;
  if (isBtrfs(fd)) return `${where}: only its subvolumes can be limited.`;
  if (type !== 'ext4' && type !== 'xfs') return `${where}: limits need btrfs, or ext4 or xfs with project quotas.`;
  if (code === 'ENOSYS') return `${where}, and this kernel has no quotas for it.`;
  const preparation = type === 'ext4' ? ' (once before, unmounted: tune2fs -O project,quota -Q prjquota)' : '';
  return `${where} that is mounted at ${point} without project quotas: mount it with the option prjquota${preparation}.`;
}

/** The type of the file system, and where it is mounted. Source: proc_pid_fdinfo(5), proc_pid_mountinfo(5). */
function mountOf(fd: number): { readonly type: string; readonly point: string } {
  const id = /^mnt_id:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1];
  const line = readFileSync('/proc/self/mountinfo', 'utf8').split('\n').find((each) => each.startsWith(`${id} `)) ?? '';
  const [mount = '', fileSystem = ''] = line.split(' - ');
  return { type: fileSystem.split(' ')[0] ?? 'a file system', point: mount.split(' ')[4] ?? '/' };
}

function unsupported(reason: string): Failure {
  return systemFailure('EOPNOTSUPP', reason);
}
