import type { ChildProcess } from 'node:child_process';
import { accessSync, constants, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import path from 'node:path';
import { childProcess } from './on-demand.js';

/** A dbus-daemon of this daemon's own, for hosts where no system bus runs. */
export interface PrivateBus extends Disposable {
  /** As clients have it in DBUS_SYSTEM_BUS_ADDRESS. */
  readonly address: string;
}

/** The address of the bus that a daemon with this directory has, or would have. */
export function privateBusAddress(directory: string): string {
  return `unix:path=${path.join(directory, 'bus')}`;
}

const startTimeLimit = 5000; // milliseconds
const endTimeLimit = 1000; // milliseconds

/** Where a program is in PATH, /usr/bin included; undefined if it is nowhere. */
export function findProgram(name: string, searchPath: string): string | undefined {
  const directories = [...searchPath.split(':'), '/usr/bin', '/bin'].filter((directory) => directory.startsWith('/'));
  return directories.map((directory) => path.join(directory, name)).find(isExecutable);
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * Starts a bus in `directory`, which is made. One that an earlier daemon left behind there when it was killed is ended
 * first. Rejects with an Error that says what dbus-daemon had to say.
 */
export async function startPrivateBus(program: string, directory: string): Promise<PrivateBus> {
  mkdirSync(directory, { recursive: true, mode: 0o755 });
  const files = { socket: path.join(directory, 'bus'), pid: path.join(directory, 'bus.pid'), config: path.join(directory, 'bus.conf') };
  endLeftover(files.pid);
  rmSync(files.socket, { force: true });
  writeFileSync(files.config, configuration(files.socket), { mode: 0o644 });
  const child = childProcess().spawn(program, [`--config-file=${files.config}`, '--nofork', '--nopidfile', '--print-address=1'], {
    stdio: ['ignore', 'pipe', 'pipe'],
    cwd: '/',
  });
  await addressPrinted(child);
  writeFileSync(files.pid, `${child.pid ?? 0}\n`);
  child.unref();
  return {
    address: privateBusAddress(directory),
    [Symbol.dispose]() {
      child.kill('SIGTERM');
      waitUntilEnded(child.pid ?? 0);
      for (const file of Object.values(files)) rmSync(file, { force: true });
    },
  };
}

function addressPrinted(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let complaints = '';
    const timer = setTimeout(() => fail(`it did not start within ${startTimeLimit} ms`), startTimeLimit);
    const fail = (reason: string) => {
      clearTimeout(timer);
      child.kill('SIGKILL');
      reject(new Error(`dbus-daemon: ${reason}`));
    };
    child.stderr?.on('data', (text: Buffer) => (complaints += text.toString()));
    child.once('error', (error) => fail(error.message));
    child.once('exit', (code) => fail(complaints.trim() || `it ended with status ${code ?? 'unknown'}`));
    child.stdout?.once('data', () => {
      clearTimeout(timer);
      child.removeAllListeners('exit');
      child.stdout?.destroy();
      drain(child);
      resolve();
    });
  });
}

/** It goes on to write warnings, and a pipe that nobody reads from would end it (SIGPIPE). */
function drain(child: ChildProcess): void {
  const pipe = child.stderr as Socket | null; // a socket is what spawn() makes of it
  pipe?.removeAllListeners('data').resume().unref();
}

/** Only a process that still is a dbus-daemon is ended: the PID in the file may be another's by now. */
function endLeftover(pidFile: string): void {
  try {
    const pid = Number(readFileSync(pidFile, 'utf8'));
    if (readFileSync(`/proc/${pid}/comm`, 'utf8').trim() !== 'dbus-daemon') return;
    process.kill(pid, 'SIGTERM');
    waitUntilEnded(pid);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && ['ENOENT', 'ESRCH'].includes(String(error.code)))) throw error;
  }
}

/** A bus that ends removes its socket, which must not be that of the next one by then. */
function waitUntilEnded(pid: number): void {
  const pause = new Int32Array(new SharedArrayBuffer(4));
  for (let waited = 0; waited < endTimeLimit && isRunning(pid); waited += 5) Atomics.wait(pause, 0, 0, 5);
}

function isRunning(pid: number): boolean {
  try {
    return !/^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

/** Whoever may talk to the registry is the registry's own decision, so the bus lets everybody do so. dbus-daemon(1). */
function configuration(socket: string): string {
  return `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=${socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus"/>
    <allow send_destination="org.freedesktop.machine1"/>
  </policy>
  <policy user="${process.geteuid?.() ?? 0}">
    <allow own="org.freedesktop.machine1"/>
  </policy>
</busconfig>
`;
}
