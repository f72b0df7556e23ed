import type { ExecResult } from './execution.js';
import type {
  Address, CallSettings, Image, KillWhom, Machine, MetadataSettings, NewMachine, Pool, RemovedImage, TerminalRequest,
} from './model.js';

/** A user or a group. */
export type IdKind = 'user' | 'group';

/** A terminal of a machine. The descriptor is the receiver's to close. */
export interface OpenedTerminal {
  readonly fd: number;
  readonly path: string;
}

/** A command, as it is asked for. What is absent, the machine decides. */
export interface CommandRequest {
  readonly machine: string;
  readonly command: readonly string[];
  readonly user?: string | undefined;
  readonly environment?: Readonly<Record<string, string>> | undefined;
  readonly workingDirectory?: string | undefined;
  /** Milliseconds. */
  readonly timeLimit?: number | undefined;
  /** Its standard input, output and error: the caller's, who may close them when the call has ended. */
  readonly descriptors: readonly [number, number, number];
}

/** A command that runs, until it ends, or is ended. */
export interface RunningCommand {
  /** On the host, where it is told. */
  readonly pid: number | undefined;
  /** Rejects with MachinedError, `disconnected` if the daemon goes, or with the reason that the command was ended for. */
  readonly ended: Promise<ExecResult>;
  /** Rejects with MachinedError if it has ended. */
  kill(signal: number, settings: CallSettings): Promise<void>;
  /** Ends it with all of its processes. */
  end(reason: Error): void;
}

/**
 * What the library needs of a protocol. Everything rejects with MachinedError, `not-offered` where the protocol or the
 * daemon's release has no such method, or with the reason of the signal.
 */
export interface Backend extends Disposable {
  list(settings: MetadataSettings): Promise<readonly Machine[]>;
  get(name: string, settings: MetadataSettings): Promise<Machine>;
  getByPid(pid: number, settings: MetadataSettings): Promise<Machine>;
  register(machine: NewMachine & { readonly leader: number }, settings: CallSettings): Promise<void>;
  unregister(name: string, settings: CallSettings): Promise<void>;
  terminate(name: string, settings: CallSettings): Promise<void>;
  kill(name: string, signal: number, whom: KillWhom, settings: CallSettings): Promise<void>;
  addresses(name: string, settings: CallSettings): Promise<readonly Address[]>;
  osRelease(name: string, settings: CallSettings): Promise<Readonly<Record<string, string>>>;
  uidShift(name: string, settings: CallSettings): Promise<number>;
  openTerminal(name: string, request: TerminalRequest, settings: CallSettings): Promise<OpenedTerminal>;
  /** Resolves when the command runs; aborting the signal ends it also later. */
  exec(request: CommandRequest, settings: CallSettings): Promise<RunningCommand>;
  openRoot(name: string, settings: CallSettings): Promise<number>;
  bind(name: string, source: string, destination: string, options: BindOptions, settings: CallSettings): Promise<void>;
  unbind(name: string, destination: string, settings: CallSettings): Promise<void>;
  copy(copy: Copy, settings: CallSettings): Promise<void>;
  /** The host's id of a user or group of a machine. */
  mapFrom(name: string, kind: IdKind, id: number, settings: CallSettings): Promise<number>;
  /** The machine that a user or group of the host belongs to, and its id there. */
  mapTo(kind: IdKind, id: number, settings: CallSettings): Promise<{ readonly machine: string; readonly id: number }>;

  listImages(settings: MetadataSettings): Promise<readonly Image[]>;
  getImage(name: string, settings: MetadataSettings): Promise<Image>;
  cloneImage(name: string, newName: string, readOnly: boolean, settings: CallSettings): Promise<void>;
  renameImage(name: string, newName: string, settings: CallSettings): Promise<void>;
  removeImage(name: string, settings: CallSettings): Promise<void>;
  setImageReadOnly(name: string, readOnly: boolean, settings: CallSettings): Promise<void>;
  setImageLimit(name: string, bytes: bigint, settings: CallSettings): Promise<void>;
  pool(settings: CallSettings): Promise<Pool>;
  setPoolLimit(bytes: bigint, settings: CallSettings): Promise<void>;
  cleanPool(mode: 'hidden' | 'all', settings: CallSettings): Promise<readonly RemovedImage[]>;
}

export interface BindOptions {
  readonly readOnly: boolean;
  readonly mkdir: boolean;
}

export interface Copy {
  readonly direction: 'from' | 'to';
  readonly machine: string;
  readonly source: string;
  readonly destination: string;
  readonly replace: boolean;
}

/** "No limit" in both protocols. */
export const noLimit = 2n ** 64n - 1n;
