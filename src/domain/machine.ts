import type { UserId } from './users.js';

/** 'host' is the class of `.host` alone: nobody can register it. */
export type MachineClass = 'container' | 'vm' | 'host';
export const machineClasses: readonly MachineClass[] = ['container', 'vm', 'host'];

/** opening: its scope is being made; closing: it is being terminated or has ended and is about to go. */
export type MachineState = 'opening' | 'running' | 'closing';

/** A process that no later process can be mistaken for: its PID, and the inode of its pidfd where the kernel has pidfs. */
export interface ProcessIdentity {
  readonly pid: number;
  readonly pidfdId: bigint | undefined;
}

/** Both in µs: CLOCK_REALTIME and CLOCK_MONOTONIC. */
export interface Timestamp {
  readonly realtime: bigint;
  readonly monotonic: bigint;
}

/** AF_VSOCK's VMADDR_CID_ANY, which stands for "no CID" on D-Bus and in state files. */
export const noVsockCid = 0xffffffff;

/** What is known of a machine. Everything but the state is fixed when it is registered. */
export interface Machine {
  readonly name: string;
  /** 32 lower-case hexadecimal digits; undefined if the machine has none. */
  readonly id: string | undefined;
  readonly class: MachineClass;
  /** Free text that names the software which registered it; may be empty. */
  readonly service: string;
  readonly leader: ProcessIdentity;
  readonly supervisor: ProcessIdentity | undefined;
  /** An absolute path on the host, or ''. */
  readonly rootDirectory: string;
  /** The service manager's unit, or ''. */
  readonly unit: string;
  /** The cgroup below the unit's that holds the machine, without a leading slash, or ''. */
  readonly subgroup: string;
  readonly networkInterfaces: readonly number[];
  /** `noVsockCid` if there is none. */
  readonly vsockCid: number;
  readonly sshAddress: string;
  readonly sshPrivateKeyPath: string;
  readonly controlAddress: string;
  /** Who registered it. */
  readonly owner: UserId;
  readonly timestamp: Timestamp;
  /** Whether `unit` was made for the machine at its registration, and goes with it. */
  readonly allocatedUnit: boolean;
  readonly state: MachineState;
}

/** The host itself, which is always there. */
export const hostMachineName = '.host';
