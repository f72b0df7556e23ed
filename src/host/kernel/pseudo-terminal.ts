// Pseudo-terminals of a devpts file system that need not be our own: pty(7), ioctl_tty(2).
import { chownSync, constants, fstatSync, openSync } from 'node:fs';
import { closeLocated, locateInRoot } from './guest-root.js';
import { bind, check, close, fileSystemStatus, type Memory } from './libc.js';
import { errnos, SystemError } from './system-error.js';

const TIOCGPTN = 0x80045430;
const TIOCSPTLCK = 0x40045431;
const TIOCGPTPEER = 0x5441;
const O_CLOEXEC = 0o2000000;
const multiplexer = 0x502; // device 5:2, the same everywhere: Documentation/admin-guide/devices.txt
const devptsMagic = 0x1cd1;

const controlMemory = bind<(fd: number, request: number, memory: Memory) => number>('int ioctl(int, unsigned long, void *)');
const controlNumber = bind<(fd: number, request: number, argument: number) => number>('int ioctl(int, unsigned long, long)');

export interface PseudoTerminal {
  /** The other end is /dev/pts/NUMBER in the root directory that this was opened in. */
  readonly number: number;
  readonly master: number;
}

/**
 * A new terminal of the devpts that is mounted below a root directory; `owner` is the user whose terminal it is. The caller
 * closes the descriptor. The walk may wait for ever, in a file system that a guest serves. Throws SystemError: ENOENT
 * if there is none, ENXIO if what is there is something else.
 */
export function openTerminalIn(root: number, owner: number): PseudoTerminal {
  const master = openMultiplexer(root);
  try {
    const number = new Int32Array(1);
    check(controlMemory(master, TIOCGPTN, number), 'ioctl');
    const terminal = { number: number[0] as number, master };
    giveTo(owner, root, terminal.number);
    check(controlMemory(master, TIOCSPTLCK, new Int32Array([0])), 'ioctl');
    return terminal;
  } catch (error) {
    close(master);
    throw error;
  }
}

/** The other end, for the caller to close: once it has been open, its last closing is a hang-up. Throws SystemError. */
export function openSlave(master: number): number {
  return check(controlNumber(master, TIOCGPTPEER, constants.O_RDWR | constants.O_NOCTTY | O_CLOEXEC), 'ioctl');
}

/** Not by way of an open slave: the hang-up when that is closed would end a terminal that nothing uses yet. */
function giveTo(owner: number, root: number, number: number): void {
  const path = `dev/pts/${number}`;
  const located = locateInRoot(root, path);
  try {
    const status = fstatSync(located);
    const isTerminal = status.isCharacterDevice() && magicOf(located) === devptsMagic && status.rdev === deviceOf(number);
    if (!isTerminal) throw new SystemError(errnos.ENXIO, 'open', path);
    if (status.uid !== owner) chownSync(`/proc/self/fd/${located}`, owner, status.gid);
  } finally {
    closeLocated(located);
  }
}

/** Major number 136 and on, 256 terminals each; makedev(3) as the kernel encodes a dev_t. */
function deviceOf(number: number): number {
  return ((136 + (number >> 8)) << 8) | (number & 0xff);
}

/** Opening any other device could have effects; so it is looked at first. */
function openMultiplexer(root: number): number {
  const located = locateInRoot(root, 'dev/pts/ptmx');
  try {
    const status = fstatSync(located);
    if (!status.isCharacterDevice() || status.rdev !== multiplexer || magicOf(located) !== devptsMagic) {
      throw new SystemError(errnos.ENXIO, 'open', '/dev/pts/ptmx');
    }
    return openSync(`/proc/self/fd/${located}`, constants.O_RDWR | constants.O_NOCTTY);
  } finally {
    closeLocated(located);
  }
}

function magicOf(fd: number): number {
  const status = Buffer.alloc(256); // struct statfs is 120 bytes; f_type comes first
  check(fileSystemStatus(fd, status), 'fstatfs');
  return status.readUInt32LE(0);
}
