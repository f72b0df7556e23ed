import { Failure, invalidArgument, systemFailure } from '../domain/failure.js';
import type { Machine } from '../domain/machine.js';
import {
  isHostId,
  isUserId,
  machineUserName,
  mapIn,
  mapOut,
  parseMachineUserName,
  uidShift,
  type UserId,
} from '../domain/users.js';
import type { Machines } from './machines.js';
import { isIdentity } from './residence.js';

export type IdKind = 'user' | 'group';

/** A container's user or group, as nss-mymachines(8) shows it on the host. */
export interface MachineUser {
  readonly name: string;
  readonly machine: Machine;
  readonly inside: number;
  readonly outside: UserId;
}

/** Users and groups of containers, and whom they are on the host. Reading is open to everybody. */
export class Users {
  readonly #machines: Machines;

  constructor(machines: Machines) {
    this.#machines = machines;
  }

  /**
   * The host's id for one of the machine's. Throws Failure 'not-a-container', 'invalid-argument' (no
   * id), 'no-such-user-mapping' or 'group-not-mapped'.
   */
  mapFrom(kind: IdKind, machine: Machine, inside: number): UserId {
    checkId(kind, inside);
    this.refuseOthersThanContainers(machine);
    const outside = mapOut(this.#machines.mappings(machine, kind) ?? [], inside);
    if (outside === undefined) {
      const message = `Machine '${machine.name}' has no matching ${kind} mappings.`;
      throw new Failure(kind === 'user' ? 'no-such-user-mapping' : 'group-not-mapped', message);
    }
    return outside;
  }

  /** Throws Failure 'not-a-container'. */
  refuseOthersThanContainers(machine: Machine): void {
    if (machine.class !== 'container') throw new Failure('not-a-container', 'Not supported for non-container machines.');
  }

  /** The container that a host's id belongs to. Throws Failure '…-in-host-range', 'no-such-…-mapping', 'system' EINVAL. */
  mapTo(kind: IdKind, outside: UserId): { readonly machine: Machine; readonly inside: number } {
    checkId(kind, outside);
    if (isHostId(outside)) throw inHostRange(kind, outside);
    for (const machine of this.#machines.all()) {
      if (machine.class !== 'container') continue;
      const ranges = this.#machines.mappings(machine, kind);
      if (ranges === undefined || isIdentity(ranges)) continue;
      const inside = mapIn(ranges, outside);
      if (inside === undefined) continue;
      if (!isUserId(inside)) throw systemFailure('EINVAL', 'Invalid argument');
      return { machine, inside };
    }
    const message = `No matching ${kind} mapping for ${outside}.`;
    throw new Failure(kind === 'user' ? 'no-such-user-mapping' : 'no-such-group-mapping', message);
  }

  /** How far the ids of a machine are shifted: 0 for one that shares the host's. Throws 'no-uid-shift', 'not-available'. */
  shift(machine: Machine): number {
    if (machine.class === 'host') return 0;
    if (machine.class !== 'container') {
      throw new Failure('not-available', 'UID/GID shift may only be determined for container machines.');
    }
    const users = this.#machines.mappings(machine, 'user');
    const groups = this.#machines.mappings(machine, 'group');
    if (users === undefined || groups === undefined || users.length === 0) {
      throw systemFailure('ENOMSG', 'No message of desired type');
    }
    const shift = uidShift(users);
    if (shift === undefined || shift !== uidShift(groups)) {
      throw new Failure(
        'no-uid-shift',
        `Machine ${machine.name} uses a complex UID/GID mapping, cannot determine shift`,
      );
    }
    return shift;
  }

  /** A container's user by its name on the host, 'vu-NAME-UID'; undefined if there is none. */
  byName(kind: IdKind, name: string): MachineUser | undefined {
    const parsed = parseMachineUserName(prefix(kind), name);
    const machine = parsed === undefined ? undefined : this.#machines.find(parsed.machine);
    if (parsed === undefined || machine === undefined || machine.class !== 'container') return undefined;
    if (machineUserName(prefix(kind), machine.name, parsed.id) !== name) return undefined;
    const outside = mapOut(this.#machines.mappings(machine, kind) ?? [], parsed.id);
    return outside === undefined ? undefined : { name, machine, inside: parsed.id, outside };
  }

  /** A container's user by its id on the host; undefined if it is none's, or the host's own. Throws 'system' EINVAL. */
  byId(kind: IdKind, outside: UserId): MachineUser | undefined {
    if (isHostId(outside)) return undefined;
    const found = this.#mapped(kind, outside);
    if (found === undefined) return undefined;
    const name = machineUserName(prefix(kind), found.machine.name, found.inside);
    return name === undefined ? undefined : { name, ...found, outside };
  }

  #mapped(kind: IdKind, outside: UserId) {
    try {
      return this.mapTo(kind, outside);
    } catch (error) {
      if (error instanceof Failure && error.kind.startsWith('no-such-')) return undefined;
      throw error;
    }
  }
}

function prefix(kind: IdKind): 'vu' | 'vg' {
  return kind === 'user' ? 'vu' : 'vg';
}

function checkId(kind: IdKind, id: number): void {
  if (!isUserId(id)) throw invalidArgument(kind === 'user' ? 'uid' : 'gid', `Invalid ${kind} ID ${id}`);
}

function inHostRange(kind: IdKind, id: UserId): Failure {
  if (kind === 'user') return new Failure('user-in-host-range', `User ${id} belongs to host UID range`);
  return new Failure('group-in-host-range', `Group ${id} belongs to host GID range`);
}
