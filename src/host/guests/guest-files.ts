// What a helper does with the files of guests. It may wait for ever there: only a helper process may call this.
import path from 'node:path';
import { closeSync, constants, fstatSync, openSync, statSync } from 'node:fs';
import { isFailure, systemFailure } from '../../domain/failure.js';
import type { ProcessIdentity } from '../../domain/machine.js';
import { UndoStack } from '../../domain/undo.js';
import type { BindRequest, CopyRequest } from '../../ports/guest-files.js';
import { makeDirectory, makeNode, O_PATH, openEntry } from '../kernel/file-calls.js';
import { locateInRoot, makingFilesAs, withFileRightsOf } from '../kernel/guest-root.js';
import { errorText } from '../kernel/libc.js';
import { rootOfMount } from '../kernel/file-status.js';
import { attachMount, cloneMount, detachMount, makePrivate, mapOwners } from '../kernel/mounts.js';
import { errnoNameOf, errnos, SystemError } from '../kernel/system-error.js';
import { inRootOf, type GuestUser } from './guest-root-user.js';
import { removeLeftovers, TreeCopy } from './tree-copy.js';
import type { Meter } from './work-meter.js';

const S_IFREG = 0o100000;

/** A descriptor of a process's root directory, readable. Throws Failure 'system': ESRCH, EACCES. */
export function openRootDirectory(leader: ProcessIdentity): number {
  return explained('', () =>
    inRootOf(leader, (root) => openSync(`/proc/self/fd/${root}`, constants.O_RDONLY | constants.O_DIRECTORY)),
  );
}

export interface LocatedCopy {
  /** null: the guest's is the host's, or we are not root ourselves. */
  readonly rootUser: GuestUser | null;
  /** The directories of the source and of the destination, for the caller to close. */
  readonly from: number;
  readonly to: number;
}

/** Finds both ends of a copy. Throws Failure 'system': ENOENT if there is no source, or no directory to copy it into. */
export function locateCopy(leader: ProcessIdentity, { machine, direction, source, destination }: CopyRequest): LocatedCopy {
  return explained('', () =>
    inRootOf(leader, (root, rootUser) => {
      using opened = new UndoStack();
      const inGuest = (directory: string) => locateInRoot(root, directory);
      const inHost = (directory: string) => explained(`Failed to copy from/to machine '${machine}': `, () => openSync(directory, O_PATH));
      const [findSource, findDestination] = direction === 'to' ? [inHost, inGuest] : [inGuest, inHost];
      const from = keep(opened, findSource(path.dirname(source)));
      const to = keep(opened, findDestination(path.dirname(destination)));
      // Whoever does not answer is to be found out here, where there is a time limit.
      if (!isThere(from, nameOf(source))) throw new SystemError(errnos.ENOENT, 'openat2', source);
      isThere(to, nameOf(destination));
      opened.keep();
      return { rootUser: rootUser ?? null, from, to };
    }),
  );
}

/** Leaves this process without an umask. Throws Failure 'system'. */
export function copyFiles(located: LocatedCopy, request: CopyRequest, temporary: string, meter: Meter): void {
  const { rootUser, from, to } = located;
  const { direction, source, destination, replace } = request;
  explained('', () => {
    process.umask(0); // files get the modes that they have in the source
    const owner = rootUser === null ? undefined : direction === 'to' ? rootUser : { uid: 0, gid: 0 };
    // Who runs a copy of a guest's program is not to become the host's root by it.
    const dropsIdBits = owner !== undefined && direction === 'from';
    const copy = new TreeCopy({ owner, replace, faithful: false, dropsIdBits, temporary, meter });
    const carryOut = () => copy.copy({ directory: from, name: nameOf(source) }, { directory: to, name: nameOf(destination) });
    if (rootUser === null || direction === 'from') carryOut();
    else makingFilesAs(rootUser.uid, rootUser.gid, carryOut);
  });
}

/** What a copy that was killed has left. Throws Failure 'system': ENOENT if its destination is not there any more. */
export function removeCopyLeftovers(leader: ProcessIdentity, { direction, destination }: CopyRequest, temporary: string): void {
  const remove = (to: number) => {
    try {
      removeLeftovers({ directory: to, name: nameOf(destination) }, Buffer.from(temporary));
    } finally {
      closeSync(to);
    }
  };
  explained('', () => {
    if (direction === 'from') remove(openSync(path.dirname(destination), O_PATH));
    else inRootOf(leader, (root) => remove(locateInRoot(root, path.dirname(destination))));
  });
}

function isThere(directory: number, name: Buffer): boolean {
  try {
    closeSync(openEntry(directory, name, O_PATH));
    return true;
  } catch (error) {
    if (errnoNameOf(error) === 'ENOENT') return false;
    throw error;
  }
}

/** The last part of a path. One that leads back up would lead out of the guest, as it is looked up without its root. */
function nameOf(file: string): Buffer {
  const name = path.basename(file);
  if (name === '' || name === '.' || name === '..') throw new SystemError(errnos.EINVAL, 'openat', file);
  return Buffer.from(name);
}

function keep(opened: UndoStack, fd: number): number {
  opened.defer(() => closeSync(fd));
  return fd;
}

/** Returns the kernel's id of the new mount. Throws Failure 'system'. */
export function bindMount(leader: ProcessIdentity, request: BindRequest): string {
  const { source, destination } = request;
  return explained(`Failed to mount ${source} on ${destination} in machine's namespace: `, () =>
    inRootOf(leader, (root, rootUser, pin) => {
      using opened = new UndoStack();
      const namespace = keep(opened, openSync(`/proc/${leader.pid}/ns/mnt`, 'r'));
      // What is mounted there would be on the host's own files.
      if (isOwnNamespace('mnt', namespace)) throw new SystemError(errnos.EINVAL, 'move_mount');
      const userNamespace = keep(opened, openSync(`/proc/${leader.pid}/ns/user`, 'r'));
      pin.assertAlive(); // so that the namespaces are this process's
      const original = keep(opened, openSync(source, O_PATH));
      const mount = keep(opened, cloneMount(original));
      makePrivate(mount, request.readOnly);
      if (!isOwnNamespace('user', userNamespace)) mapOwnersOrRefuse(mount, userNamespace);
      const isDirectory = fstatSync(original).isDirectory();
      const find = () => locateDestination(root, request, isDirectory);
      const target = keep(opened, rootUser === undefined ? find() : withFileRightsOf(rootUser.uid, rootUser.gid, find));
      attachMount(mount, target, namespace);
      return String(rootOfMount(mount));
    }),
  );
}

/**
 * Takes away what is mounted on a path of the guest if it is one of `mounts`, ids of mounts that bindMount made; which one
 * it was. Throws Failure 'system': EINVAL (it is none of them), EBUSY, ENOENT.
 */
export function unbindMount(leader: ProcessIdentity, destination: string, mounts: readonly string[]): string {
  return explained(`Failed to take away what is mounted on ${destination} in machine's namespace: `, () =>
    inRootOf(leader, (root, rootUser, pin) => {
      using opened = new UndoStack();
      const namespace = keep(opened, openSync(`/proc/${leader.pid}/ns/mnt`, 'r'));
      pin.assertAlive(); // so that the namespace is this process's
      const name = nameOf(destination);
      const find = () => locateInRoot(root, path.dirname(destination));
      const parent = keep(opened, rootUser === undefined ? find() : withFileRightsOf(rootUser.uid, rootUser.gid, find));
      const mount = mountedOn(parent, name);
      if (mount === undefined || !mounts.includes(String(mount))) {
        throw systemFailure('EINVAL', `Nothing that was bound into the machine is mounted on ${destination}`);
      }
      detachOrExplain(parent, name, namespace, destination);
      return String(mount);
    }),
  );
}

/** Keeps nothing of it open: that would keep it busy. */
function mountedOn(directory: number, name: Buffer): bigint | undefined {
  const entry = openEntry(directory, name, O_PATH);
  try {
    return rootOfMount(entry);
  } finally {
    closeSync(entry);
  }
}

function detachOrExplain(parent: number, name: Buffer, namespace: number, destination: string): void {
  try {
    detachMount(parent, name, namespace);
  } catch (error) {
    if (errnoNameOf(error) !== 'EBUSY') throw error;
    throw systemFailure('EBUSY', `What is mounted on ${destination} is in use in the machine: end the processes that use it first`, error);
  }
}

function isOwnNamespace(kind: 'mnt' | 'user', namespace: number): boolean {
  return statSync(`/proc/self/ns/${kind}`, { bigint: true }).ino === fstatSync(namespace, { bigint: true }).ino;
}

function mapOwnersOrRefuse(mount: number, userNamespace: number): void {
  try {
    mapOwners(mount, userNamespace);
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    throw systemFailure('EOPNOTSUPP', "Can't bind mount on container with user namespacing applied.", error);
  }
}

/** Where the last part of the destination is a symbolic link, it is not followed: nothing can be mounted there. */
function locateDestination(root: number, { destination, makeDestination }: BindRequest, isDirectory: boolean): number {
  const found = locateUnlessMissing(root, destination);
  if (found !== undefined) return found;
  if (!makeDestination) throw new SystemError(errnos.ENOENT, 'openat2', destination);
  makeDirectories(root, path.dirname(destination));
  const parent = locateInRoot(root, path.dirname(destination));
  try {
    const name = nameOf(destination);
    if (isDirectory) makeDirectory(parent, name, 0o755);
    else makeNode(parent, name, S_IFREG | 0o644, 0n);
  } finally {
    closeSync(parent);
  }
  return locateInRoot(root, destination, false);
}

function makeDirectories(root: number, directory: string): void {
  const found = locateUnlessMissing(root, directory);
  if (found !== undefined) return closeSync(found);
  makeDirectories(root, path.dirname(directory));
  const parent = locateInRoot(root, path.dirname(directory));
  try {
    makeDirectory(parent, nameOf(directory), 0o755);
  } finally {
    closeSync(parent);
  }
}

function locateUnlessMissing(root: number, file: string): number | undefined {
  try {
    return locateInRoot(root, file, false);
  } catch (error) {
    if (errnoNameOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** Callers are told what C programs say of an errno. */
function explained<T>(attempt: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    const code = errnoNameOf(error);
    if (isFailure(error) || code === undefined) throw error;
    throw systemFailure(code, attempt + errorText(errnos[code] ?? errnos.EIO), error);
  }
}
