import type { Timestamp } from '../../domain/machine.js';
import type { Clock } from '../../ports/clock.js';
import { check, clockGetTime } from './libc.js';

const CLOCK_REALTIME = 0;
const CLOCK_MONOTONIC = 1;

/** clock_gettime(2). Node has no wall clock finer than a millisecond that follows when the clock is set. */
export class KernelClock implements Clock {
  readonly #time = new BigUint64Array(2); // struct timespec: seconds, nanoseconds

  now(): Timestamp {
    return { realtime: this.#read(CLOCK_REALTIME), monotonic: this.#read(CLOCK_MONOTONIC) };
  }

  #read(clock: number): bigint {
    check(clockGetTime(clock, this.#time), 'clock_gettime');
    return (this.#time[0] as bigint) * 1_000_000n + (this.#time[1] as bigint) / 1000n;
  }
}
