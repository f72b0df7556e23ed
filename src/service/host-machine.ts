import { isFailure } from '../domain/failure.js';
import { hostMachineName, noVsockCid, type Machine } from '../domain/machine.js';
import type { Clock } from '../ports/clock.js';
import type { Processes } from '../ports/processes.js';
import type { Units } from '../ports/units.js';

export interface HostMachinePorts {
  readonly processes: Processes;
  readonly units: Units;
  readonly clock: Clock;
}

/** `.host`: as old as the boot, led by PID 1. */
export function describeHost(ports: HostMachinePorts): Machine {
  const now = ports.clock.now();
  return {
    name: hostMachineName,
    id: ports.processes.hostId,
    class: 'host',
    service: '',
    leader: { pid: 1, pidfdId: identityOfInit(ports.processes) },
    supervisor: undefined,
    rootDirectory: '/',
    unit: ports.units.kind === 'none' ? '' : '-.slice',
    subgroup: '',
    networkInterfaces: [],
    vsockCid: noVsockCid,
    sshAddress: '',
    sshPrivateKeyPath: '',
    controlAddress: '',
    owner: 0,
    timestamp: { realtime: now.realtime - now.monotonic, monotonic: 0n },
    allocatedUnit: false,
    state: 'running',
  };
}

function identityOfInit(processes: Processes): bigint | undefined {
  try {
    using init = processes.open(1);
    return init.identity.pidfdId;
  } catch (error) {
    if (isFailure(error, 'system')) return undefined; // a PID namespace without a PID 1 in view
    throw error;
  }
}
