import { invalidArgument } from './failure.js';
import { machineClasses, type MachineClass } from './machine.js';
import { isMachineName } from './name.js';
import { isAbsolutePath } from './path.js';

/** What somebody who registers a machine says of it, checked. */
export interface Registration {
  readonly name: string;
  readonly id: string | undefined;
  readonly service: string;
  readonly class: MachineClass;
  readonly rootDirectory: string;
  readonly networkInterfaces: readonly number[];
  readonly vsockCid: number;
  readonly sshAddress: string;
  readonly sshPrivateKeyPath: string;
  readonly controlAddress: string;
}

/** Throws Failure 'invalid-argument'. */
export function checkMachineName(name: string): string {
  if (!isMachineName(name)) throw invalidArgument('name', 'Invalid machine name');
  return name;
}

/** 'container' or 'vm'; nobody can register a host. Throws Failure 'invalid-argument'. */
export function checkMachineClass(text: string): MachineClass {
  const found = machineClasses.find((known) => known === text);
  if (found === undefined || found === 'host') throw invalidArgument('class', 'Invalid machine class parameter');
  return found;
}

/** 16 bytes, or none; all zero is none. Returns 32 hexadecimal digits. Throws Failure 'invalid-argument'. */
export function checkMachineId(bytes: Uint8Array): string | undefined {
  if (bytes.length === 0) return undefined;
  if (bytes.length !== 16) throw invalidArgument('id', 'Invalid machine ID parameter');
  const hexadecimal = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return isNullId(hexadecimal) ? undefined : hexadecimal;
}

export function isNullId(id: string): boolean {
  return /^0*$/.test(id);
}

/** '' or an absolute path. Throws Failure 'invalid-argument'. */
export function checkRootDirectory(path: string): string {
  if (path === '' || isAbsolutePath(path)) return path;
  throw invalidArgument('rootDirectory', 'Root directory must be empty or an absolute path');
}

/** Interface indexes are positive. Throws Failure 'invalid-argument'. */
export function checkNetworkInterfaces(indexes: readonly number[]): readonly number[] {
  for (const index of indexes) {
    if (index <= 0) throw invalidArgument('ifIndices', `Invalid network interface index ${index}`);
  }
  return indexes;
}

/** vsock(7): 0 to 2 are the hypervisor, the local host and the host, 4294967295 is any. */
export function isRegularVsockCid(cid: number): boolean {
  return Number.isInteger(cid) && cid >= 3 && cid < 0xffffffff;
}

/** Throws Failure 'invalid-argument'. */
export function checkVsockCid(cid: number): number {
  if (!isRegularVsockCid(cid)) {
    throw invalidArgument('vSockCid', `JSON field 'vSockCid' is not a regular VSOCK CID.`);
  }
  return cid;
}

/** Signals are 1 … 64. Throws Failure 'invalid-argument'. */
export function checkSignal(signal: number): number {
  if (signal < 1 || signal > 64) throw invalidArgument('signal', `Invalid signal ${signal}`);
  return signal;
}

export type KillWhom = 'leader' | 'supervisor' | 'all';
export const killWhoms: readonly KillWhom[] = ['leader', 'supervisor', 'all'];

/** '' is 'all'. Throws Failure 'invalid-argument'. */
export function checkKillWhom(text: string): KillWhom {
  if (text === '') return 'all';
  const found = killWhoms.find((known) => known === text);
  if (found === undefined) throw invalidArgument('whom', `Invalid kill parameter '${text}'`);
  return found;
}

/** 'machine-NAME.scope', escaped as systemd.unit(5) says ("String Escaping for Inclusion in Unit Names"). */
export function scopeName(machine: string): string {
  return `machine-${escapeForUnit(machine)}.scope`;
}

const plainInUnit = /^[a-zA-Z0-9:_][a-zA-Z0-9:_.]*$/;

function escapeForUnit(text: string): string {
  if (plainInUnit.test(text)) return text;
  const bytes = new TextEncoder().encode(text);
  return Array.from(bytes, (byte, index) => {
    const character = String.fromCharCode(byte);
    if (character === '/') return '-';
    const plain = /[a-zA-Z0-9:_.]/.test(character) && !(index === 0 && character === '.');
    return plain ? character : `\\x${byte.toString(16).padStart(2, '0')}`;
  }).join('');
}
