import { bind } from './libc.js';

type Trim = (padding: number) => number;

/** How much has been received when it is time to look after the memory, in reads of sockets. */
const readsPerTrim = 100;
/** Milliseconds after which the load that made the garbage may be over. */
const trimDelay = 500;

let trim: Trim | undefined;
let reads = 0;
let timer: NodeJS.Timeout | undefined;

/**
 * From now on, memory that a load has left unused is given back to the kernel: malloc(3) would keep tens of MiB for ever.
 * That takes some milliseconds, at most twice a second, and never while nothing is going on. For a daemon, not for a
 * library in somebody else's process.
 */
export function keepMemorySmall(): void {
  try {
    trim = bind<Trim>('int malloc_trim(size_t)');
  } catch {
    return; // not GNU's C library: others give memory back by themselves
  }
  trimSoon(trim); // loading the program leaves something, too
}

/** To be told of every read of a socket. */
export function noteRead(): void {
  if (trim !== undefined && timer === undefined && ++reads >= readsPerTrim) trimSoon(trim);
}

function trimSoon(call: Trim): void {
  timer = setTimeout(() => {
    timer = undefined;
    reads = 0;
    call(0);
  }, trimDelay);
  timer.unref();
}
