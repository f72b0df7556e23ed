// The C library's functions, as thin as they come: numbers and Buffers in, a number out, −1 and errno on failure.
// Structures are laid out by hand where they are used, for 64-bit little-endian Linux (x86_64, aarch64, riscv64).
import { endianness } from 'node:os';
import koffi, { type KoffiFunc } from 'koffi';
import { SystemError } from './system-error.js';

export { SystemError } from './system-error.js';

if (endianness() !== 'LE' || koffi.sizeof('void *') !== 8) {
  throw new Error('machined runs on 64-bit little-endian processors only');
}

/** Memory that a call reads or writes. koffi passes its address; it must stay referenced for as long as the call runs. */
export type Memory = Uint8Array | Int32Array | Uint32Array | BigInt64Array | BigUint64Array;

const library = koffi.load(null);

/** Binds one C function. `Signature` must say in TypeScript what `declaration` says in C; nothing checks that. */
export function bind<Signature>(declaration: string): Signature {
  return library.func(declaration) as Signature;
}

/** errno of the call just made: valid only as the very next thing after it. */
export function errno(): number {
  return koffi.errno();
}

/** What C programs say of an errno: 'No such file or directory'. */
export const errorText = bind<(errno: number) => string>('const char *strerror(int)');

/** The address of a Buffer's first byte, to be stored in a structure. The Buffer must outlive that structure. */
export function addressOf(memory: Memory | ArrayBuffer): bigint {
  return koffi.address(memory);
}

/** Passes on a call's result; throws a SystemError if it is −1. To be wrapped directly around the call. */
export function check(result: number, syscall: string, path?: string): number {
  if (result < 0) throw new SystemError(koffi.errno(), syscall, path);
  return result;
}

export const epollCreate = bind<(flags: number) => number>('int epoll_create1(int)');
export const epollControl = bind<(epoll: number, operation: number, fd: number, event: Memory | null) => number>(
  'int epoll_ctl(int, int, int, void *)',
);
export const epollWait = bind<(epoll: number, events: Memory, maximum: number, milliseconds: number) => number>(
  'int epoll_wait(int, void *, int, int)',
);
export const poll = bind<(descriptors: Memory, count: number, milliseconds: number) => number>(
  'int poll(void *, unsigned long, int)',
);

export const socket = bind<(domain: number, type: number, protocol: number) => number>('int socket(int, int, int)');
export const socketPair = bind<(domain: number, type: number, protocol: number, pair: Memory) => number>(
  'int socketpair(int, int, int, void *)',
);
export const connect = bind<(fd: number, address: Memory, length: number) => number>(
  'int connect(int, const void *, unsigned int)',
);
export const bindAddress = bind<(fd: number, address: Memory, length: number) => number>(
  'int bind(int, const void *, unsigned int)',
);
export const listen = bind<(fd: number, backlog: number) => number>('int listen(int, int)');
export const accept = bind<(fd: number, address: null, length: null, flags: number) => number>(
  'int accept4(int, void *, void *, int)',
);
export const getSocketName = bind<(fd: number, address: Memory, length: Memory) => number>(
  'int getsockname(int, void *, void *)',
);
export const getSocketOption = bind<(fd: number, level: number, option: number, value: Memory, length: Memory) => number>(
  'int getsockopt(int, int, int, void *, void *)',
);
export const setSocketOption = bind<(fd: number, level: number, option: number, value: Memory, length: number) => number>(
  'int setsockopt(int, int, int, const void *, unsigned int)',
);
export const send = bind<(fd: number, bytes: Memory, length: number, flags: number) => number>(
  'intptr_t send(int, const void *, size_t, int)',
);
export const sendMessage = bind<(fd: number, message: Memory, flags: number) => number>(
  'intptr_t sendmsg(int, const void *, int)',
);
export const receiveMessage = bind<(fd: number, message: Memory, flags: number) => number>(
  'intptr_t recvmsg(int, void *, int)',
);

export const pipe = bind<(pair: Memory, flags: number) => number>('int pipe2(void *, int)');
export const fileControl = bind<(fd: number, command: number, argument: number) => number>('int fcntl(int, int, int)');
/** The same in another thread; what errno says is lost. */
export const fileControlInBackground = (fileControl as KoffiFunc<typeof fileControl>).async;
export const changeMode = bind<(fd: number, mode: number) => number>('int fchmod(int, unsigned int)');
export const fileSystemStatus = bind<(fd: number, status: Memory) => number>('int fstatfs(int, void *)');
export const processLimit = bind<(pid: number, resource: number, next: Memory | null, old: Memory | null) => number>(
  'int prlimit(int, int, const void *, void *)',
);
/** 1 for a terminal. That of node:tty loads all that Node knows of networks. */
export const isatty = bind<(fd: number) => number>('int isatty(int)');
export const clockGetTime = bind<(clock: number, time: Memory) => number>('int clock_gettime(int, void *)');

const closeDescriptor = bind<(fd: number) => number>('int close(int)');

/** Closes a descriptor that the caller owns. Linux closes it even where it reports EINTR; EBADF is a bug and throws. */
export function close(fd: number): void {
  const result = closeDescriptor(fd);
  if (result < 0 && koffi.errno() !== koffi.os.errno['EINTR']) throw new SystemError(koffi.errno(), 'close');
}

/** A second descriptor of the same open file, closed on exec. Throws SystemError (EBADF, EMFILE). */
export function duplicate(fd: number): number {
  return check(fileControl(fd, F_DUPFD_CLOEXEC, 0), 'fcntl');
}

/** Sets or clears close-on-exec and non-blocking mode. */
export function setDescriptorMode(fd: number, mode: { closeOnExec: boolean; nonBlocking: boolean }): void {
  check(fileControl(fd, F_SETFD, mode.closeOnExec ? 1 : 0), 'fcntl');
  const flags = check(fileControl(fd, F_GETFL, 0), 'fcntl');
  check(fileControl(fd, F_SETFL, mode.nonBlocking ? flags | O_NONBLOCK : flags & ~O_NONBLOCK), 'fcntl');
}

// Calls without a function in every C library that is still in use. From number 424 on, the numbers are the same on
// every architecture. syscall(2) is variadic, which makes no difference to how integers and pointers are passed here.
const syscall2 = bind<(number: number, a: number, b: number) => number>('long syscall(long, long, long)');
const syscall4 = bind<(number: number, a: number, b: number, c: Memory | null, d: number) => number>(
  'long syscall(long, long, long, void *, long)',
);

const syscall3 = bind<(number: number, a: number, b: number, c: number) => number>('long syscall(long, long, long, long)');

/** No program that is started from now on inherits this descriptor or a higher one: close_range(2). Throws SystemError. */
export function closeOnExec(first: number): void {
  check(syscall3(436, first, 0x7fffffff, CLOSE_RANGE_CLOEXEC), 'close_range');
}

/** pidfd_open(2) */
export function pidfdOpen(pid: number, flags: number): number {
  return syscall2(434, pid, flags);
}

/** pidfd_send_signal(2) */
export function pidfdSendSignal(pidfd: number, signal: number): number {
  return syscall4(424, pidfd, signal, null, 0);
}

const CLOSE_RANGE_CLOEXEC = 4;
const F_SETFD = 2;
const F_GETFL = 3;
const F_SETFL = 4;
export const F_DUPFD_CLOEXEC = 1030;
const O_NONBLOCK = 0o4000;
