import { check, close, fileControlInBackground, F_DUPFD_CLOEXEC, processLimit } from './libc.js';

const RLIMIT_NOFILE = 7; // the same on every architecture but sparc and mips

/**
 * Raises this process's soft limit on open files to the hard one: each machine and client takes descriptors, and the
 * usual soft limit of 1024 is meant for programs that use select(2). Returns both soft limits. Node does the same when
 * it starts, on the systems where it can; programs that are started from here inherit it.
 */
export function raiseOpenFilesLimit(): { before: number; after: number } {
  const limits = new BigUint64Array(2); // struct rlimit: soft, hard
  check(processLimit(0, RLIMIT_NOFILE, null, limits), 'prlimit');
  const [soft, hard] = limits as unknown as [bigint, bigint];
  if (soft !== hard) check(processLimit(0, RLIMIT_NOFILE, new BigUint64Array([hard, hard]), null), 'prlimit');
  return { before: Number(soft), after: Number(hard) };
}

/**
 * Has the kernel make room in its table for this many descriptors, in a thread of its own. The table doubles as it fills,
 * and each time a process with several threads waits for a grace period of RCU: 10 ms and more, five times on the way to
 * a thousand machines. `limit` is the soft limit on open files.
 */
export function growDescriptorTable(size: number, limit: number): void {
  const highest = Math.min(size, limit) - 1;
  fileControlInBackground(standardError, F_DUPFD_CLOEXEC, highest, (_error, fd) => {
    if (fd >= 0) close(fd); // otherwise it grows as it fills
  });
}

/** Node opens the first three if nobody has. */
const standardError = 2;
