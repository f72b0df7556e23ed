import type { Handlers, Readers } from '../../contract/dbus/declare.js';
import { machineInterface } from '../../contract/dbus/machine.js';
import { isFailure } from '../../domain/failure.js';
import type { Machine } from '../../domain/machine.js';
import type { Authority } from '../../ports/authority.js';
import type { MachineInspector } from '../../service/inspector.js';
import type { Terminal } from '../../ports/terminals.js';
import type { MachineFiles } from '../../service/machine-files.js';
import type { Machines } from '../../service/machines.js';
import type { MachineTerminals } from '../../service/terminals.js';
import type { IncomingCall } from './incoming.js';
import { fileMethods } from './machine-files.js';
import { bindInterface, type ObjectKind } from './objects.js';
import { nameInPath } from './paths.js';

const noBytes = new Uint8Array(0);

const readers: Readers<typeof machineInterface, Machine> = {
  Name: (machine) => machine.name,
  Id: (machine) => (machine.id === undefined ? noBytes : Buffer.from(machine.id, 'hex')),
  Timestamp: (machine) => machine.timestamp.realtime,
  TimestampMonotonic: (machine) => machine.timestamp.monotonic,
  Service: (machine) => machine.service,
  Unit: (machine) => machine.unit,
  Scope: (machine) => machine.unit,
  Subgroup: (machine) => machine.subgroup,
  Leader: (machine) => machine.leader.pid,
  LeaderPIDFDId: (machine) => machine.leader.pidfdId ?? 0n,
  Supervisor: (machine) => machine.supervisor?.pid ?? 0,
  SupervisorPIDFDId: (machine) => machine.supervisor?.pidfdId ?? 0n,
  Class: (machine) => machine.class,
  RootDirectory: (machine) => machine.rootDirectory,
  NetworkInterfaces: (machine) => [...machine.networkInterfaces],
  VSockCID: (machine) => machine.vsockCid,
  SSHAddress: (machine) => machine.sshAddress,
  SSHPrivateKeyPath: (machine) => machine.sshPrivateKeyPath,
  State: (machine) => machine.state,
  UID: (machine) => machine.owner,
};

export interface MachineServices {
  readonly authority: Authority;
  readonly machines: Machines;
  readonly inspector: MachineInspector;
  readonly terminals: MachineTerminals;
  readonly files: MachineFiles;
}

function machineHandlers(services: MachineServices): Handlers<typeof machineInterface, IncomingCall, Machine> {
  const { machines, inspector, terminals } = services;
  const { bindMount, copyFrom, copyTo, openRootDirectory } = fileMethods(services.files);
  return {
    Terminate: async (machine, _input, call) => {
      await machines.terminate(call, { name: machine.name });
      return {};
    },
    Kill: async (machine, { whom, signal }, call) => {
      await machines.kill(call, { name: machine.name }, whom, signal);
      return {};
    },
    GetAddresses: async (machine) => ({ addresses: addressRows(await inspector.addresses(machine)) }),
    GetSSHInfo: (machine) => sshInfo(inspector, machine),
    GetOSRelease: async (machine, _input, call) => ({ fields: await inspector.osRelease(call, machine) }),
    GetUIDShift: (machine) => ({ shift: inspector.uidShift(machine) }),
    OpenPTY: async (machine, _input, call) => terminalReply(await terminals.openPty(call, machine), call),
    OpenLogin: async (machine, _input, call) => terminalReply(await terminals.openLogin(call, machine), call),
    OpenShell: async (machine, input, call) => terminalReply(await terminals.openShell(call, machine, input), call),
    BindMount: bindMount,
    CopyFrom: copyFrom,
    CopyTo: copyTo,
    CopyFromWithFlags: copyFrom,
    CopyToWithFlags: copyTo,
    OpenRootDirectory: openRootDirectory,
  };
}

export function addressRows(addresses: Awaited<ReturnType<MachineInspector['addresses']>>): [number, Uint8Array][] {
  return addresses.map(({ family, bytes }) => [family, bytes]);
}

export function terminalReply({ fd, path }: Terminal, call: IncomingCall): { pty: number; pty_path: string } {
  return { pty: call.passDescriptor(fd), pty_path: path };
}

export function sshInfo(inspector: MachineInspector, machine: Machine): { ssh_address: string; ssh_private_key_path: string } {
  const { address, privateKeyPath } = inspector.sshInfo(machine);
  return { ssh_address: address, ssh_private_key_path: privateKeyPath };
}

/** The objects below /org/freedesktop/machine1/machine; 'self' is the machine that the caller runs in. */
export function machineObjects(services: MachineServices): ObjectKind<Machine> {
  const { machines } = services;
  return {
    interfaces: [bindInterface(machineInterface, machineHandlers(services), readers)],
    find(path, call) {
      const name = nameInPath(path);
      if (name === undefined) return undefined;
      return name === 'self' && call !== undefined ? findOwn(machines, call) : machines.find(name);
    },
  };
}

async function findOwn(machines: Machines, call: IncomingCall): Promise<Machine | undefined> {
  try {
    return await machines.byPid(0, call);
  } catch (error) {
    if (isFailure(error)) return undefined;
    throw error;
  }
}
