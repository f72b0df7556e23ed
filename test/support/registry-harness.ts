// What the behaviour suite needs of a front end: clients that speak its protocol, and its names for errors.
import type { World } from './world.js';

/** Whom the registry takes a client for. */
export interface ClientIdentity {
  readonly uid: number;
  readonly pid: number;
}

export interface NewMachine {
  readonly name: string;
  /** 'container' unless given. */
  readonly class?: string;
  /** The caller unless given. */
  readonly leader?: number;
  readonly service?: string;
  /** 32 hexadecimal digits. */
  readonly id?: string;
  readonly rootDirectory?: string;
  readonly networkInterfaces?: readonly number[];
  /** In a scope that is made for it. */
  readonly inScope?: boolean;
  /** The user may be asked for a password. */
  readonly interactive?: boolean;
}

/** What every front end tells of a machine. */
export interface MachineDescription {
  readonly name: string;
  readonly class: string;
  readonly service: string;
  readonly id: string | undefined;
  readonly unit: string;
  readonly subgroup: string;
  readonly leader: number;
  readonly supervisor: number | undefined;
  readonly rootDirectory: string;
  readonly owner: number;
}

export interface RegistryClient {
  register(machine: NewMachine): Promise<void>;
  unregister(name: string): Promise<void>;
  terminate(name: string): Promise<void>;
  kill(name: string, whom: string, signal: number): Promise<void>;
  describe(name: string): Promise<MachineDescription>;
  /** The name of the machine that the process is in; PID 0 is the client. */
  nameOf(pid: number): Promise<string>;
  /** The names of all machines. */
  list(): Promise<string[]>;
  mapFrom(kind: 'user' | 'group', name: string, id: number): Promise<number>;
  mapTo(kind: 'user' | 'group', id: number): Promise<{ name: string; id: number }>;
  osRelease(name: string): Promise<Record<string, string>>;
  logLevel(): Promise<number>;
  setLogLevel(level: number): Promise<void>;
}

/** Failures that every front end has a name for. */
export type KnownFailure =
  | 'no such machine'
  | 'no machine for this process'
  | 'machine exists'
  | 'already registered'
  | 'no such process'
  | 'invalid argument'
  | 'access denied'
  | 'authentication required'
  | 'no unit'
  | 'no such user'
  | 'no such group'
  | 'no such group in the machine'
  | 'user of the host'
  | 'not a container'
  | 'given up'
  | 'full';

export interface RegistryHarness extends AsyncDisposable {
  readonly world: World;
  connect(identity: ClientIdentity): Promise<RegistryClient>;
  /** Asserts that a call was answered with an error that stands for this. */
  isFailure(error: unknown, failure: KnownFailure): void;
}
