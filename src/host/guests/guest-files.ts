// What a helper does with the files of guests. It may wait for ever there: only a helper process may call this.
import path from 'node:path';
import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { isFailure, systemFailure } from '../../domain/failure.js';
import type { ProcessIdentity } from '../../domain/machine.js';
import { UndoStack } from '../../domain/undo.js';
import type { BindRequest, CopyRequest } from '../../ports/guest-files.js';
import { makeDirectory, makeNode, O_PATH } from '../kernel/file-calls.js';
import { locateInRoot, makeFilesAs, withFileRightsOf } from '../kernel/guest-root.js';
import { errorText } from '../kernel/libc.js';
import { attachMount, cloneMount, makePrivate, mapOwners } from '../kernel/mounts.js';
import { errnoNameOf, errnos, SystemError } from '../kernel/system-error.js';
import { inRootOf, type GuestUser } from './guest-root-user.js';
import { TreeCopy, type Place } from './tree-copy.js';

const S_IFREG = 0o100000;

/** A descriptor of a process's root directory, readable. Throws Failure 'system': ESRCH, EACCES. */
export function openRootDirectory(leader: ProcessIdentity): number {
  return explained('', () =>
    inRootOf(leader, (root) => openSync(`/proc/self/fd/${root}`, constants.O_RDONLY | constants.O_DIRECTORY)),
  );
}

/** Changes what this process makes files as: to be called once in its life. Throws Failure 'system'. */
export function copyFiles(leader: ProcessIdentity, request: CopyRequest): void {
  explained('', () => inRootOf(leader, (root, rootUser) => copyInto(root, rootUser, request)));
}

function copyInto(root: number, rootUser: GuestUser | undefined, request: CopyRequest): void {
  const { direction, source, destination, replace } = request;
  using opened = new UndoStack();
  const [from, to] =
    direction === 'to'
      ? [placeInHost(source, opened), placeInGuest(root, destination, opened)]
      : [placeInGuest(root, source, opened), placeInHost(destination, opened)];
  process.umask(0); // files get the modes that they have in the source
  if (rootUser !== undefined && direction === 'to') makeFilesAs(rootUser.uid, rootUser.gid);
  const owner = rootUser === undefined ? undefined : direction === 'to' ? rootUser : { uid: 0, gid: 0 };
  // Who runs a copy of a guest's program is not to become the host's root by it.
  const copy = new TreeCopy({ owner, replace, dropsIdBits: owner !== undefined && direction === 'from', faithful: false });
  copy.copy(from, to);
}

function placeInGuest(root: number, file: string, opened: UndoStack): Place {
  return { directory: keep(opened, locateInRoot(root, path.dirname(file))), name: nameOf(file) };
}

function placeInHost(file: string, opened: UndoStack): Place {
  return { directory: keep(opened, openSync(path.dirname(file), O_PATH)), name: nameOf(file) };
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

/** Throws Failure 'system'. */
export function bindMount(leader: ProcessIdentity, request: BindRequest): void {
  const { source, destination } = request;
  explained(`Failed to mount ${source} on ${destination} in machine's namespace: `, () => {
    inRootOf(leader, (root, rootUser, pin) => {
      using opened = new UndoStack();
      const namespace = keep(opened, openSync(`/proc/${leader.pid}/ns/mnt`, 'r'));
      const userNamespace = keep(opened, openSync(`/proc/${leader.pid}/ns/user`, 'r'));
      pin.assertAlive(); // so that the namespaces are this process's
      const original = keep(opened, openSync(source, O_PATH));
      const mount = keep(opened, cloneMount(original));
      makePrivate(mount, request.readOnly);
      if (!isOwnUserNamespace(userNamespace)) mapOwnersOrRefuse(mount, userNamespace);
      const isDirectory = fstatSync(original).isDirectory();
      const find = () => locateDestination(root, request, isDirectory);
      const target = keep(opened, rootUser === undefined ? find() : withFileRightsOf(rootUser.uid, rootUser.gid, find));
      attachMount(mount, target, namespace);
    });
  });
}

function isOwnUserNamespace(namespace: number): boolean {
  const own = openSync('/proc/self/ns/user', 'r');
  try {
    return fstatSync(own, { bigint: true }).ino === fstatSync(namespace, { bigint: true }).ino;
  } finally {
    closeSync(own);
  }
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
