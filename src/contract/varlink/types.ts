import { isMachineName } from '../../domain/name.js';
import { isAbsolutePath, isNormalizedPath } from '../../domain/path.js';
import { isNullId } from '../../domain/registration.js';
import { isEnvironment, isShellUser } from '../../domain/shell.js';
import { signalByName } from '../../domain/signals.js';
import { hostMachineName } from '../../domain/machine.js';
import { isUserId, isUserName } from '../../domain/users.js';
import {
  arrayOf,
  boolean,
  custom,
  integer,
  nullable,
  refined,
  required,
  string,
  structure,
  unsigned64,
  type Fields,
  type Type,
} from '../../wire/varlink/schema.js';
import { isObject, type JsonValue } from '../../wire/varlink/json.js';
import type { Authorization } from '../authorization.js';

/** What a method's declaration says beyond its parameters. */
export interface MethodExtra {
  readonly authorization: Authorization;
}

/** 32 hexadecimal digits, or a UUID with its hyphens, not all zero; read as 32 lower-case digits. Zero is no id: ''. */
export const machineId = custom(string, (value) => {
  if (typeof value !== 'string') return undefined;
  const plain = /^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$/.test(value) ? value.replaceAll('-', '') : value;
  if (!/^[0-9a-fA-F]{32}$/.test(plain)) return undefined;
  return isNullId(plain) ? '' : plain.toLowerCase();
});

const bootId = machineId;

export const processId = structure('ProcessId', 'A process. The inode of its pidfd tells it from others that had its PID before.', {
  pid: required(integer({ minimum: 0, maximum: 0x7fffffff, text: true }), 'Its PID.'),
  pidfdId: nullable(unsigned64({ text: true }), 'The inode of a pidfd of it.', { acceptsNull: true }),
  bootId: nullable(bootId, 'The id of the boot in which that inode is valid.'),
});

/** A process that a caller means; what is undefined was not said. */
export interface ProcessReference {
  readonly pid: number;
  readonly pidfdId?: bigint | undefined;
  readonly bootId?: string | undefined;
}

/** What null stands for where an inode number belongs: no pidfd has it. */
export const noPidfdId = 2n ** 64n - 1n;

/** Zero, in the inode and in the boot's id, says nothing. */
function readProcess(value: JsonValue): ProcessReference | undefined {
  const process = processId.read(value);
  if (process === undefined || !isObject(value)) return undefined;
  const pidfdId = value['pidfdId'] === null ? noPidfdId : process.pidfdId;
  return { pid: process.pid, pidfdId: pidfdId === 0n ? undefined : pidfdId, bootId: process.bootId === '' ? undefined : process.bootId };
}

/** A ProcessId that names a process. */
export const namedProcess = custom<ProcessReference>(processId, (value) => {
  const process = readProcess(value);
  return process?.pid === 0 ? undefined : process;
});

/** A ProcessId where PID 0 is the caller's own, and then all that may be said. */
const namedOrOwnProcess = custom<ProcessReference>(processId, (value) => {
  const process = readProcess(value);
  const saysMore = process?.pidfdId !== undefined || process?.bootId !== undefined;
  return process?.pid === 0 && saysMore ? undefined : process;
});

export const timestamp = structure('Timestamp', 'A point in time on two clocks, in µs.', {
  realtime: nullable(integer(), 'CLOCK_REALTIME.'),
  monotonic: nullable(integer(), 'CLOCK_MONOTONIC.'),
});

/** A name that some machine may have; `.host` is one here. */
const isKnowable = (name: string): boolean => isMachineName(name) || name === hostMachineName;

export const absolutePath = refined(string, isAbsolutePath);

/** An absolute path without '.', '..' and '//' in it. */
export const normalizedPath = refined(string, isNormalizedPath);

/** A signal's number, as a number or as text, or its name with or without SIG: signal(7). */
export const signalNumber = custom(integer(), (value) => {
  const byName = typeof value === 'string' ? signalByName(value) : undefined;
  return byName ?? integer({ minimum: 1, maximum: 64, text: true }).read(value);
});

export const userId = refined(integer({ minimum: 0, maximum: 0xffffffff }), isUserId);

export const interactiveField = {
  allowInteractiveAuthentication: nullable(boolean, 'Whether a user may be asked for a password; false if absent.'),
} as const satisfies Fields;

/** How a caller says which machine it means. */
export const referenceFields = {
  name: nullable(string, 'The name of a machine.', { check: isKnowable }),
  pid: nullable(namedOrOwnProcess, "A process of a machine; PID 0 is the caller's own.", { acceptsNull: true }),
  ...interactiveField,
} as const satisfies Fields;

export const userName = refined(string, isUserName);

/** A user's name, or a user id in decimal. */
export const userNameOrId = refined(string, isShellUser);

/** KEY=value, each key once. */
export const environmentList = refined(arrayOf(string), isEnvironment);

/** KEY=value; of several values for one key, the last holds. */
export const overridingEnvironment = custom<readonly string[]>(arrayOf(string), (value) => {
  const assignments = arrayOf(string).read(value)?.map((text) => [text.split('=', 1)[0], text] as const);
  const lasting = [...new Map(assignments).values()];
  return assignments !== undefined && assignments.every(([, text]) => isEnvironment([text])) ? lasting : undefined;
});

/** Described, and looked at by nobody: whatever has the shape will do. */
export function ignored(type: Type<unknown>): Type<true> {
  return custom<true>(type, () => true);
}

/** Described, because other services have it, but refused whatever its value. */
export function refused<T>(type: Type<T>): Type<T> {
  return custom<T>(type, () => undefined);
}
