// Runs inside a host of the lab: what libsystemd's functions for machines (sd-login(3)) say there, as JSON.
import { execFileSync } from 'node:child_process';
import koffi from 'koffi';

const libsystemd = koffi.load('libsystemd.so.0');
const libc = koffi.load(null);
const machineNames = libsystemd.func('int sd_get_machine_names(_Out_ void **names)');
const machineClass = libsystemd.func('int sd_machine_get_class(const char *machine, _Out_ void **class)');
const machineInterfaces = libsystemd.func('int sd_machine_get_ifindices(const char *machine, _Out_ void **indices)');
const machineOfProcess = libsystemd.func('int sd_pid_get_machine_name(int pid, _Out_ void **name)');
const newMonitor = libsystemd.func('int sd_login_monitor_new(const char *category, _Out_ void **monitor)');
const monitorDescriptor = libsystemd.func('int sd_login_monitor_get_fd(void *monitor)');
const flushMonitor = libsystemd.func('int sd_login_monitor_flush(void *monitor)');
const poll = libc.func('int poll(_Inout_ uint16_t *fds, unsigned long count, int timeout)');

type Pointer = [unknown];

/** Sorted: they come in the order of a directory. */
function names(): string[] {
  const pointer: Pointer = [null];
  const count = checked(machineNames(pointer) as number, 'sd_get_machine_names');
  return count === 0 ? [] : (koffi.decode(pointer[0], 'char *', count) as string[]).sort();
}

function interfaces(machine: string): number[] {
  const pointer: Pointer = [null];
  const count = checked(machineInterfaces(machine, pointer) as number, 'sd_machine_get_ifindices');
  return count === 0 ? [] : [...(koffi.decode(pointer[0], 'int', count) as Int32Array)];
}

function classOf(machine: string): string {
  const pointer: Pointer = [null];
  checked(machineClass(machine, pointer) as number, 'sd_machine_get_class');
  return koffi.decode(pointer[0], 'char', -1) as string;
}

/** undefined where the process is in no machine. */
function machineOf(pid: number): string | undefined {
  const pointer: Pointer = [null];
  return (machineOfProcess(pid, pointer) as number) < 0 ? undefined : (koffi.decode(pointer[0], 'char', -1) as string);
}

function checked(result: number, what: string): number {
  if (result < 0) throw new Error(`${what}: errno ${-result}`);
  return result;
}

/** Whether the monitor (sd-login-monitor(3)) woke up while `command` ran, or within 5 s of it. */
function wakesUp(monitor: unknown, command: readonly string[]): boolean {
  checked(flushMonitor(monitor) as number, 'sd_login_monitor_flush');
  execFileSync('busctl', ['call', 'org.freedesktop.machine1', '/org/freedesktop/machine1', ...command]);
  // struct pollfd: an int, then two shorts; POLLIN is 1
  const descriptor = monitorDescriptor(monitor) as number;
  return (poll([descriptor & 0xffff, descriptor >> 16, 1, 0], 1, 5_000) as number) === 1;
}

// Arguments: a machine, its leader, and a process to be registered as the machine `monitored`.
const [machine, leader, other] = process.argv.slice(2) as [string, string, string];
const manager = 'org.freedesktop.machine1.Manager';
const holder: Pointer = [null];
checked(newMonitor('machine', holder) as number, 'sd_login_monitor_new');
console.log(JSON.stringify({
  names: names(),
  class: classOf(machine),
  interfaces: interfaces(machine),
  machineOfLeader: machineOf(Number(leader)) ?? null,
  machineOfInit: machineOf(1) ?? null,
  sawNew: wakesUp(holder[0], [manager, 'RegisterMachine', 'sayssus', 'monitored', '0', 'test', 'vm', other, '']),
  classOfNew: classOf('monitored'),
  sawRemoved: wakesUp(holder[0], [manager, 'UnregisterMachine', 's', 'monitored']),
  namesAfter: names(),
}));
