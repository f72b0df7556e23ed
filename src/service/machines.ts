import { Failure, invalidArgument, isFailure, systemFailure } from '../domain/failure.js';
import { hostMachineName, type Machine, type MachineClass, type MachineState } from '../domain/machine.js';
import { checkKillWhom, checkSignal, scopeName, type Registration } from '../domain/registration.js';
import { Registry, sameProcess, type ProcessView } from '../domain/registry.js';
import { UndoStack } from '../domain/undo.js';
import type { IdMapping } from '../domain/users.js';
import type { Authority } from '../ports/authority.js';
import type { Clock } from '../ports/clock.js';
import type { Log } from '../ports/log.js';
import type { ProcessHandle, Processes } from '../ports/processes.js';
import type { Store, StoredMachine } from '../ports/store.js';
import type { UnitProperty, Units } from '../ports/units.js';
import { accessDenied, authorize, type Call } from './call.js';
import { describeHost } from './host-machine.js';
import { MachineProcesses } from './machine-processes.js';
import { Residence, type EndReason } from './residence.js';

export interface MachinesPorts {
  readonly processes: Processes;
  readonly units: Units;
  readonly store: Store;
  readonly authority: Authority;
  readonly clock: Clock;
  readonly log: Log;
}

/** Hears of machines that come and go. */
export interface MachinesObserver {
  machineNew(machine: Machine): void;
  /** Its state is another. */
  machineChanged?(machine: Machine): void;
  machineRemoved(machine: Machine): void;
}

export interface RegisterRequest {
  /** A missing class is only refused when the caller turns out to be allowed to register. */
  readonly registration: Omit<Registration, 'class'> & { readonly class: MachineClass | undefined };
  /** The leader; undefined is the caller itself. */
  readonly leader: ProcessHandle | undefined;
  /** Make a scope of its own for the machine, with these properties; undefined: it stays where its leader is. */
  readonly scope: { readonly properties: readonly UnitProperty[] } | undefined;
}

/** How a caller names a machine: by name, by a process in it (pid 0: the caller's own), or both, which have to agree. */
export interface MachineReference {
  readonly name?: string | undefined;
  readonly process?: MemberReference | undefined;
}

/** What the caller knows of the process; it is no other that has its PID now, and none of another boot. */
export interface MemberReference {
  readonly pid: number;
  readonly pidfdId?: bigint | undefined;
  readonly bootId?: string | undefined;
}

/**
 * The registry at work: it admits machines, watches over them until they end, keeps their state files, and does to them
 * what callers ask. Whatever a caller may not do freely takes that caller's `Call` and authorizes it, after the
 * arguments were found good and before anything changes.
 */
export class Machines implements Disposable {
  /** `.host`; undefined where the host is none of this registry's machines. */
  readonly host: Machine | undefined;
  readonly #ports: MachinesPorts;
  readonly #processes: MachineProcesses;
  readonly #registry = new Registry();
  readonly #residences = new Map<string, Residence>();
  readonly #observers = new Set<MachinesObserver>();
  readonly #view: ProcessView;
  #closed = false;

  constructor(ports: MachinesPorts, hasHost = true) {
    this.#ports = ports;
    this.#processes = new MachineProcesses(ports);
    this.host = hasHost ? describeHost(ports) : undefined;
    this.#view = {
      placeOf: (pid) => this.#processes.placeOf(pid),
      parentOf: (pid) => ports.processes.parentOf(pid),
    };
  }

  /** Machines and their state files stay; what is under way fails without touching them. */
  [Symbol.dispose](): void {
    this.#closed = true;
    for (const residence of this.#residences.values()) residence[Symbol.dispose]();
    this.#residences.clear();
  }

  observe(observer: MachinesObserver): Disposable {
    this.#observers.add(observer);
    return { [Symbol.dispose]: () => void this.#observers.delete(observer) };
  }

  /** Takes over the machines of the state files; those that have ended since are dropped. To be called once, first. */
  restore(): void {
    const { machines, intended, damaged } = this.#ports.store.load();
    for (const { file, reason } of damaged) this.#ports.log.warning(`State file ${file}: ${reason}. Set aside.`);
    for (const stored of machines) this.#readmit(stored);
    for (const machine of intended) this.#adopt(machine);
  }

  get size(): number {
    return this.#registry.size;
  }

  /** Not even `.host` is there. */
  get isEmpty(): boolean {
    return this.host === undefined && this.#registry.size === 0;
  }

  /** `.host` first, then the machines in the order of their registration. */
  *all(): IterableIterator<Machine> {
    if (this.host !== undefined) yield this.host;
    yield* this.#registry.all();
  }

  find(name: string): Machine | undefined {
    return name === hostMachineName ? this.host : this.#registry.find(name);
  }

  /** Throws Failure 'no-such-machine'. */
  byName(name: string): Machine {
    const machine = this.find(name);
    if (machine === undefined) throw new Failure('no-such-machine', `No machine '${name}' known`);
    return machine;
  }

  /** `pid` 0 is the caller. Throws Failure 'no-machine-for-pid'. */
  async byPid(pid: number, call: Pick<Call, 'caller'>): Promise<Machine> {
    const machine = await this.#byProcess({ pid }, call);
    if (machine === undefined) {
      throw new Failure('no-machine-for-pid', `PID ${pid} does not belong to any known machine`);
    }
    return machine;
  }

  /** Throws Failure 'no-such-machine' if nothing, or two different things, are meant. */
  async byReference(reference: MachineReference, call: Pick<Call, 'caller'>): Promise<Machine> {
    const { name, process } = reference;
    if (process === undefined) {
      if (name === undefined) throw new Failure('no-such-machine', 'Name a machine, or a process of one');
      return this.byName(name);
    }
    const machine = await this.#byProcess(process, call);
    if (machine === undefined) {
      throw new Failure('no-such-machine', `PID ${process.pid} does not belong to any known machine`);
    }
    if (name !== undefined && name !== machine.name) {
      throw new Failure('no-such-machine', `PID ${process.pid} does not belong to machine '${name}'`);
    }
    return machine;
  }

  /** Throws Failure 'machine-exists' if the name is taken. */
  refuseName(name: string): void {
    this.#registry.refuseName(name);
  }

  /**
   * Admits a machine; resolves when it runs. Takes over `request.leader`. Throws Failure 'machine-exists', 'system'
   * (EEXIST: its leader or unit is a machine's already; ENXIO: its leader is in no unit; ECANCELED: it was unregistered
   * before its scope was there), or what the units refuse. Whatever goes wrong, the machines and processes that are there
   * are left alone.
   */
  async register(call: Call, request: RegisterRequest): Promise<Machine> {
    using undo = new UndoStack();
    const { registration, scope } = request;
    if (request.leader !== undefined) undo.use(request.leader);
    const caller = await call.caller();
    const callerProcess = this.#processes.openCaller(caller); // now: authorization may take so long that its PID is another's
    if (callerProcess !== undefined) undo.use(callerProcess);
    await authorize(this.#ports.authority, call, {
      name: registration.name,
      details: registration.class === undefined ? {} : { class: registration.class },
    });
    this.refuseName(registration.name);
    if (registration.class === undefined) throw new Failure('not-supported', 'Operation not supported');
    if (caller.uid === undefined) throw accessDenied('Nothing is known of the caller');
    const leader = request.leader ?? callerProcess;
    if (leader === undefined) throw invalidArgument('leader', 'Name a leader: the process of the caller is not known');
    this.#processes.refuseOthers(leader, caller.uid);
    const supervisor = this.#processes.supervisorOf(leader, callerProcess, caller.uid);
    const machine = this.#describe(registration, registration.class, leader, supervisor, caller.uid, scope !== undefined);
    const residence = this.#admit(machine, leader, supervisor);
    undo.defer(() => this.#remove(residence));
    if (scope === undefined) this.#settle(machine, residence);
    else await this.#settleInScope(machine, residence, scope.properties);
    if (!this.#isThere(residence)) throw canceled(machine.name);
    if (!leader.isAlive()) throw systemFailure('ESRCH', 'No such process: the leader ended during its registration');
    residence.watch();
    undo.keep();
    if (callerProcess !== leader && callerProcess !== supervisor) callerProcess?.[Symbol.dispose]();
    this.#ports.log.info(`New machine ${machine.name}.`, { MACHINE_NAME: machine.name });
    return this.byName(machine.name);
  }

  /** Forgets a machine and leaves its processes alone. */
  async unregister(call: Call, reference: MachineReference): Promise<void> {
    const machine = await this.byReference(reference, call);
    await this.#authorize(call, machine);
    const residence = this.#residenceOf(machine);
    if (residence !== undefined) this.#remove(residence); // `.host` is always there
  }

  /** Ends a machine: stops its unit, or kills its leader where it has none. */
  async terminate(call: Call, reference: MachineReference): Promise<void> {
    const machine = await this.byReference(reference, call);
    await this.#authorize(call, machine);
    const residence = this.#residenceOf(machine) ?? refuseHost();
    if (machine.unit !== '') return this.#stopUnit(machine, residence);
    residence.terminating = true;
    residence.leader.signal(9);
  }

  /** Sends a signal, 1 … 64, to whom 'leader', 'supervisor' or 'all' (also: '') means. */
  async kill(call: Call, reference: MachineReference, whomText: string, signalNumber: number): Promise<void> {
    const named = await this.byReference(reference, call);
    const whom = checkKillWhom(whomText);
    const signal = checkSignal(signalNumber);
    await this.#authorize(call, named);
    const residence = this.#residenceOf(named) ?? refuseHost();
    if (whom === 'all' && named.unit !== '') {
      await this.#ports.units.killAll(named.unit, named.subgroup, signal);
      return;
    }
    const target = whom === 'supervisor' ? residence.supervisor : residence.leader;
    if (target === undefined) throw systemFailure('ESRCH', 'No such process');
    target.signal(signal);
  }

  /** The user or group id mappings of a machine as the host sees them; undefined if its leader has ended. */
  mappings(machine: Machine, kind: 'user' | 'group'): readonly IdMapping[] | undefined {
    return this.#residences.get(machine.name)?.mappings(kind, this.#ports.processes);
  }

  async #authorize(call: Call, machine: Machine): Promise<void> {
    await authorize(this.#ports.authority, call, { name: machine.name, owner: machine.owner });
  }

  /**
   * The hold on a machine; undefined for `.host`. To be asked for right before it is used, with no await in between: while
   * a caller is looked up and authorized, the machine may end, and its name be given to a machine of somebody else.
   */
  #residenceOf(machine: Machine): Residence | undefined {
    if (machine === this.host) return undefined;
    const residence = this.#residences.get(machine.name);
    if (residence?.leader.identity === machine.leader) return residence;
    throw new Failure('no-such-machine', `No machine '${machine.name}' known`);
  }

  async #byProcess(process: MemberReference, call: Pick<Call, 'caller'>): Promise<Machine | undefined> {
    if (process.bootId !== undefined && process.bootId !== this.#ports.processes.bootId) return undefined;
    const pid = process.pid === 0 ? (await call.caller()).pid : process.pid;
    if (pid === undefined) return undefined;
    if (process.pidfdId !== undefined) {
      using handle = this.#processes.open(pid);
      if (handle === undefined || !sameProcess(handle.identity, { pid, pidfdId: process.pidfdId })) return undefined;
    }
    return this.#registry.byProcess(pid, this.#view);
  }

  /** Field by field: an object that is spread into another costs a hundred times as much to make. */
  #describe(
    registration: RegisterRequest['registration'],
    machineClass: MachineClass,
    leader: ProcessHandle,
    supervisor: ProcessHandle | undefined,
    owner: number,
    inScope: boolean,
  ): Machine {
    const place = inScope ? { unit: scopeName(registration.name), subgroup: '' } : this.#processes.homeOf(leader, supervisor);
    if (place === undefined && this.#ports.units.kind === 'systemd') {
      const pid = leader.identity.pid;
      throw systemFailure('ENXIO', `Failed to determine unit of process ${pid} : No such device or address`);
    }
    return {
      name: registration.name,
      id: registration.id,
      class: machineClass,
      service: registration.service,
      leader: leader.identity,
      supervisor: supervisor?.identity,
      rootDirectory: registration.rootDirectory,
      unit: place?.unit ?? '',
      subgroup: place?.subgroup ?? '',
      networkInterfaces: registration.networkInterfaces,
      vsockCid: registration.vsockCid,
      sshAddress: registration.sshAddress,
      sshPrivateKeyPath: registration.sshPrivateKeyPath,
      controlAddress: registration.controlAddress,
      owner,
      timestamp: this.#ports.clock.now(),
      allocatedUnit: inScope,
      state: inScope ? 'opening' : 'running',
    };
  }

  /** Takes over the handles, unless it throws: Failure 'machine-exists' or 'system' (EEXIST, ECANCELED). */
  #admit(machine: Machine, leader: ProcessHandle, supervisor: ProcessHandle | undefined): Residence {
    if (this.#closed) throw canceled(machine.name);
    this.#registry.add(machine);
    const residence: Residence = new Residence(machine, leader, supervisor, this.#ports.units, (reason) =>
      this.#ended(residence, reason),
    );
    this.#residences.set(machine.name, residence);
    return residence;
  }

  #settle(machine: Machine, residence: Residence): void {
    this.#ports.store.save({ machine, job: '' });
    this.#announce(machine, residence);
  }

  async #settleInScope(machine: Machine, residence: Residence, properties: readonly UnitProperty[]): Promise<void> {
    this.#ports.store.intend(machine);
    const { job, done } = await this.#ports.units.startScope({
      unit: machine.unit,
      description: `${machine.class === 'vm' ? 'Virtual Machine' : 'Container'} ${machine.name}`,
      leader: { pid: machine.leader.pid, pidfd: residence.leader.pidfd },
      properties,
    });
    residence.scope = done;
    if (!this.#isThere(residence)) {
      this.#releaseScope(machine.unit, residence);
      throw canceled(machine.name);
    }
    this.#ports.store.save({ machine, job });
    this.#announce(machine, residence);
    await done;
    if (!this.#isThere(residence)) throw canceled(machine.name);
    // Whoever wanted it ended may have done so before there was a scope to be stopped.
    if (residence.terminating) await this.#stopUnit(machine, residence);
    else this.#changeState(machine.name, 'running', '');
  }

  async #stopUnit(machine: Machine, residence: Residence): Promise<void> {
    residence.terminating = true; // before: the unit may be gone sooner than the answer is here
    let job: string;
    try {
      job = await this.#ports.units.stop(machine.unit);
    } catch (error) {
      residence.terminating = false;
      throw error;
    }
    if (!this.#isThere(residence)) return; // it has ended meanwhile
    this.#changeState(machine.name, 'closing', job);
  }

  #changeState(name: string, state: MachineState, job: string): void {
    const machine = this.#registry.setState(name, state);
    this.#ports.store.save({ machine, job });
    for (const observer of this.#observers) observer.machineChanged?.(machine);
  }

  /** Whether the machine is still known; another of its name is not it. */
  #isThere(residence: Residence): boolean {
    return this.#residences.get(residence.name) === residence;
  }

  #announce(machine: Machine, residence: Residence): void {
    residence.announced = true;
    for (const observer of this.#observers) observer.machineNew(machine);
  }

  /**
   * A machine whose scope an earlier daemon has asked for, and of which it heard no more: it is one if its leader is in that
   * scope. Whoever registered it has been told nothing, and can end it.
   */
  #adopt(machine: Machine): void {
    if (this.#processes.placeOf(machine.leader.pid)?.unit !== machine.unit) return this.#forgetState(machine);
    this.#ports.log.notice(`Machine ${machine.name} was being registered when an earlier daemon ended: it is taken over.`);
    this.#readmit({ machine, job: '' }, false);
  }

  #readmit({ machine, job }: StoredMachine, isSaved = true): void {
    using undo = new UndoStack();
    const leader = this.#processes.open(machine.leader.pid);
    if (leader !== undefined) undo.use(leader);
    if (leader === undefined || !this.#processes.isStillLeader(machine, leader)) {
      this.#ports.log.info(`Machine ${machine.name} has ended meanwhile.`);
      this.#drop(machine);
      return;
    }
    const supervisor = this.#processes.openSupervisor(machine);
    if (supervisor !== undefined) undo.use(supervisor);
    const subgroup = this.#processes.subgroupOf(machine);
    const readmitted: Machine = { ...machine, leader: leader.identity, supervisor: supervisor?.identity, subgroup };
    let residence: Residence;
    try {
      residence = this.#admit(readmitted, leader, supervisor);
    } catch (error) {
      if (!isFailure(error)) throw error;
      // Two files about one leader or unit: an earlier daemon was interrupted, or somebody wrote one by hand.
      this.#ports.log.warning(`Machine ${machine.name} cannot be restored (${error.message}), and is forgotten.`);
      this.#drop(machine);
      return;
    }
    residence.terminating = machine.state === 'closing';
    if (machine.allocatedUnit) residence.scope = Promise.resolve();
    residence.watch();
    undo.keep();
    const isOld = machine.leader.pidfdId !== leader.identity.pidfdId; // as systemd 257 and earlier wrote it
    if (!isSaved || isOld || (job !== '' && machine.state !== 'closing')) this.#saveReadmitted(readmitted);
    this.#announce(readmitted, residence);
  }

  /** The job that made its scope is over. What cannot be written now can be read as it is by the next daemon. */
  #saveReadmitted(machine: Machine): void {
    try {
      this.#ports.store.save({ machine, job: '' });
    } catch (error) {
      if (!isFailure(error)) throw error;
      this.#ports.log.warning(error.message, { MACHINE_NAME: machine.name });
    }
  }

  /** A machine of before that is none any more. Whoever remembers it is told. */
  #drop(machine: Machine): void {
    this.#forgetState(machine);
    this.#notifyRemoved(machine);
  }

  #ended(residence: Residence, reason: EndReason): void {
    const { name } = residence;
    this.#ports.log.info(`Machine ${name} has ended (${reason === 'unit-gone' ? 'its unit is gone' : 'its leader exited'}).`, {
      MACHINE_NAME: name,
    });
    this.#remove(residence);
  }

  /** Does nothing if the machine is gone already. */
  #remove(residence: Residence): void {
    if (!this.#isThere(residence)) return;
    const machine = this.byName(residence.name);
    this.#registry.remove(machine.name);
    this.#residences.delete(machine.name);
    residence[Symbol.dispose]();
    this.#forgetState(machine);
    this.#releaseScope(machine.unit, residence);
    if (residence.announced) this.#notifyRemoved(machine);
  }

  /** A file that cannot be removed now is one of a machine that has ended when it is next read. */
  #forgetState(machine: Machine): void {
    try {
      this.#ports.store.remove(machine);
    } catch (error) {
      if (!isFailure(error)) throw error;
      this.#ports.log.warning(error.message, { MACHINE_NAME: machine.name });
    }
  }

  /** A scope that is still being made can only be released when it is there; one that fails leaves nothing behind. */
  #releaseScope(unit: string, residence: Residence): void {
    void residence.scope?.then(
      () => {
        if (!this.#closed) this.#ports.units.release(unit);
      },
      (error: unknown) => {
        if (!isFailure(error)) throw error;
      },
    );
  }

  #notifyRemoved(machine: Machine): void {
    for (const observer of this.#observers) observer.machineRemoved(machine);
  }
}

function canceled(name: string): Failure {
  return systemFailure('ECANCELED', `Machine '${name}' was given up while it was being registered`);
}

function refuseHost(): never {
  throw systemFailure('EOPNOTSUPP', 'Operation not supported');
}
