// What machines use, as the kernel counts it: cgroup-v2.rst, proc_pid_io(5), proc_pid_net(5).
import path from 'node:path';
import { processesOf, readText, unitCgroup } from './cgroups.js';

/** Sums since the machine began, but for tasks and memory; undefined is not known. */
export interface Usage {
  /** Processes. */
  readonly tasks: number | undefined;
  /** Microseconds of all processors. */
  readonly cpu: number | undefined;
  /** Bytes. */
  readonly memory: number | undefined;
  readonly read: number | undefined;
  readonly written: number | undefined;
  /** Bytes that the machine has received and sent; undefined where it shares the host's network. */
  readonly received: number | undefined;
  readonly sent: number | undefined;
}

/** Of the machine with that leader, and its unit. */
export function readUsage(leader: number, unit: string): Usage {
  const cgroup = unitCgroup(leader, unit);
  const directory = cgroup?.directory;
  const processes = cgroup === undefined ? [leader] : [...processesOf(cgroup)].map(({ pid }) => pid);
  const cpu = directory === undefined ? undefined : fieldOf(readText(path.join(directory, 'cpu.stat')), 'usage_usec');
  const [read, written] = readTraffic(directory, processes);
  const [received, sent] = readNetwork(leader);
  return { tasks: processes.length, cpu, memory: readMemory(directory, processes), read, written, received, sent };
}

/** Where the kernel does not count a cgroup's memory, what its processes have in it. */
function readMemory(directory: string | undefined, processes: readonly number[]): number | undefined {
  const counted = directory === undefined ? '' : readText(path.join(directory, 'memory.current'));
  if (counted !== '') return Number(counted);
  const kibibytes = processes.map((pid) => fieldOf(readText(`/proc/${pid}/status`), 'VmRSS:'));
  return sum(kibibytes, 1024);
}

/** Bytes read from and written to disks. */
function readTraffic(directory: string | undefined, processes: readonly number[]): readonly [number | undefined, number | undefined] {
  const counted = directory === undefined ? '' : readText(path.join(directory, 'io.stat'));
  if (counted !== '') {
    const lines = counted.split('\n');
    const of = (field: string) => sum(lines.map((line) => matchNumber(line, new RegExp(`\\b${field}=(\\d+)`))), 1);
    return [of('rbytes'), of('wbytes')];
  }
  const texts = processes.map((pid) => readText(`/proc/${pid}/io`));
  return [sum(texts.map((text) => fieldOf(text, 'read_bytes:')), 1), sum(texts.map((text) => fieldOf(text, 'write_bytes:')), 1)];
}

/** Of all interfaces but the loopback one in the leader's network, unless that is our own. */
function readNetwork(leader: number): readonly [number | undefined, number | undefined] {
  const table = readText(`/proc/${leader}/net/dev`);
  if (table === '' || table === readText('/proc/self/net/dev')) return [undefined, undefined];
  const rows = table.split('\n').slice(2).map((line) => line.trim().split(/[:\s]+/)).filter(([name = '']) => name !== '' && name !== 'lo');
  return [sum(rows.map((row) => Number(row[1])), 1), sum(rows.map((row) => Number(row[9])), 1)];
}

/** 'NAME VALUE' in a line of its own. */
function fieldOf(text: string, name: string): number | undefined {
  return matchNumber(text, new RegExp(`^${name}\\s*(\\d+)`, 'm'));
}

function matchNumber(text: string, pattern: RegExp): number | undefined {
  const found = pattern.exec(text)?.[1];
  return found === undefined ? undefined : Number(found);
}

/** undefined if nothing is known. */
function sum(values: readonly (number | undefined)[], factor: number): number | undefined {
  const known = values.filter((value) => value !== undefined);
  return known.length === 0 ? undefined : known.reduce((total, value) => total + value, 0) * factor;
}
