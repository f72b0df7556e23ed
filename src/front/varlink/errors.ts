import type { Failure} from '../../domain/failure.js';
import { type FailureKind } from '../../domain/failure.js';

export interface VarlinkError {
  readonly error: string;
  readonly parameters: object;
}

const machine = 'io.systemd.Machine.';

const names: Readonly<Record<Exclude<FailureKind, 'system' | 'invalid-argument'>, string>> = {
  'no-such-machine': `${machine}NoSuchMachine`,
  'no-machine-for-pid': `${machine}NoSuchMachine`,
  'machine-exists': `${machine}MachineExists`,
  'no-such-image': 'io.systemd.MachineImage.NoSuchImage',
  'no-such-user': `${machine}NoSuchUser`,
  'no-such-execution': 'io.machined.Machine.NoSuchExecution',
  'no-such-user-mapping': `${machine}NoSuchUser`,
  'no-such-group-mapping': `${machine}NoSuchGroup`,
  'group-not-mapped': `${machine}NoSuchGroup`,
  'user-in-host-range': `${machine}UserInHostRange`,
  'group-in-host-range': `${machine}GroupInHostRange`,
  'no-private-networking': `${machine}NoPrivateNetworking`,
  'no-os-release': `${machine}NoOSReleaseInformation`,
  'no-uid-shift': `${machine}NoUIDShift`,
  'no-ipc': `${machine}NoIPC`,
  'not-available': `${machine}NotAvailable`,
  'not-supported': `${machine}NotSupported`,
  'not-a-container': `${machine}NotSupported`,
  'access-denied': 'org.varlink.service.PermissionDenied',
  'interactive-authentication-required': 'io.systemd.InteractiveAuthenticationRequired',
  'too-many-operations': 'io.systemd.MachineImage.TooManyOperations',
  'no-such-operation': 'io.machined.Operations.NoSuchOperation',
};

/** Errors that an interface has of its own for kinds of failures, with its name: 'io.machined.Machine.NoSuchMachine'. */
export type OwnErrors = Readonly<Partial<Record<FailureKind, string>>>;

/** What a caller on a Varlink socket is told of a failure. `errnoNumber` gives the number of a name as 'EINVAL', if it has one. */
export function varlinkError(
  failure: Failure,
  errnoNumber: (name: string) => number | undefined,
  ownErrors: OwnErrors = {},
): VarlinkError {
  const own = ownErrors[failure.kind];
  if (own !== undefined) return { error: own, parameters: {} };
  if (failure.kind === 'invalid-argument') return invalidParameter(failure.parameter ?? '');
  if (failure.kind !== 'system') return { error: names[failure.kind], parameters: {} };
  const errnoName = failure.errno ?? 'EIO';
  const errno = errnoNumber(errnoName);
  const parameters = errno === undefined ? { origin: 'linux', errnoName } : { origin: 'linux', errno, errnoName };
  return { error: 'io.systemd.System', parameters };
}

export function invalidParameter(parameter: string): VarlinkError {
  return { error: 'org.varlink.service.InvalidParameter', parameters: { parameter } };
}
