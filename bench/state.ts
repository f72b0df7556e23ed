// State files of machines that either daemon takes over when it starts: by far the quickest way to register thousands.
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { KernelProcesses } from '../src/host/kernel/processes.js';
import { machinePrefix } from './plan.js';

const stateDirectory = '/run/systemd/machines';

export interface Leader {
  readonly name: string;
  readonly unit: string;
  readonly pid: number;
}

/** The process that leaders.pl has made for a number. */
export function leaderOf(number: number): Leader {
  const name = `${machinePrefix}${number}`;
  const unit = `leader-${name}.service`;
  return { name, unit, pid: Number(readFileSync(`/sys/fs/cgroup/machine.slice/${unit}/cgroup.procs`, 'utf8')) };
}

/** Replaces all state with that of machines 0 … count - 1, as systemd-machined 262 writes it. */
export function writeStateFiles(count: number): void {
  for (const directory of [stateDirectory, '/run/machined']) rmSync(directory, { recursive: true, force: true });
  mkdirSync(stateDirectory, { recursive: true });
  const processes = new KernelProcesses();
  for (let number = 0; number < count; number++) {
    const { name, unit, pid } = leaderOf(number);
    using leader = processes.open(pid);
    const lines = [
      '# This is private data. Do not parse.', `NAME=${name}`, 'UID=0', `SCOPE=${unit}`, 'SERVICE=bench', 'ROOT=/', `LEADER=${pid}`,
      `LEADER_PIDFDID=${leader.identity.pidfdId}`, 'CLASS=container', 'REALTIME=1700000000000000', 'MONOTONIC=1000000',
      'VSOCK_CID=4294967295',
    ];
    writeFileSync(`${stateDirectory}/${name}`, `${lines.join('\n')}\n`);
    symlinkSync(name, `${stateDirectory}/unit:${unit}`);
  }
}
