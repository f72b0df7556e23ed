// Process file descriptors: pidfd_open(2), pidfd_send_signal(2). Nothing here can mean another process than intended.
import { inodeOfDescriptor } from './file-status.js';
import { check, errno, fileSystemStatus, pidfdOpen, poll } from './libc.js';
import { readProcFile } from './proc-file.js';
import { errnos, SystemError } from './system-error.js';

const pidfsMagic = 0x50494446; // Linux 6.9: before, all pidfds shared one anonymous inode
const POLLIN = 0x1;
const largestPid = 0x7fffffff;
const threadFlag = 0o200; // PIDFD_THREAD: the descriptor means one thread, and ends with it

/** A new pidfd, closed on exec. Throws SystemError: ESRCH if there is no such process (a thread is none), EMFILE. */
export function openPidfd(pid: number): number {
  // The kernel reads an int: a larger number would come to mean another process.
  if (!Number.isInteger(pid) || pid < 1 || pid > largestPid) throw new SystemError(errnos.ESRCH, 'pidfd_open');
  try {
    return check(pidfdOpen(pid, 0), 'pidfd_open');
  } catch (error) {
    const isThread = error instanceof SystemError && (error.errno === errnos.EINVAL || error.errno === errnos.ENOENT);
    throw isThread ? new SystemError(errnos.ESRCH, 'pidfd_open') : error;
  }
}

/**
 * The PID that a pidfd stands for. Throws SystemError: EBADF if the descriptor is no pidfd of a process, ESRCH if the
 * process has been reaped or lives in a PID namespace that cannot be seen from here.
 */
export function pidOfPidfd(fd: number): number {
  const info = readProcFile(`/proc/self/fdinfo/${fd}`); // the lines: proc_pid_fdinfo(5)
  const pid = /^Pid:\s*(-?[0-9]+)$/m.exec(info ?? '')?.[1];
  const flags = /^flags:\s*([0-7]+)$/m.exec(info ?? '')?.[1];
  const isThread = flags !== undefined && (parseInt(flags, 8) & threadFlag) !== 0;
  if (pid === undefined || isThread) throw new SystemError(errnos.EBADF, 'pidfd');
  if (Number(pid) < 1) throw new SystemError(errnos.ESRCH, 'pidfd');
  return Number(pid);
}

/** Whether the process still runs: a zombie does not. */
export function isPidfdAlive(fd: number): boolean {
  pollDescriptor.writeInt32LE(fd, 0);
  pollDescriptor.writeInt16LE(POLLIN, 4);
  let ready: number;
  // poll(2) reports a signal that comes in (SIGCHLD, say) even if it was not to wait
  do ready = poll(pollDescriptor, 1, 0);
  while (ready < 0 && errno() === errnos.EINTR);
  return check(ready, 'poll') === 0;
}
const pollDescriptor = Buffer.alloc(8);

/** The number that no other process of this boot has; undefined where the kernel has no pidfs. */
export function pidfdIdOf(fd: number): bigint | undefined {
  hasPidfs ??= fileSystemMagic(fd) === pidfsMagic;
  return hasPidfs ? inodeOfDescriptor(fd) : undefined;
}
let hasPidfs: boolean | undefined;

function fileSystemMagic(fd: number): number {
  const status = Buffer.alloc(256); // struct statfs is 120 bytes; f_type comes first
  check(fileSystemStatus(fd, status), 'fstatfs');
  return status.readUInt32LE(0);
}
