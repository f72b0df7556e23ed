// Mounts that are held by a descriptor until they get their place: open_tree(2), mount_setattr(2), move_mount(2); and taking them off it.
import { closeSync, openSync } from 'node:fs';
import { bind, check, type Memory } from './libc.js';

const OPEN_TREE_CLONE = 0x1;
const OPEN_TREE_CLOEXEC = 0o2000000;
const AT_EMPTY_PATH = 0x1000;
const MOVE_MOUNT_F_EMPTY_PATH = 0x4;
const MOVE_MOUNT_T_EMPTY_PATH = 0x40;
const MOUNT_ATTR_RDONLY = 0x1n;
const MOUNT_ATTR_IDMAP = 0x100000n;
const MS_PRIVATE = BigInt(1 << 18);
const CLONE_FS = 0x200;
const CLONE_NEWNS = 0x20000;
const UMOUNT_NOFOLLOW = 0x8;

const openTree = bind<(number: 428, directory: number, path: Memory, flags: number) => number>(
  'long syscall(long, long, const void *, long)',
);
const setAttributes = bind<(number: 442, directory: number, path: Memory, flags: number, attributes: Memory, size: number) => number>(
  'long syscall(long, long, const void *, long, void *, long)',
);
const moveTree = bind<(number: 429, from: number, path: Memory, to: number, toPath: Memory, flags: number) => number>(
  'long syscall(long, long, const void *, long, const void *, long)',
);
const setNamespace = bind<(fd: number, kind: number) => number>('int setns(int, int)');
const unshare = bind<(what: number) => number>('int unshare(int)');
const changeDirectory = bind<(fd: number) => number>('int fchdir(int)');
const unmount = bind<(path: Memory, flags: number) => number>('int umount2(const void *, int)');

const itself = Buffer.from('\0');

/** A mount that shows what `fd` stands for, without the mounts below it, and has no place yet. Throws SystemError. */
export function cloneMount(fd: number): number {
  return check(openTree(428, fd, itself, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH), 'open_tree');
}

/** What is mounted below it on one side does not appear on the other. Throws SystemError. */
export function makePrivate(mount: number, readOnly: boolean): void {
  change(mount, readOnly ? MOUNT_ATTR_RDONLY : 0n, MS_PRIVATE, 0n);
}

/** Files appear with the owners that a user namespace maps them to. Throws SystemError: EINVAL, EPERM where this cannot be. */
export function mapOwners(mount: number, userNamespace: number): void {
  change(mount, MOUNT_ATTR_IDMAP, 0n, BigInt(userNamespace));
}

function change(mount: number, set: bigint, propagation: bigint, userNamespace: bigint): void {
  const attributes = Buffer.alloc(32); // struct mount_attr: set, clear, propagation, user namespace
  attributes.writeBigUInt64LE(set, 0);
  attributes.writeBigUInt64LE(propagation, 16);
  attributes.writeBigUInt64LE(userNamespace, 24);
  check(setAttributes(442, mount, itself, AT_EMPTY_PATH, attributes, attributes.length), 'mount_setattr');
}

/**
 * Gives a mount its place, on what `target` stands for in another mount namespace. Only to be called in a process that has
 * nothing else to do with files meanwhile. Throws SystemError: EINVAL where one is a directory and the other is not.
 */
export function attachMount(mount: number, target: number, namespace: number): void {
  inMountNamespace(namespace, () => {
    check(moveTree(429, mount, itself, target, itself, MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH), 'move_mount');
  });
}

/**
 * Takes away what is mounted on an entry of a directory, in another mount namespace; a symbolic link is not followed. Only to
 * be called in a process that has nothing else to do with files meanwhile. Throws SystemError: EBUSY while it is in use,
 * EINVAL if nothing is mounted there.
 */
export function detachMount(directory: number, name: Uint8Array, namespace: number): void {
  inMountNamespace(namespace, () => {
    check(changeDirectory(directory), 'fchdir');
    check(unmount(Buffer.concat([name, itself]), UMOUNT_NOFOLLOW), 'umount2');
  });
}

/** `work` finds nothing by a path that it would find outside. Going back changes root and current directory, too. */
function inMountNamespace(namespace: number, work: () => void): void {
  const own = openSync('/proc/thread-self/ns/mnt', 'r');
  try {
    check(unshare(CLONE_FS), 'unshare'); // the threads of a process share their root, which keeps them in one namespace
    check(setNamespace(namespace, CLONE_NEWNS), 'setns');
    try {
      work();
    } finally {
      if (setNamespace(own, CLONE_NEWNS) < 0) process.abort(); // the next path would be a guest's
    }
  } finally {
    closeSync(own);
  }
}
