import { check, close, errno, fileControlInBackground, F_DUPFD_CLOEXEC, processLimit } from './libc.js';
import { errnos, SystemError } from './system-error.js';

const RLIMIT_DATA = 2;
const RLIMIT_NOFILE = 7; // the same on every architecture but sparc and mips
const RLIM_NLIMITS = 16;

/** What select(2) can do, and what service managers give to programs: who wants more raises it. */
const usualOpenFiles = 1024n;

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
 * Lets this process have so many bytes of memory of its own, and no more: V8 ends it when it needs more. A flag of V8's would
 * bound nothing but its heap, and have Node refuse the compiled code that it comes with, which takes 15 ms more to start.
 */
export function limitMemory(bytes: number): void {
  const limits = new BigUint64Array(2);
  check(processLimit(0, RLIMIT_DATA, null, limits), 'prlimit');
  const hard = limits[1] as bigint;
  const limit = hard < bytes ? hard : BigInt(bytes);
  check(processLimit(0, RLIMIT_DATA, new BigUint64Array([limit, limit]), null), 'prlimit');
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

/** The soft and the hard limit of each resource, by its number: getrlimit(2). Decimal: JSON has no numbers of 64 bits. */
export type Limits = readonly (readonly [soft: string, hard: string])[];

/** Those of a process. Throws SystemError: ESRCH, EPERM. */
export function limitsOf(pid: number): Limits {
  return Array.from({ length: RLIM_NLIMITS }, (_, resource) => {
    const limits = new BigUint64Array(2); // struct rlimit: soft, hard
    check(processLimit(pid, resource, null, limits), 'prlimit');
    return [String(limits[0]), String(limits[1])] as const;
  });
}

/** As limits of a process that is to be one like another: service managers raise their own limit on open files. */
export function limitsOfPeer(limits: Limits): Limits {
  return limits.map(([soft, hard], resource) => {
    return resource === RLIMIT_NOFILE && BigInt(soft) > usualOpenFiles ? [String(usualOpenFiles), hard] : [soft, hard];
  });
}

/** Sets those of a process. What is more than may be given stays as it is. Throws SystemError: ESRCH. */
export function setLimits(pid: number, limits: Limits): void {
  limits.forEach(([soft, hard], resource) => {
    if (processLimit(pid, resource, new BigUint64Array([BigInt(soft), BigInt(hard)]), null) === 0) return;
    const reason = errno();
    if (reason !== errnos.EPERM) throw new SystemError(reason, 'prlimit');
  });
}
