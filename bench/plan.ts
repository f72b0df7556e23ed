// What the two halves of the benchmarks tell each other: main.ts, outside the host, and load.ts, inside.

/** The systemd units of the two daemons in the host. */
export const daemonUnits = { real: 'bench-real.service', ours: 'bench-ours.service' } as const;
export type DaemonName = keyof typeof daemonUnits;

export const machinePrefix = 'bench';
/**
 * Leaders that are registered in turn during the benchmark: the original says that a machine is gone, and forgets it when
 * it has nothing else to do.
 */
export const spareLeaders = 16;

export interface LoadPlan {
  readonly daemon: DaemonName;
  /** How many machines are registered: 0, or those that leaders.pl has leaders for. */
  readonly machines: number;
  /** Milliseconds that each operation is repeated before it is measured, and while it is. */
  readonly warmUp: number;
  readonly duration: number;
  /** How many machines are registered, and how many created and killed; 0 leaves that out. */
  readonly registrations: number;
  readonly creations: number;
}

/** Of one operation in one run. */
export interface Measurement {
  /** Microseconds: the median latency of calls made one after the other, or the time per call with many under way. */
  readonly microseconds: number;
  /** Microseconds of processor time that the daemon took per call, where that is counted. */
  readonly processor?: number;
}

export interface Memory {
  /** MiB, of the daemon's main process. */
  readonly resident: number;
  /** MiB, of all of the daemon's processes, shared pages by their share. */
  readonly proportional: number;
}

export interface LoadResult {
  /** Milliseconds from asking systemd to start the unit until the bus name is owned and the socket answers. */
  readonly ready: number;
  /** After the start, and after the load. */
  readonly idle: Memory;
  readonly loaded: Memory;
  /** By the operation's name, see `operations` in load.ts. */
  readonly measurements: Readonly<Record<string, Measurement>>;
}

/** Of one round of guests-load.ts. */
export interface GuestsPlan {
  readonly daemon: DaemonName;
  /** Milliseconds that each look is repeated for, and each part of the tails. */
  readonly duration: number;
  readonly tailDuration: number;
  /** How many shells are opened and mounts made, each. */
  readonly repetitions: number;
}

/** A container with the host's users, and one with users of its own: both run systemd. */
export const bootedGuests = { host: 'booted', own: 'shifted' } as const;
/** Containers of a single process, besides those. */
export const crowdGuests = 18;
export const crowdPrefix = 'crowd';

/** Of one round of images-load.ts. */
export interface ImagesPlan {
  readonly daemon: DaemonName;
  readonly part: 'list' | 'change';
  /** What the table says they are. */
  readonly subject: string;
  readonly duration: number;
}

/** What images-load.ts finds in /var/lib/machines, for the part 'change'. */
export const benchImages = { tree: 'bench-tree', raw: 'bench-raw', manyFiles: 'bench-many' } as const;
