import { invalidArgument } from '../../domain/failure.js';
import { check, fileControl } from './libc.js';

export interface PassedDescriptor {
  readonly fd: number;
  /** FileDescriptorName= of the socket unit; 'unknown' if the service manager named none. */
  readonly name: string;
}

const firstPassed = 3; // SD_LISTEN_FDS_START
const mostPassed = 4096;
const F_SETFD = 2;
const FD_CLOEXEC = 1;

/**
 * The descriptors that the service manager started this process with: sd_listen_fds(3), and _with_names. They are closed
 * on exec, and the variables are removed from `environment`, so that no other program takes them for its own. Empty if
 * there are none, or if they are meant for another process. Throws Failure 'invalid-argument' if the variables make no
 * sense, SystemError EBADF if a descriptor is not there.
 */
export function takePassedDescriptors(environment: NodeJS.ProcessEnv): readonly PassedDescriptor[] {
  const { LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES } = environment;
  // LISTEN_PIDFDID (systemd 259) only repeats what LISTEN_PID says: a living process's own PID is not ambiguous.
  for (const name of ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES', 'LISTEN_PIDFDID']) delete environment[name];
  if (LISTEN_PID === undefined || LISTEN_FDS === undefined || Number(LISTEN_PID) !== process.pid) return [];

  const count = Number(LISTEN_FDS);
  if (!/^[0-9]+$/.test(LISTEN_FDS) || count > mostPassed) {
    throw invalidArgument('LISTEN_FDS', `LISTEN_FDS=${LISTEN_FDS} is not a number of file descriptors`);
  }
  const names = LISTEN_FDNAMES?.split(':') ?? new Array<string>(count).fill('unknown');
  if (count > 0 && names.length !== count) {
    throw invalidArgument('LISTEN_FDNAMES', `LISTEN_FDNAMES has ${names.length} names for ${count} file descriptors`);
  }
  const passed = names.slice(0, count).map((name, index) => ({ fd: firstPassed + index, name }));
  for (const { fd } of passed) check(fileControl(fd, F_SETFD, FD_CLOEXEC), 'fcntl');
  return passed;
}
