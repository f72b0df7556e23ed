// What the registry knows, in the words of this library: the same whichever protocol it came by.

/** 'host' is the host itself, which is always there under the name '.host'. */
export type MachineClass = 'container' | 'vm' | 'host';

/** opening: its scope is being made; closing: it is being ended. */
export type MachineState = 'opening' | 'running' | 'closing';

/** A process. The inode of its pidfd, where it is known, tells it from others that had its PID before. */
export interface Process {
  readonly pid: number;
  readonly pidfdId?: bigint | undefined;
}

/** A network address of a machine. */
export interface Address {
  readonly family: 'ipv4' | 'ipv6';
  /** As people write it: '192.168.1.2', 'fe80::1'. */
  readonly address: string;
  /** The interface that it is valid on, by the machine's own index; where it is told. */
  readonly interfaceIndex?: number | undefined;
}

/** What is known of a machine. What a release of the daemon or a protocol does not tell is absent. */
export interface Machine {
  readonly name: string;
  readonly class: MachineClass;
  /** 32 hexadecimal digits. */
  readonly id?: string | undefined;
  /** What software registered it. */
  readonly service?: string | undefined;
  readonly leader?: Process | undefined;
  /** The process that registered it. */
  readonly supervisor?: Process | undefined;
  /** Where its root directory is on the host. */
  readonly rootDirectory?: string | undefined;
  /** The unit that it runs in. */
  readonly unit?: string | undefined;
  /** The cgroup below its unit that holds it. */
  readonly subgroup?: string | undefined;
  /** When it was registered, in µs: CLOCK_REALTIME and CLOCK_MONOTONIC. */
  readonly timestamp?: { readonly realtime?: number | undefined; readonly monotonic?: number | undefined } | undefined;
  /** The host's network interfaces that lead to it; over D-Bus only. */
  readonly networkInterfaces?: readonly number[] | undefined;
  readonly vsockCid?: number | undefined;
  readonly sshAddress?: string | undefined;
  readonly sshPrivateKeyPath?: string | undefined;
  /** The Varlink address of who controls it; over Varlink only. */
  readonly controlAddress?: string | undefined;
  /** The user who registered it. */
  readonly uid?: number | undefined;
  readonly state?: MachineState | undefined;
  /** With `metadata` only, as are the following. */
  readonly addresses?: readonly Address[] | undefined;
  /** What its os-release(5) says. */
  readonly osRelease?: Readonly<Record<string, string>> | undefined;
  /** The host's id of its root user. */
  readonly uidShift?: number | undefined;
}

/** What happens to machines: first those that there are, then `ready`, then what changes. */
export type MachineEvent =
  | { readonly type: 'present' | 'added' | 'changed' | 'removed'; readonly machine: Machine }
  | { readonly type: 'ready' };

/** A machine to be registered. */
export interface NewMachine {
  readonly name: string;
  readonly class: 'container' | 'vm';
  /** The PID of its leader: the machine ends with it. This process, if absent. */
  readonly leader?: number | undefined;
  /** 32 hexadecimal digits. */
  readonly id?: string | undefined;
  /** What software registers it. */
  readonly service?: string | undefined;
  readonly rootDirectory?: string | undefined;
  readonly networkInterfaces?: readonly number[] | undefined;
  readonly vsockCid?: number | undefined;
  readonly sshAddress?: string | undefined;
  readonly sshPrivateKeyPath?: string | undefined;
  /** The Varlink address of who controls it; over Varlink only. */
  readonly controlAddress?: string | undefined;
  /** Whether to make a scope unit for it and move its leader there; otherwise it stays in the unit where it is. */
  readonly allocateUnit?: boolean | undefined;
}

/** Whom a signal is for. systemd 252 and 257 know no supervisor. */
export type KillWhom = 'leader' | 'supervisor' | 'all';

/** What runs on the other end of a terminal. */
export type TerminalRequest =
  /** Nothing: the caller does that itself. */
  | { readonly mode: 'tty' }
  /** A login prompt. */
  | { readonly mode: 'login' }
  /** A program, as a user. */
  | {
      readonly mode: 'shell';
      /** A name or a number; root, if absent. */
      readonly user?: string | undefined;
      /** An absolute path in the machine; the user's shell, if absent. */
      readonly program?: string | undefined;
      /** argv[0] first. */
      readonly arguments?: readonly string[] | undefined;
      readonly environment?: Readonly<Record<string, string>> | undefined;
    };

/** directory: a tree of files; subvolume: the same, as a btrfs subvolume; raw: a file with a disk's contents. */
export interface Image {
  readonly name: string;
  readonly type: string;
  readonly readOnly: boolean;
  readonly path?: string | undefined;
  /** In µs since 1970. */
  readonly created?: number | undefined;
  readonly modified?: number | undefined;
  /** In bytes, as are the following; absent where nothing accounts for it. */
  readonly usage?: number | undefined;
  readonly usageExclusive?: number | undefined;
  readonly limit?: number | undefined;
  readonly limitExclusive?: number | undefined;
  /** With `metadata` only, as are the following: what is found inside. */
  readonly hostname?: string | undefined;
  readonly machineId?: string | undefined;
  readonly machineInfo?: Readonly<Record<string, string>> | undefined;
  readonly osRelease?: Readonly<Record<string, string>> | undefined;
}

/** Where images are, and what they take together. */
export interface Pool {
  readonly path: string;
  /** In bytes; absent where nothing accounts for it. */
  readonly usage?: number | undefined;
  readonly limit?: number | undefined;
}

export interface RemovedImage {
  readonly name: string;
  /** The bytes that this set free, where it is known. */
  readonly freed?: number | undefined;
}

/** How far a copy has come. */
export interface Progress {
  readonly bytesDone?: number | undefined;
  readonly bytesTotal?: number | undefined;
  readonly filesDone?: number | undefined;
  readonly filesTotal?: number | undefined;
}

/** What every method accepts. */
export interface CallSettings {
  /** Milliseconds to wait for an answer; 0 for no limit. */
  readonly timeout?: number | undefined;
  /** Ends the waiting: the method rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** A user may be asked for a password (polkit). */
  readonly interactive?: boolean | undefined;
}

export interface MetadataSettings extends CallSettings {
  /** Whether to look inside, too; what cannot be found is left out. May need authorization. */
  readonly metadata?: boolean | undefined;
}
