import type { Failure} from '../../domain/failure.js';
import { type FailureKind } from '../../domain/failure.js';

const standard = 'org.freedesktop.DBus.Error.';
const machine1 = 'org.freedesktop.machine1.';

const names: Readonly<Record<Exclude<FailureKind, 'system'>, string>> = {
  'no-such-machine': `${machine1}NoSuchMachine`,
  'no-machine-for-pid': `${machine1}NoMachineForPID`,
  'machine-exists': `${machine1}MachineExists`,
  'no-such-image': `${machine1}NoSuchImage`,
  'no-such-user': `${machine1}NoSuchUser`,
  'no-such-execution': 'io.machined.NoSuchExecution',
  'no-such-user-mapping': `${machine1}NoSuchUserMapping`,
  'no-such-group-mapping': `${machine1}NoSuchGroupMapping`,
  'group-not-mapped': `${machine1}NoSuchUserMapping`, // as the original has it
  // the original has one name for "none of mine" and "the host's"
  'user-in-host-range': `${machine1}NoSuchUserMapping`,
  'group-in-host-range': `${machine1}NoSuchGroupMapping`,
  'no-private-networking': `${machine1}NoPrivateNetworking`,
  'no-os-release': `${standard}FileNotFound`,
  'no-uid-shift': `${machine1}NoUIDShift`,
  'no-ipc': `${standard}NotSupported`,
  'not-available': `${standard}NotSupported`,
  'not-supported': `${standard}NotSupported`,
  'not-a-container': `${standard}InvalidArgs`,
  'invalid-argument': `${standard}InvalidArgs`,
  'access-denied': `${standard}AccessDenied`,
  'interactive-authentication-required': `${standard}InteractiveAuthorizationRequired`,
  'too-many-operations': `${standard}LimitsExceeded`,
  'no-such-operation': 'io.machined.NoSuchOperation',
};

/** The errors of the operating system that D-Bus has a name for; the others are 'System.Error.' and their own. */
const errnoNames: Readonly<Record<string, string>> = {
  EACCES: 'AccessDenied',
  EADDRINUSE: 'AddressInUse',
  EADDRNOTAVAIL: 'BadAddress',
  EEXIST: 'FileExists',
  EINVAL: 'InvalidArgs',
  EIO: 'IOError',
  ENOENT: 'FileNotFound',
  ENOMEM: 'NoMemory',
  EOPNOTSUPP: 'NotSupported',
  EPERM: 'AccessDenied',
  ESRCH: 'UnixProcessIdUnknown',
  ETIMEDOUT: 'Timeout',
};

export interface ErrorReply {
  readonly name: string;
  readonly message: string;
}

/** What a caller on the bus is told of a failure. */
export function errorReply(failure: Failure): ErrorReply {
  return { name: failure.busError ?? nameOf(failure), message: failure.message };
}

function nameOf(failure: Failure): string {
  if (failure.kind !== 'system') return names[failure.kind];
  const errno = failure.errno ?? 'EIO';
  const known = errnoNames[errno];
  return known === undefined ? `System.Error.${errno}` : standard + known;
}

/** A call that does not fit the interfaces of the object it was made to. */
export class CallError extends Error {
  override readonly name = 'CallError';
  readonly errorName: string;

  constructor(shortName: string, message: string) {
    super(message);
    this.errorName = standard + shortName;
  }
}

/** A message for a terminal: control characters but tab and newline as '\\x1b', each byte of their UTF-8 like this. */
export function printable(message: string): string {
  return message.replace(/[\u0001-\u0008\u000b-\u001f\u007f-\u009f]/g, (character) =>
    Array.from(Buffer.from(character), (byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join(''),
  );
}
