import type { Timestamp } from '../domain/machine.js';

export interface Clock {
  now(): Timestamp;
}
