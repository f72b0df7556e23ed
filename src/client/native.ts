// The one door to the kernel bindings: for sockets that pass descriptors, and for what is done with those. They take a
// native library, which is loaded when the first descriptor is asked for, and not at all by those who never do.
import type { ByteStream } from '../ports/stream.js';
import { MachinedError } from './error.js';

export interface Native {
  readonly connectUnix: (address: string) => Promise<ByteStream>;
  readonly close: (fd: number) => void;
  readonly setWindowSize: (fd: number, columns: number, rows: number) => void;
}

let loading: Promise<Native> | undefined;

/** Rejects with MachinedError `not-supported` where the native library is not installed. */
export function loadNative(): Promise<Native> {
  loading ??= load();
  return loading;
}

async function load(): Promise<Native> {
  try {
    const [sockets, libc] = await Promise.all([import('../host/kernel/unix-socket.js'), import('../host/kernel/libc.js')]);
    const control = libc.bind<(fd: number, request: number, memory: Uint8Array) => number>('int ioctl(int, unsigned long, void *)');
    return {
      connectUnix: sockets.connectUnix,
      close: libc.close,
      setWindowSize: (fd, columns, rows) => void libc.check(control(fd, TIOCSWINSZ, windowSize(columns, rows)), 'ioctl'),
    };
  } catch (cause) {
    throw new MachinedError('not-supported', 'Descriptors cannot be received: the package koffi cannot be loaded', { cause });
  }
}

const TIOCSWINSZ = 0x5414; // ioctl_tty(2)

/** struct winsize: rows, columns, and two sizes in pixels, 16 bits each. */
function windowSize(columns: number, rows: number): Uint8Array {
  const size = Buffer.alloc(8);
  size.writeUInt16LE(rows, 0);
  size.writeUInt16LE(columns, 2);
  return size;
}
