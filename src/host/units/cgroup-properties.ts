import { Failure } from '../../domain/failure.js';
import type { UnitProperty } from '../../ports/units.js';

/** What a scope's properties come down to where there are only cgroups. */
export interface CgroupSettings {
  /** Files of the cgroup and what to write to them, in this order. */
  readonly limits: readonly { readonly file: string; readonly text: string }[];
  /** Processes to move besides the leader. */
  readonly pids: readonly number[];
  /** Signal numbers that stop the scope. */
  readonly stopSignals: readonly number[];
  /** Milliseconds from the stop signals to SIGKILL; undefined for the default, Infinity for never. */
  readonly stopTimeout: number | undefined;
  /** Properties that were taken, although nothing enforces them here. */
  readonly unenforced: readonly string[];
}

interface MutableSettings {
  limits: { file: string; text: string }[];
  pids: number[];
  killSignal: number;
  sendHangup: boolean;
  stopTimeout: number | undefined;
  unenforced: Set<string>;
}

/** Takes the value of a property, which is of the type that the table says. */
interface Rule {
  readonly signature: string;
  readonly apply: (settings: MutableSettings, value: never, name: string) => void;
}

const infinity = 0xffffffffffffffffn;
const SIGHUP = 1;
const SIGTERM = 15;

/** cgroup-v2.rst: cpu.max is a quota in each period, both in µs. systemd's periods, too, have 100 ms. */
const cpuPeriod = 100_000n;
const shortestCpuQuota = 1_000n;

const ignore: Rule['apply'] = () => undefined;
const unenforced: Rule['apply'] = (settings, _value, name) => settings.unenforced.add(name);

/**
 * Properties and what becomes of them: systemd.resource-control(5), systemd.kill(5), org.freedesktop.systemd1(5), and the
 * kernel's cgroup-v2.rst. What describes a unit to systemd, or orders it among others, means nothing here and is passed
 * over; what would keep devices from the machine cannot be enforced, which is logged.
 */
const rules: Readonly<Record<string, Rule>> = {
  TasksMax: limit('pids.max'),
  MemoryMin: limit('memory.min'),
  MemoryLow: limit('memory.low'),
  MemoryHigh: limit('memory.high'),
  MemoryMax: limit('memory.max'),
  MemorySwapMax: limit('memory.swap.max'),
  MemoryZSwapMax: limit('memory.zswap.max'),
  CPUWeight: weight('cpu.weight', ''),
  IOWeight: weight('io.weight', 'default '),
  CPUQuotaPerSecUSec: { signature: 't', apply: (settings, value: bigint) => add(settings, 'cpu.max', cpuQuota(value)) },
  AllowedCPUs: { signature: 'ay', apply: (settings, mask: Uint8Array) => add(settings, 'cpuset.cpus', listOf(mask)) },
  AllowedMemoryNodes: { signature: 'ay', apply: (settings, mask: Uint8Array) => add(settings, 'cpuset.mems', listOf(mask)) },

  PIDs: { signature: 'au', apply: (settings, pids: readonly number[]) => void settings.pids.push(...pids) },
  KillSignal: { signature: 'i', apply: (settings, signal: number) => (settings.killSignal = checkSignal(signal)) },
  SendSIGHUP: { signature: 'b', apply: (settings, hangup: boolean) => (settings.sendHangup = hangup) },
  TimeoutStopUSec: { signature: 't', apply: (settings, time: bigint) => (settings.stopTimeout = milliseconds(time)) },
  KillMode: { signature: 's', apply: (_settings, mode: string) => checkKillMode(mode) },

  Description: { signature: 's', apply: ignore },
  Slice: { signature: 's', apply: ignore },
  Controller: { signature: 's', apply: ignore },
  CollectMode: { signature: 's', apply: ignore },
  After: { signature: 'as', apply: ignore },
  Before: { signature: 'as', apply: ignore },
  Wants: { signature: 'as', apply: ignore },
  AddRef: { signature: 'b', apply: ignore },
  Delegate: { signature: 'b', apply: ignore },
  DefaultDependencies: { signature: 'b', apply: ignore },
  CPUAccounting: { signature: 'b', apply: ignore },
  MemoryAccounting: { signature: 'b', apply: ignore },
  TasksAccounting: { signature: 'b', apply: ignore },
  IOAccounting: { signature: 'b', apply: ignore },
  DevicePolicy: { signature: 's', apply: unenforced },
  DeviceAllow: { signature: 'a(ss)', apply: unenforced },
};

/** The last of several properties with the same name wins. Throws Failure 'invalid-argument' that names the property. */
export function settingsOf(properties: readonly UnitProperty[]): CgroupSettings {
  const settings: MutableSettings = {
    limits: [], pids: [], killSignal: SIGTERM, sendHangup: false, stopTimeout: undefined, unenforced: new Set(),
  };
  for (const { name, signature, value } of properties) {
    const rule = Object.hasOwn(rules, name) ? rules[name] : undefined;
    if (rule === undefined) throw refuse(`Property ${name} is not supported without systemd`);
    if (rule.signature !== signature) throw refuse(`Property ${name} has type '${signature}' instead of '${rule.signature}'`);
    try {
      rule.apply(settings, value as never, name);
    } catch (error) {
      if (error instanceof RangeError) throw refuse(`Property ${name} ${error.message}`);
      throw error;
    }
  }
  const { limits, pids, killSignal, sendHangup, stopTimeout } = settings;
  const stopSignals = sendHangup ? [killSignal, SIGHUP] : [killSignal];
  return { limits, pids, stopSignals, stopTimeout, unenforced: [...settings.unenforced] };
}

function limit(file: string): Rule {
  return { signature: 't', apply: (settings, value: bigint) => add(settings, file, value === infinity ? 'max' : `${value}`) };
}

/** The kernel's weights go from 1 to 10000, 100 being the default; "infinity" means not to set it. */
function weight(file: string, prefix: string): Rule {
  return {
    signature: 't',
    apply: (settings, value: bigint) => {
      if (value === infinity) return;
      if (value < 1n || value > 10_000n) throw new RangeError('is not from 1 to 10000');
      add(settings, file, `${prefix}${value}`);
    },
  };
}

function add(settings: MutableSettings, file: string, text: string): void {
  settings.limits = settings.limits.filter((other) => other.file !== file);
  settings.limits.push({ file, text });
}

/** `value` is µs of CPU time per second. */
function cpuQuota(value: bigint): string {
  if (value === infinity) return `max ${cpuPeriod}`;
  if (value === 0n) throw new RangeError('is 0');
  const quota = (value * cpuPeriod) / 1_000_000n;
  return `${quota < shortestCpuQuota ? shortestCpuQuota : quota} ${cpuPeriod}`;
}

/** A mask, its lowest bits first, as the kernel's list: 0b1011 is '0-1,3'. */
function listOf(mask: Uint8Array): string {
  const ranges: { first: number; last: number }[] = [];
  for (let number = 0; number < mask.length * 8; number++) {
    if (((mask[number >> 3] as number) & (1 << (number & 7))) === 0) continue;
    const range = ranges.at(-1);
    if (range?.last === number - 1) range.last = number;
    else ranges.push({ first: number, last: number });
  }
  return ranges.map(({ first, last }) => (first === last ? `${first}` : `${first}-${last}`)).join(',');
}

function checkSignal(signal: number): number {
  if (signal < 1 || signal > 64) throw new RangeError('is no signal');
  return signal;
}

function checkKillMode(mode: string): void {
  if (mode !== 'control-group' && mode !== 'mixed') throw new RangeError(`is '${mode}', and only whole groups can be stopped`);
}

/** 0 stands for no limit, like infinity: systemd.service(5), "TimeoutStopSec=". */
function milliseconds(time: bigint): number {
  return time === infinity || time === 0n ? Infinity : Number(time / 1000n);
}

function refuse(message: string): Failure {
  return new Failure('invalid-argument', message);
}
