import { isFailure, systemFailure } from '../domain/failure.js';
import type { Machine } from '../domain/machine.js';
import { sameProcess } from '../domain/registry.js';
import type { UserId } from '../domain/users.js';
import type { Caller } from '../ports/authority.js';
import type { ProcessHandle, Processes } from '../ports/processes.js';
import type { Store } from '../ports/store.js';
import type { UnitPlace, Units } from '../ports/units.js';
import { accessDenied } from './call.js';

const supervisorSubgroup = 'supervisor'; // by systemd's convention, beside 'payload'

export interface MachineProcessesPorts {
  readonly processes: Processes;
  readonly units: Units;
  readonly store: Store;
}

/** The processes that matter to a machine: its leader, its supervisor, who registers it; and the units that they are in. */
export class MachineProcesses {
  readonly #ports: MachineProcessesPorts;

  constructor(ports: MachineProcessesPorts) {
    this.#ports = ports;
  }

  /** By pidfd where the transport has one: the PID of a caller that has ended may be another process's. */
  openCaller({ pid, pidfd, gone }: Caller): ProcessHandle | undefined {
    if (pidfd === undefined) return this.open(pid);
    if (gone?.aborted === true) return undefined; // and the pidfd with it
    const visible = pid === 0 ? undefined : pid; // 0: it lives in a PID namespace that cannot be seen from here
    return unlessEnded(() => this.#ports.processes.openPidFd(pidfd, visible));
  }

  /** undefined if there is no such process, or none is named. */
  open(pid: number | undefined): ProcessHandle | undefined {
    if (pid === undefined || pid <= 0) return undefined;
    return unlessEnded(() => this.#ports.processes.open(pid));
  }

  /** Only root makes machines of others' processes. Throws Failure 'access-denied', or 'system' (ESRCH). */
  refuseOthers(leader: ProcessHandle, uid: UserId): void {
    if (uid === 0) return;
    const owner = this.#ports.processes.ownerOf(leader.identity.pid);
    if (owner === undefined || !leader.isAlive()) throw systemFailure('ESRCH', 'No such process');
    if (owner !== uid) throw accessDenied('Only privileged users may register machines for other users');
  }

  /**
   * The caller, unless it is the leader itself. The owner of a machine may send its supervisor signals, so nobody gets a
   * supervisor that is another user's: the PID may have been reused, where it is all that is known of the caller.
   */
  supervisorOf(leader: ProcessHandle, caller: ProcessHandle | undefined, uid: UserId): ProcessHandle | undefined {
    if (caller === undefined || caller.identity.pid === leader.identity.pid) return undefined;
    const isTheirs = uid === 0 || this.#ports.processes.ownerOf(caller.identity.pid) === uid;
    return isTheirs ? caller : undefined;
  }

  /** undefined if it has ended, or is in no unit. */
  placeOf(pid: number): UnitPlace | undefined {
    const cgroup = this.#ports.processes.cgroupOf(pid);
    return cgroup === undefined ? undefined : this.#ports.units.placeOf(cgroup);
  }

  /**
   * Where the machine will be, whose leader may still be on its way there: systemd-nspawn 257 registers a container while
   * that is in the cgroup of its supervisor (DelegateSubgroup= in systemd-nspawn@.service), where it does not stay.
   */
  homeOf(leader: ProcessHandle, supervisor: ProcessHandle | undefined): UnitPlace | undefined {
    const place = this.placeOf(leader.identity.pid);
    if (place?.subgroup !== supervisorSubgroup || supervisor === undefined) return place;
    const theirs = this.placeOf(supervisor.identity.pid);
    const isShared = theirs?.unit === place.unit && theirs.subgroup === place.subgroup;
    return isShared ? { unit: place.unit, subgroup: '' } : place;
  }

  /** Where the state file names no pidfd inode (systemd 252), the leader has to be in the unit that it was in. */
  isStillLeader(machine: Machine, leader: ProcessHandle): boolean {
    if (!leader.isAlive()) return false;
    if (machine.leader.pidfdId !== undefined) return sameProcess(machine.leader, leader.identity);
    return machine.unit === '' || this.placeOf(leader.identity.pid)?.unit === machine.unit;
  }

  /** Of a machine that an earlier daemon has registered; undefined if it has ended. */
  openSupervisor(machine: Machine): ProcessHandle | undefined {
    const supervisor = this.open(machine.supervisor?.pid);
    if (supervisor === undefined || machine.supervisor === undefined) return undefined;
    if (sameProcess(machine.supervisor, supervisor.identity)) return supervisor;
    supervisor[Symbol.dispose]();
    return undefined;
  }

  /** State files that systemd wrote do not say it. A guest's systemd has moved itself one level down by then. */
  subgroupOf(machine: Machine): string {
    if (machine.subgroup !== '' || machine.allocatedUnit || this.#ports.store.hadWholeUnit(machine)) return machine.subgroup;
    const place = this.placeOf(machine.leader.pid);
    if (place === undefined || place.unit !== machine.unit) return '';
    return place.subgroup.replace(/(^|\/)init\.scope$/, '');
  }
}

function unlessEnded(open: () => ProcessHandle): ProcessHandle | undefined {
  try {
    return open();
  } catch (error) {
    if (isFailure(error, 'system')) return undefined;
    throw error;
  }
}
