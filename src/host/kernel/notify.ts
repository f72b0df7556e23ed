// Telling the service manager how this service is: sd_notify(3), sd_watchdog_enabled(3).
import { Failure, invalidArgument } from '../../domain/failure.js';
import { EPOLLHUP, eventHub } from './event-loop.js';
import { check, close, pipe, setSocketOption, socket } from './libc.js';
import { sendDatagram } from './socket-message.js';
import { errnos, SystemError } from './system-error.js';
import { AF_UNIX, encodeUnixAddress } from './unix-address.js';

const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_SNDTIMEO = 21;
const O_CLOEXEC = 0o2000000;

/** A service manager that does not read is waited for this long, in seconds: what is said here is worth a moment. */
const sendTimeLimit = 5n;

/**
 * Opens the way to the service manager; undefined if NOTIFY_SOCKET is not set. The variable is removed, so that programs
 * started from here do not speak for this service. Throws Failure: 'not-supported' for a VSOCK address,
 * 'invalid-argument' for one that is none; SystemError.
 */
export function openNotifier(environment: NodeJS.ProcessEnv): Notifier | undefined {
  const address = environment['NOTIFY_SOCKET'];
  delete environment['NOTIFY_SOCKET'];
  if (address === undefined || address === '') return undefined;
  if (address.startsWith('vsock')) throw new Failure('not-supported', `NOTIFY_SOCKET=${address}: VSOCK is not supported`);
  if (!/^[/@]./.test(address)) throw invalidArgument('NOTIFY_SOCKET', `NOTIFY_SOCKET=${address} is no socket address`);
  return new Notifier(address);
}

/** Every method throws SystemError if the message cannot be delivered (EAGAIN: the service manager does not read). */
export class Notifier implements Disposable {
  readonly #path: string;
  readonly #address: Buffer;
  readonly #fd: number;

  constructor(path: string) {
    this.#path = path;
    this.#address = encodeUnixAddress(path, 'sendmsg');
    this.#fd = check(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), 'socket');
    const limit = new BigUint64Array([sendTimeLimit, 0n]); // struct timeval
    check(setSocketOption(this.#fd, SOL_SOCKET, SO_SNDTIMEO, limit, limit.byteLength), 'setsockopt');
  }

  /** Startup, or reloading, is done. */
  ready(): void {
    this.#send('READY=1');
  }

  /** One line for people. */
  status(text: string): void {
    this.#send(`STATUS=${text.replaceAll('\n', ' ')}`);
  }

  reloading(): void {
    this.#send(`RELOADING=1\nMONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`);
  }

  stopping(): void {
    this.#send('STOPPING=1');
  }

  watchdog(): void {
    this.#send('WATCHDOG=1');
  }

  /** Gives the service manager a duplicate to keep; it is passed to the next start of this service under that name. */
  storeDescriptor(name: string, fd: number): void {
    this.#send(`FDSTORE=1\nFDNAME=${checkDescriptorName(name)}`, [fd]);
  }

  /** Makes the service manager close those that it keeps under that name. */
  removeDescriptors(name: string): void {
    this.#send(`FDSTOREREMOVE=1\nFDNAME=${checkDescriptorName(name)}`);
  }

  /**
   * Resolves when the service manager has taken note of everything that was said before, which it tells by closing a
   * pipe. Rejects with SystemError ETIMEDOUT after so many milliseconds.
   */
  async barrier(timeLimit: number): Promise<void> {
    const ends = new Int32Array(2);
    check(pipe(ends, O_CLOEXEC), 'pipe2');
    const [reader, writer] = ends as unknown as [number, number];
    try {
      this.#send('BARRIER=1', [writer]);
    } catch (error) {
      close(reader);
      throw error;
    } finally {
      close(writer);
    }
    await waitForHangup(reader, timeLimit, this.#path);
  }

  [Symbol.dispose](): void {
    close(this.#fd);
  }

  #send(text: string, fds: readonly number[] = []): void {
    const result = sendDatagram(this.#fd, this.#address, Buffer.from(text), fds);
    if (result < 0) throw new SystemError(-result, 'sendmsg', this.#path);
  }
}

/** FDNAME= of sd_notify(3): up to 255 printable ASCII characters but ':'. */
function checkDescriptorName(name: string): string {
  if (!/^[\x20-\x39\x3b-\x7e]{1,255}$/.test(name)) throw new RangeError(`'${name}' cannot name a stored descriptor`);
  return name;
}

/** Closes the descriptor in the end. */
async function waitForHangup(fd: number, timeLimit: number, path: string): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  let resolveHangup: ((happened: boolean) => void) | undefined;
  const watch = eventHub().watch(fd, EPOLLHUP, () => resolveHangup?.(true));
  try {
    const happened = await new Promise<boolean>((resolve) => {
      resolveHangup = resolve;
      timer = setTimeout(() => resolve(false), timeLimit);
    });
    if (!happened) throw new SystemError(errnos.ETIMEDOUT, 'poll', path);
  } finally {
    clearTimeout(timer);
    watch[Symbol.dispose]();
    close(fd);
  }
}

/**
 * How often, in milliseconds, the service manager wants to hear of this process at the least; undefined if it does not.
 * The variables are removed.
 */
export function takeWatchdogInterval(environment: NodeJS.ProcessEnv): number | undefined {
  const { WATCHDOG_USEC, WATCHDOG_PID } = environment;
  delete environment['WATCHDOG_USEC'];
  delete environment['WATCHDOG_PID'];
  if (WATCHDOG_USEC === undefined || (WATCHDOG_PID !== undefined && Number(WATCHDOG_PID) !== process.pid)) return undefined;
  const microseconds = Number(WATCHDOG_USEC);
  if (!/^[0-9]+$/.test(WATCHDOG_USEC) || microseconds === 0) {
    throw invalidArgument('WATCHDOG_USEC', `WATCHDOG_USEC=${WATCHDOG_USEC} is no length of time`);
  }
  return microseconds / 1000;
}

/** Sends WATCHDOG=1 twice in every interval (in ms) until disposed of. Does not keep the process alive. */
export function startWatchdog(notifier: Notifier, interval: number, onError: (error: unknown) => void): Disposable {
  const longestTimer = 0x7fffffff; // a longer one would fire at once
  const timer = setInterval(() => {
    try {
      notifier.watchdog();
    } catch (error) {
      onError(error);
    }
  }, Math.min(interval / 2, longestTimer));
  timer.unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
