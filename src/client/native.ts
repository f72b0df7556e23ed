// The one door to the kernel bindings: for sockets that pass descriptors, and for what is done with those. They take a
// native library, which is loaded when the first descriptor is asked for, and not at all by those who never do.
import type { ByteStream } from '../ports/stream.js';
import type { Watch } from '../host/kernel/event-loop.js';
import { MachinedError } from './error.js';

export type { Watch } from '../host/kernel/event-loop.js';

export interface Native {
  readonly connectUnix: (address: string) => Promise<ByteStream>;
  /** Two ends of a socket: a stream, and a descriptor for a program to inherit, which the caller closes. */
  readonly connectedPair: () => { readonly stream: ByteStream; readonly other: number };
  readonly close: (fd: number) => void;
  readonly pipe: () => { readonly readEnd: number; readonly writeEnd: number };
  /** A pidfd. Throws MachinedError `system` if there is no such process. */
  readonly openProcess: (pid: number) => number;
  readonly setNonBlocking: (fd: number) => void;
  readonly setWindowSize: (fd: number, columns: number, rows: number) => void;
  readonly watch: (fd: number, events: number, ready: () => void) => Watch;
  readonly EPOLLIN: number;
  readonly EPOLLOUT: number;
}

let loading: Promise<Native> | undefined;

/** Rejects with MachinedError `not-supported` where the native library is not installed. */
export function loadNative(): Promise<Native> {
  loading ??= load();
  return loading;
}

async function load(): Promise<Native> {
  try {
    const [{ connectedPair, connectUnix }, libc, { EPOLLIN, EPOLLOUT, eventHub }] = await Promise.all([
      import('../host/kernel/unix-socket.js'), import('../host/kernel/libc.js'), import('../host/kernel/event-loop.js'),
    ]);
    const control = libc.bind<(fd: number, request: number, memory: Uint8Array) => number>('int ioctl(int, unsigned long, void *)');
    return {
      connectUnix,
      connectedPair,
      close: libc.close,
      pipe: () => {
        const pair = new Int32Array(2);
        libc.check(libc.pipe(pair, O_CLOEXEC), 'pipe2');
        return { readEnd: pair[0] as number, writeEnd: pair[1] as number };
      },
      openProcess: (pid) => openProcess(() => libc.check(libc.pidfdOpen(pid, 0), 'pidfd_open'), pid),
      setNonBlocking: (fd) => libc.setDescriptorMode(fd, { closeOnExec: true, nonBlocking: true }),
      setWindowSize: (fd, columns, rows) => void libc.check(control(fd, TIOCSWINSZ, windowSize(columns, rows)), 'ioctl'),
      watch: (fd, events, ready) => eventHub().watch(fd, events, ready),
      EPOLLIN,
      EPOLLOUT,
    };
  } catch (cause) {
    throw new MachinedError('not-supported', 'Descriptors cannot be received: the package koffi cannot be loaded', { cause });
  }
}

/** Of the descriptors that came, the one that is meant; the others are closed. Rejects with MachinedError `protocol`. */
export async function onlyDescriptor(fds: readonly number[], index: number): Promise<number> {
  const { close } = await loadNative();
  for (const [position, fd] of fds.entries()) if (position !== index) close(fd);
  const fd = fds[index];
  if (fd === undefined) throw new MachinedError('protocol', 'The descriptor did not come along');
  return fd;
}

function openProcess(open: () => number, pid: number): number {
  try {
    return open();
  } catch (cause) {
    const errno = cause instanceof Error && 'code' in cause ? String(cause.code) : undefined;
    throw new MachinedError('system', `Process ${pid} cannot be opened: ${errno ?? String(cause)}`, { errno, cause });
  }
}

const O_CLOEXEC = 0o2000000;
const TIOCSWINSZ = 0x5414; // ioctl_tty(2)

/** struct winsize: rows, columns, and two sizes in pixels, 16 bits each. */
function windowSize(columns: number, rows: number): Uint8Array {
  const size = Buffer.alloc(8);
  size.writeUInt16LE(rows, 0);
  size.writeUInt16LE(columns, 2);
  return size;
}
