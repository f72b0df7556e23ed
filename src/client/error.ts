import { isBusError } from '../transport/dbus/bus-error.js';
import { VarlinkError } from '../transport/varlink/varlink-error.js';

/**
 * What went wrong, whichever protocol was spoken:
 *
 * - `not-offered`: this release of the daemon, or this protocol, has no such method.
 * - `unreachable`: nobody answers at that address. `disconnected`: the connection broke during the call, which may or may
 *   not have been carried out. `timed-out`: no answer came in time. `protocol`: the answer was none.
 * - `authentication-required`: it would work if a user were asked for a password (`interactive`).
 * - `system`: the operating system refused; `errno` says how.
 * - `other`: an error that this library does not know; `errorName` has it.
 * - all others are what the registry says of machines, images and users.
 */
export type MachinedErrorCode =
  | 'no-such-machine'
  | 'machine-exists'
  | 'no-such-image'
  | 'no-such-user'
  | 'no-such-group'
  | 'no-private-networking'
  | 'no-os-release'
  | 'no-uid-shift'
  | 'no-ipc'
  | 'not-available'
  | 'not-supported'
  | 'invalid-argument'
  | 'access-denied'
  | 'authentication-required'
  | 'too-many-operations'
  | 'no-such-operation'
  | 'not-offered'
  | 'unreachable'
  | 'disconnected'
  | 'timed-out'
  | 'protocol'
  | 'system'
  | 'other';

export interface MachinedErrorDetails {
  /** As the protocol has it: 'io.systemd.Machine.NoSuchMachine', 'org.freedesktop.machine1.NoSuchMachine'. */
  readonly errorName?: string | undefined;
  /** 'ENOENT' for example. */
  readonly errno?: string | undefined;
  /** The parameter that was wrong, for `invalid-argument` over Varlink. */
  readonly parameter?: string | undefined;
  readonly cause?: unknown;
}

/** A call failed in a way that its caller may expect. Anything else that this library throws is a bug of it or of its user. */
export class MachinedError extends Error {
  override readonly name = 'MachinedError';
  readonly code: MachinedErrorCode;
  readonly errorName: string | undefined;
  readonly errno: string | undefined;
  readonly parameter: string | undefined;

  constructor(code: MachinedErrorCode, message: string, details: MachinedErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.errorName = details.errorName;
    this.errno = details.errno;
    this.parameter = details.parameter;
  }
}

/** Whether it is one, and of this code if one is given. */
export function isMachinedError(error: unknown, code?: MachinedErrorCode): error is MachinedError {
  return error instanceof MachinedError && (code === undefined || error.code === code);
}

/** By the last part of an error's name, which means the same in all interfaces of both protocols. */
const codes: Readonly<Record<string, MachinedErrorCode>> = {
  NoSuchMachine: 'no-such-machine',
  NoMachineForPID: 'no-such-machine',
  MachineExists: 'machine-exists',
  NoSuchImage: 'no-such-image',
  NoSuchUser: 'no-such-user',
  NoSuchUserMapping: 'no-such-user',
  UserInHostRange: 'no-such-user',
  NoSuchGroup: 'no-such-group',
  NoSuchGroupMapping: 'no-such-group',
  GroupInHostRange: 'no-such-group',
  NoPrivateNetworking: 'no-private-networking',
  NoOSReleaseInformation: 'no-os-release',
  NoUIDShift: 'no-uid-shift',
  NoIPC: 'no-ipc',
  NotAvailable: 'not-available',
  NotSupported: 'not-supported',
  InvalidParameter: 'invalid-argument',
  InvalidArgs: 'invalid-argument',
  PermissionDenied: 'access-denied',
  AccessDenied: 'access-denied',
  InteractiveAuthenticationRequired: 'authentication-required',
  InteractiveAuthorizationRequired: 'authentication-required',
  TooManyOperations: 'too-many-operations',
  LimitsExceeded: 'too-many-operations',
  NoSuchOperation: 'no-such-operation',
  NotCancelable: 'not-supported',
  MethodNotFound: 'not-offered',
  InterfaceNotFound: 'not-offered',
  MethodNotImplemented: 'not-offered',
  UnknownMethod: 'not-offered',
  UnknownInterface: 'not-offered',
  UnknownProperty: 'not-offered',
  UnknownObject: 'not-offered',
  ServiceUnknown: 'unreachable',
  NameHasNoOwner: 'unreachable',
  NoSuchUnit: 'unreachable',
  UnitMasked: 'unreachable',
  Disconnected: 'disconnected',
  NoReply: 'timed-out',
  TimedOut: 'timed-out',
  Protocol: 'protocol',
  ExpectedMore: 'protocol',
  InconsistentMessage: 'protocol',
  System: 'system',
};

/** The errors of the operating system that D-Bus has names for; the others are 'System.Error.' and their own. */
const errnosOnBus: Readonly<Record<string, string>> = {
  FileExists: 'EEXIST',
  FileNotFound: 'ENOENT',
  IOError: 'EIO',
  NoMemory: 'ENOMEM',
  Timeout: 'ETIMEDOUT',
  UnixProcessIdUnknown: 'ESRCH',
  AddressInUse: 'EADDRINUSE',
  BadAddress: 'EADDRNOTAVAIL',
};

/** What a failed call or connection is to the caller; bugs are thrown on, and so is the reason of an AbortSignal. */
export function machinedError(error: unknown): unknown {
  if (error instanceof MachinedError) return error;
  if (error instanceof VarlinkError) return ofVarlink(error);
  if (isBusError(error)) return ofBus(error.busName, error);
  return error;
}

/** The failure to reach a socket. */
export function unreachable(address: string, cause: unknown): MachinedError {
  const ofSystem = cause instanceof Error && !(cause instanceof MachinedError) && 'code' in cause && typeof cause.code === 'string';
  const code = ofSystem ? String(cause.code) : undefined;
  const denied = code === 'EACCES' || code === 'EPERM';
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new MachinedError(denied ? 'access-denied' : 'unreachable', `Nobody answers at ${address}: ${reason}`, { errno: code, cause });
}

function ofVarlink(error: VarlinkError): MachinedError {
  const { errnoName, parameter } = error.parameters;
  return new MachinedError(codeOf(error.varlinkName), error.message, {
    errorName: error.varlinkName,
    errno: typeof errnoName === 'string' ? errnoName : undefined,
    parameter: typeof parameter === 'string' ? parameter : undefined,
    cause: error,
  });
}

function ofBus(errorName: string, cause: Error): MachinedError {
  const last = lastPart(errorName);
  const errno = errorName.startsWith('System.Error.') ? last : errnosOnBus[last];
  const activationFailed = errorName.startsWith('org.freedesktop.DBus.Error.Spawn.');
  const code = activationFailed ? 'unreachable' : errno === undefined ? codeOf(errorName) : 'system';
  return new MachinedError(code, cause.message, { errorName, errno, cause });
}

function codeOf(errorName: string): MachinedErrorCode {
  const last = lastPart(errorName);
  return Object.hasOwn(codes, last) ? (codes[last] as MachinedErrorCode) : 'other';
}

function lastPart(errorName: string): string {
  return errorName.slice(errorName.lastIndexOf('.') + 1);
}
