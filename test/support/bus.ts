/** Private message buses for tests: a real dbus-daemon, with a policy that allows everything. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { connectSystemBus } from '../../src/host/bus.js';
import type { BusConnection } from '../../src/transport/dbus/connection.js';

export class TestBus implements AsyncDisposable {
  constructor(
    /** As in $DBUS_SYSTEM_BUS_ADDRESS. */
    readonly address: string,
    private readonly directory: string,
    private readonly daemon: ChildProcess,
  ) {}

  connect(): Promise<BusConnection> {
    return connectSystemBus(this.address);
  }

  /** The bus goes away, as in a crash. */
  async kill(): Promise<void> {
    await end(this.daemon);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await end(this.daemon);
    rmSync(this.directory, { recursive: true });
  }
}

/** Starts a bus; disposing of it ends it. Rejects if dbus-daemon is not there or says why it cannot run. */
export async function startBus(): Promise<TestBus> {
  const directory = mkdtempSync(path.join(tmpdir(), 'machined-bus-'));
  const configuration = path.join(directory, 'bus.conf');
  writeFileSync(configuration, configurationFor(path.join(directory, 'socket')));
  const daemon = spawn('dbus-daemon', [`--config-file=${configuration}`, '--nofork', '--nopidfile', '--print-address=1'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    const address = await firstLine(daemon);
    return new TestBus(address, directory, daemon);
  } catch (error) {
    rmSync(directory, { recursive: true });
    throw error;
  }
}

const configurationFor = (socket: string): string => `<!DOCTYPE busconfig PUBLIC
  "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=${socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
`;

function firstLine(daemon: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    daemon.once('error', reject);
    daemon.once('exit', (status) => reject(new Error(`dbus-daemon has ended with status ${status}`)));
    daemon.stdout?.on('data', (bytes: Buffer) => {
      text += bytes.toString();
      const end = text.indexOf('\n');
      if (end >= 0) resolve(text.slice(0, end));
    });
  });
}

async function end(daemon: ChildProcess): Promise<void> {
  if (daemon.exitCode !== null || daemon.signalCode !== null) return;
  const ended = new Promise((resolve) => daemon.once('exit', resolve));
  daemon.kill('SIGKILL');
  await ended;
}
