import { invalidArgument, isFailure, systemFailure, type Failure } from '../../domain/failure.js';
import type { MachineClass } from '../../domain/machine.js';
import {
  checkMachineClass,
  checkMachineId,
  checkNetworkInterfaces,
  checkRootDirectory,
  checkVsockCid,
} from '../../domain/registration.js';
import type { ProcessHandle, Processes } from '../../ports/processes.js';
import type { RegisterRequest } from '../../service/machines.js';
import type { Variant } from '../../wire/dbus/value.js';

/** The properties that the Ex methods take, with their types. Source: org.freedesktop.machine1(5), RegisterMachineEx(). */
const signatures: Readonly<Record<string, string>> = {
  Id: 'ay',
  Service: 's',
  Class: 's',
  LeaderPID: 'u',
  LeaderPIDFD: 'h',
  LeaderPIDFDID: 't',
  RootDirectory: 's',
  NetworkInterfaces: 'ai',
  VSockCID: 'u',
  SSHAddress: 's',
  SSHPrivateKeyPath: 's',
};

/**
 * Reads the properties of CreateMachineEx and RegisterMachineEx; the last of two of the same name counts. Opens the
 * leader, which the caller of this owns then. Throws Failure 'invalid-argument' or 'system'.
 */
export function readExtendedProperties(
  name: string,
  properties: readonly (readonly [string, Variant])[],
  processes: Processes,
): Pick<RegisterRequest, 'registration' | 'leader'> {
  const values: Record<string, unknown> = {};
  for (const [property, { signature, value }] of properties) {
    const expected = Object.hasOwn(signatures, property) ? signatures[property] : undefined;
    if (expected === undefined) throw invalidArgument(property, `Unknown property '${property}'`);
    if (signature !== expected) throw wrongType(property);
    values[property] = checkProperty(property, value);
  }
  const text = (property: string) => (values[property] as string | undefined) ?? '';
  const registration = {
    name,
    id: values['Id'] as string | undefined,
    class: values['Class'] as MachineClass | undefined,
    service: text('Service'),
    rootDirectory: text('RootDirectory'),
    networkInterfaces: (values['NetworkInterfaces'] as readonly number[] | undefined) ?? [],
    // not noVsockCid: the original shows 0 for machines that were registered this way without a CID
    vsockCid: (values['VSockCID'] as number | undefined) ?? 0,
    sshAddress: text('SSHAddress'),
    sshPrivateKeyPath: text('SSHPrivateKeyPath'),
    controlAddress: '',
  };
  return { registration, leader: openNamedLeader(values, processes) };
}

function wrongType(property: string): Failure {
  if (property === 'Id') return invalidArgument('id', 'Invalid machine ID parameter');
  return systemFailure('ENXIO', 'No such device or address');
}

function checkProperty(property: string, value: unknown): unknown {
  switch (property) {
    case 'Id':
      return checkMachineId(value as Uint8Array);
    case 'Class':
      return value === '' ? undefined : checkMachineClass(value as string);
    case 'RootDirectory':
      return checkRootDirectory(value as string);
    case 'NetworkInterfaces':
      return checkNetworkInterfaces(value as readonly number[]);
    case 'VSockCID':
      return checkVsockCid(value as number);
    default:
      return value;
  }
}

/** By pidfd, or by PID and the inode of its pidfd; a PID alone might mean another process by now. 0 is as if not given. */
function openNamedLeader(values: Readonly<Record<string, unknown>>, processes: Processes): ProcessHandle | undefined {
  const pid = (values['LeaderPID'] as number | undefined) || undefined;
  const pidfd = values['LeaderPIDFD'] as number | undefined;
  const pidfdId = (values['LeaderPIDFDID'] as bigint | undefined) || undefined;
  if (pidfd !== undefined) return openByDescriptor(processes, pidfd, { pid, pidfdId });
  if (pid === undefined && pidfdId === undefined) return undefined;
  if (pid === undefined || pidfdId === undefined) {
    throw invalidArgument(
      'leader',
      'Both LeaderPID and LeaderPIDFDID must be specified to identify the leader process by PIDFDID',
    );
  }
  const leader = openLeader(processes, pid);
  if (leader === undefined || leader.identity.pidfdId === pidfdId) return leader;
  leader[Symbol.dispose]();
  throw systemFailure('ESRCH', `Failed to pin process ${pid} by PIDFDID ${pidfdId}: No such process`);
}

/** What is said of a process that is given as a pidfd. */
interface Claims {
  readonly pid: number | undefined;
  readonly pidfdId: bigint | undefined;
}

function openByDescriptor(processes: Processes, pidfd: number, claims: Claims): ProcessHandle {
  const leader = openPidFd(processes, pidfd);
  const problem = problemWith(leader, claims);
  if (problem === undefined) return leader;
  leader[Symbol.dispose]();
  throw problem;
}

function openPidFd(processes: Processes, pidfd: number): ProcessHandle {
  try {
    return processes.openPidFd(pidfd);
  } catch (error) {
    if (!isFailure(error, 'system') || error.errno !== 'EBADF') throw error;
    throw systemFailure('ENOTTY', `Failed to parse PIDFD ${pidfd}: Inappropriate ioctl for device`, error);
  }
}

function problemWith({ identity }: ProcessHandle, { pid, pidfdId }: Claims): Failure | undefined {
  if (identity.pid === 1) return invalidArgument('leader', 'Invalid leader PID');
  if (pid !== undefined && pid !== identity.pid) {
    return invalidArgument('leader', 'LeaderPID and LeaderPIDFD refer to different processes');
  }
  if (pidfdId !== undefined && pidfdId !== identity.pidfdId) {
    return invalidArgument('leader', 'LeaderPIDFDID does not match the inode number of LeaderPIDFD');
  }
  return undefined;
}

/** 0 is the caller: undefined. Throws Failure 'invalid-argument' for PID 1, 'system' (ESRCH) if there is no such process. */
export function openLeader(processes: Processes, pid: number): ProcessHandle | undefined {
  if (pid === 0) return undefined;
  if (pid === 1) throw invalidArgument('leader', 'Invalid leader PID');
  const signed = pid | 0; // as a pid_t has it, and as the message says it
  try {
    if (signed < 0) throw systemFailure('ESRCH', 'No such process');
    return processes.open(signed);
  } catch (error) {
    if (!isFailure(error, 'system') || error.errno !== 'ESRCH') throw error;
    throw systemFailure('ESRCH', `Failed to pin process ${signed}: No such process`, error);
  }
}
