import { isFailure } from '../domain/failure.js';
import type { Machine } from '../domain/machine.js';
import type { IdMapping } from '../domain/users.js';
import type { ProcessHandle, Processes } from '../ports/processes.js';
import type { Units } from '../ports/units.js';

/** Why a machine has ended. */
export type EndReason = 'leader-exited' | 'unit-gone';

/**
 * How long a machine whose leader has ended may wait for its unit to end too. A manager of containers uses that time to
 * clean up and to unregister in good order; a unit that serves others as well (a login session) would keep it for ever.
 */
export const closingGraceMilliseconds = 10_000;

/**
 * The hold that the registry has on one running machine: its processes by pidfd, its unit by a watch. Says once when
 * the machine has ended, unless it is disposed before.
 */
export class Residence implements Disposable {
  readonly name: string;
  readonly leader: ProcessHandle;
  readonly supervisor: ProcessHandle | undefined;
  /** The machine is being terminated: it ends with its unit, whatever survives. */
  terminating = false;
  /** Observers have heard of the machine, so they have to hear of its end. */
  announced = false;
  /** Settles as the job does that makes the machine's scope; undefined where nobody has accepted to make one. */
  scope: Promise<void> | undefined;
  readonly #unit: string;
  readonly #unitIsOwn: boolean;
  readonly #units: Units;
  readonly #watches: Disposable[] = [];
  readonly #ended: (reason: EndReason) => void;
  #grace: NodeJS.Timeout | undefined;
  #disposed = false;
  #userMappings: readonly IdMapping[] | undefined;
  #groupMappings: readonly IdMapping[] | undefined;

  /** Takes over both handles. */
  constructor(
    machine: Machine,
    leader: ProcessHandle,
    supervisor: ProcessHandle | undefined,
    units: Units,
    ended: (reason: EndReason) => void,
  ) {
    this.name = machine.name;
    this.leader = leader;
    this.supervisor = supervisor;
    this.#unit = machine.unit;
    this.#unitIsOwn = machine.allocatedUnit;
    this.#units = units;
    this.#ended = ended;
  }

  /** Begins to watch. Not done by the constructor: a scope is not there yet when its machine is admitted. */
  watch(): void {
    this.#watches.push(this.leader.onExit(() => void this.#leaderExited()));
    if (this.#unit === '') return;
    this.#watches.push(this.#units.watch(this.#unit, { gone: () => this.#unitGone() }));
  }

  /** The ids of a user namespace of the machine's own; the kernel lets them be set only once, so they are kept. */
  mappings(kind: 'user' | 'group', processes: Processes): readonly IdMapping[] | undefined {
    const kept = kind === 'user' ? this.#userMappings : this.#groupMappings;
    if (kept !== undefined) return kept;
    const { pid } = this.leader.identity;
    const read = kind === 'user' ? processes.userMappings(pid) : processes.groupMappings(pid);
    if (read === undefined || !this.leader.isAlive()) return undefined;
    if (read.length === 0 || isIdentity(read)) return read;
    if (kind === 'user') this.#userMappings = read;
    else this.#groupMappings = read;
    return read;
  }

  [Symbol.dispose](): void {
    if (this.#disposed) return;
    this.#disposed = true;
    clearTimeout(this.#grace);
    for (const watch of this.#watches) watch[Symbol.dispose]();
    this.leader[Symbol.dispose]();
    this.supervisor?.[Symbol.dispose]();
  }

  async #leaderExited(): Promise<void> {
    if (this.#unit === '' || !(await this.#mayBeActive(this.#unit))) {
      this.#end('leader-exited');
      return;
    }
    if (this.#disposed) return;
    this.#grace = setTimeout(() => this.#end('leader-exited'), closingGraceMilliseconds);
    this.#grace.unref();
  }

  /** A service manager that cannot be asked (its bus is being restarted) does not say that the unit is gone. */
  async #mayBeActive(unit: string): Promise<boolean> {
    try {
      return await this.#units.isActive(unit);
    } catch (error) {
      if (isFailure(error)) return true;
      throw error;
    }
  }

  #unitGone(): void {
    if (this.#unitIsOwn || this.terminating || !this.leader.isAlive()) this.#end('unit-gone');
  }

  #end(reason: EndReason): void {
    if (!this.#disposed) this.#ended(reason);
  }
}

/** Whether these are the mappings of a process in the host's own user namespace. */
export function isIdentity(mappings: readonly IdMapping[]): boolean {
  return mappings.every((mapping) => mapping.inside === mapping.outside && mapping.count === 0xffffffff);
}
