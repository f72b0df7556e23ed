import { closeSync, fstatSync, openSync } from 'node:fs';
import { bind, check } from './libc.js';

const CLONE_NEWNET = 0x40000000;

const setNamespace = bind<(fd: number, kind: number) => number>('int setns(int, int)');

let ownNetwork: number | undefined;

/** A descriptor of the network namespace of this process's main thread, kept for good. */
function ownNetworkNamespace(): number {
  ownNetwork ??= openSync('/proc/thread-self/ns/net', 'r');
  return ownNetwork;
}

/** Whether `namespace`, a descriptor of a network namespace, is the one that this process lives in. */
export function isOwnNetwork(namespace: number): boolean {
  const own = fstatSync(ownNetworkNamespace(), { bigint: true });
  const other = fstatSync(namespace, { bigint: true });
  return own.ino === other.ino && own.dev === other.dev;
}

/** A descriptor of a process's network namespace, for the caller to close. Throws Node's errors (ENOENT, EACCES). */
export function openNetworkNamespace(pid: number): number {
  return openSync(`/proc/${pid}/ns/net`, 'r');
}

/**
 * Runs `work` with this thread inside a network namespace; only sockets that it opens stay there. `work` has to be
 * synchronous. Throws SystemError EPERM without CAP_SYS_ADMIN, and what `work` throws.
 */
export function inNetworkNamespace<T>(namespace: number, work: () => T extends PromiseLike<unknown> ? never : T): T {
  const own = ownNetworkNamespace();
  check(setNamespace(namespace, CLONE_NEWNET), 'setns');
  try {
    return work();
  } finally {
    if (setNamespace(own, CLONE_NEWNET) < 0) strandedInNamespace();
  }
}

/** All that this process does from here on would happen to a guest's network: it must not go on. */
function strandedInNamespace(): never {
  process.stderr.write('machined: cannot return from the network namespace of a machine\n');
  process.abort();
}

/** Closes a descriptor of openNetworkNamespace. */
export function closeNamespace(namespace: number): void {
  closeSync(namespace);
}
