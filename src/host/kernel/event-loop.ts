// Readiness of file descriptors in Node's event loop.
//
// koffi's poll handles end the whole process if one is put on a bad descriptor, on one that is polled already, or is
// used after it was closed, and they lose exceptions. So there is one handle, on one epoll instance that is never
// closed, and every descriptor is added to that instance, where a mistake is an errno.
import koffi from 'koffi';
import { check, epollControl, epollCreate, epollWait, errno, SystemError } from './libc.js';
import { errnos } from './system-error.js';

/** epoll_ctl(2). HUP and ERR are reported for every descriptor that is watched for anything. */
export const EPOLLIN = 0x001;
export const EPOLLOUT = 0x004;
export const EPOLLERR = 0x008;
export const EPOLLHUP = 0x010;

/** One descriptor being watched. Must be disposed of before the descriptor is closed. */
export interface Watch extends Disposable {
  /** Replaces the events that are waited for. 0 takes the descriptor out altogether: not even HUP is reported then. */
  modify(events: number): void;
}

const closeOnExec = 0o2000000;
const operation = { add: 1, remove: 2, modify: 3 } as const;

// struct epoll_event is packed on x86-64 alone. Its 64 bits of data are ours: they hold a watch's number as a double,
// which is exact up to 2^53.
const eventSize = process.arch === 'x64' ? 12 : 16;
const dataOffset = eventSize - 8;

/** Bounds what one turn of the loop does, so that timers and the rest of Node get theirs. epoll goes round its ready list. */
const eventsPerTurn = 64;

/**
 * Level-triggered readiness for any number of descriptors. The process stays alive as long as anything is watched, also
 * with no events, but for what is watched in passing; once the last watch is gone, the hub does not keep it alive.
 *
 * Watches are known by numbers that are never used again: an event for a descriptor that was closed earlier in the same
 * turn (and whose number the kernel has given to another one) finds no watch and is dropped.
 */
export class EpollHub {
  readonly #epoll = check(epollCreate(closeOnExec), 'epoll_create1');
  readonly #events = Buffer.alloc(eventSize * eventsPerTurn);
  readonly #watches = new Map<number, (events: number) => void>();
  readonly #handle: ReturnType<typeof koffi.node.poll>;
  #lastNumber = 0;
  /** How many watches keep the process alive. */
  #keeping = 0;

  constructor() {
    this.#handle = koffi.node.poll(this.#epoll, { readable: true }, () => this.#dispatch());
    this.#handle.unref();
    // Node turns its loop once more when no JavaScript may run any more: what is watched in passing would abort the process
    process.once('exit', () => this.#handle.stop());
  }

  /**
   * Calls back with the ready events, again and again while they last. An exception of the callback is an uncaught
   * exception of the process. Throws SystemError: EEXIST if the descriptor is watched already, EPERM if it is one that
   * cannot be waited for (a regular file), EBADF.
   */
  watch(fd: number, events: number, callback: (events: number) => void, kind: 'keeps alive' | 'in passing' = 'keeps alive'): Watch {
    const number = ++this.#lastNumber;
    let current = 0;
    let disposed = false;
    const modify = (next: number) => {
      if (disposed) throw new Error(`descriptor ${fd} is no longer watched`);
      if (next !== current) this.#control(fd, number, current, next);
      current = next;
    };
    modify(events);
    this.#watches.set(number, callback);
    const weight = kind === 'keeps alive' ? 1 : 0;
    this.#keep(weight);
    return {
      modify,
      [Symbol.dispose]: () => {
        if (disposed) return;
        disposed = true;
        this.#watches.delete(number);
        this.#keep(-weight);
        if (current !== 0) this.#control(fd, number, current, 0);
      },
    };
  }

  #keep(change: number): void {
    this.#keeping += change;
    if (this.#keeping === 0) this.#handle.unref();
    else this.#handle.ref();
  }

  #control(fd: number, number: number, from: number, to: number): void {
    const event = Buffer.alloc(eventSize);
    event.writeUInt32LE(to, 0);
    event.writeDoubleLE(number, dataOffset);
    const what = from === 0 ? operation.add : to === 0 ? operation.remove : operation.modify;
    check(epollControl(this.#epoll, what, fd, event), 'epoll_ctl');
  }

  #dispatch(): void {
    const count = epollWait(this.#epoll, this.#events, eventsPerTurn, 0);
    if (count < 0) return failLater(new SystemError(errno(), 'epoll_wait'));
    for (let offset = 0; offset < count * eventSize; offset += eventSize) {
      const callback = this.#watches.get(this.#events.readDoubleLE(offset + dataOffset));
      if (callback === undefined) continue; // disposed of by an earlier callback of this turn
      try {
        callback(this.#events.readUInt32LE(offset));
      } catch (error) {
        throwLater(error);
      }
    }
  }
}

function failLater(error: SystemError): void {
  if (error.errno !== errnos.EINTR) throwLater(error);
}

/** koffi drops what its callback throws: this makes it the uncaught exception that it is. */
function throwLater(error: unknown): void {
  process.nextTick(() => {
    throw error;
  });
}

let hub: EpollHub | undefined;

/** The one hub of this thread. It is kept forever: koffi silently drops a handle that nothing refers to. */
export function eventHub(): EpollHub {
  hub ??= new EpollHub();
  return hub;
}
