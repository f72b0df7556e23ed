// What the daemon and its helpers say to each other over a socket: one JSON value a line, and descriptors beside it.
import type { ProcessIdentity } from '../../domain/machine.js';
import type { CommandEntrance, CommandNeeds, Entrance } from './entrance.js';
import type { CopyRecord } from './copy-records.js';
import type { GuestUser } from './guest-root-user.js';
import type { BindRequest, CopyRequest } from '../../ports/guest-files.js';
import type { ImageChange, ImagePlaces, ImageText } from '../images/image-change.js';
import type { MetadataText } from '../images/read-metadata.js';

/** Everything that helpers can be asked for. The program that answers is in guest-helper.ts. */
export interface Tasks {
  /** null: there is no such file. */
  'os-release': Task<{ readonly leader: LeaderText }, readonly (readonly [string, string])[] | null>;
  /** Its descriptor comes along. */
  'root-directory': Task<{ readonly leader: LeaderText }, null>;
  /** Two descriptors: the directories of the source and of the destination. */
  'locate-copy': Task<{ readonly leader: LeaderText; readonly copy: CopyRequest }, { readonly rootUser: GuestUser | null }>;
  /** May take hours. What 'locate-copy' has found comes with it. */
  'copy': Task<{ readonly copy: CopyRequest; readonly rootUser: GuestUser | null; readonly temporary: string }, null>;
  /** Of a copy that was killed. */
  'remove-leftovers': Task<CopyRecord, null>;
  /** The kernel's id of the mount that was made. */
  'bind': Task<{ readonly leader: LeaderText; readonly bind: BindRequest }, string>;
  /** One of these mounts; which one it was. */
  'unbind': Task<{ readonly leader: LeaderText; readonly destination: string; readonly mounts: readonly string[] }, string>;
  /** One descriptor: the master. The number is that of /dev/pts. */
  'open-terminal': Task<{ readonly leader: LeaderText }, number>;
  /** One descriptor: a socket that is connected to the system bus. Whom the bus takes it for, by its own ids. */
  'connect-bus': Task<{ readonly leader: LeaderText }, { readonly uid: number }>;
  /** For a user, and a program or '' for that user's shell; null: there is no such user. Its descriptors: see Entrance. */
  'find-entrance': Task<{ readonly leader: LeaderText; readonly user: string; readonly program: string }, Entrance | null>;
  'is-known': Task<{ readonly leader: LeaderText; readonly user: string; readonly program: string }, boolean>;
  /** null: there is no such user. Its descriptors: see Entrance. */
  'find-command': Task<{ readonly leader: LeaderText; readonly user: string; readonly needs: CommandNeeds }, CommandEntrance | null>;
  /** Fails with ENOENT if there is none. */
  'require-program': Task<{ readonly leader: LeaderText; readonly program: string }, null>;
  /** May take hours. */
  'change-image': Task<{ readonly change: ImageChange; readonly places: ImagePlaces }, null>;
  /** `locks`: where systemd-nspawn locks what it runs. */
  'image-metadata': Task<{ readonly image: ImageText; readonly locks: string }, MetadataText>;
}

interface Task<Input, Output> {
  readonly input: Input;
  readonly output: Output;
}

export type TaskName = keyof Tasks;

export interface Request<Name extends TaskName> {
  readonly task: Name;
  readonly input: Tasks[Name]['input'];
}

export type Answer<Name extends TaskName> =
  | { readonly output: Tasks[Name]['output'] }
  /** A symbolic errno, and what happened. */
  | { readonly errno: string; readonly message: string };

/** A helper's line that begins so is no answer, but says how far it has come: a Progress in JSON follows. */
export const newsMark = '+';

/** The daemon's line that is no request, but asks the helper to give up what it is doing. */
export const cancelLine = 'cancel';

/** One request or answer: a line without its newline. */
export interface HelperMessage {
  readonly text: string;
  /** Whose they are is said where a message is passed on. */
  readonly fds: readonly number[];
}

/** The descriptor of the helper's end of the socket. */
export const channelDescriptor = 3;

/** The most descriptors that a message brings. */
export const mostDescriptors = 9;

/** A process, as JSON has it. */
export interface LeaderText {
  readonly pid: number;
  /** Decimal: JSON has no numbers of 64 bits. null where the kernel has none. */
  readonly pidfdId: string | null;
}

export function leaderText({ pid, pidfdId }: ProcessIdentity): LeaderText {
  return { pid, pidfdId: pidfdId === undefined ? null : String(pidfdId) };
}

export function identityOf({ pid, pidfdId }: LeaderText): ProcessIdentity {
  return { pid, pidfdId: pidfdId === null ? undefined : BigInt(pidfdId) };
}
