/**
 * Black-box hosts for tests: a real systemd of a Debian suite, booted by `lab/lab`, with the distribution's
 * systemd-machined, with the daemon of this project, or with neither.
 */
import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const projectRoot = path.resolve(import.meta.dirname, '../../..');
const lab = path.join(projectRoot, 'lab/lab');
const oursUnit = 'machined-under-test.service';
const realUnit = 'systemd-machined.service';

/** A Debian suite, or a variant of one. */
export type Suite = 'bookworm' | 'trixie' | 'sid' | 'trixie-libvirt';

/** The plain suites, and the major version of systemd in each. */
export const systemdVersions = { bookworm: 252, trixie: 257, sid: 262 } as const satisfies Partial<Record<Suite, number>>;

/** Who owns org.freedesktop.machine1: systemd-machined, this project, or nobody. */
export type Daemon = 'real' | 'ours' | 'none';

export interface BootOptions {
  readonly suite: Suite;
  /** Lower case letters, digits and dashes; hosts that run at the same time need different ones. */
  readonly name: string;
  readonly daemon: Daemon;
  /** `false` gives a host whose PID 1 is a mere reaper, without any bus. */
  readonly systemd?: boolean;
}

export interface RunOptions {
  /** Milliseconds before the command is killed and the call throws; 30 s if not given. */
  readonly timeout?: number;
  /** The user to run as; root if not given. `testuser` exists on every host. */
  readonly user?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** What the command reads from standard input; nothing if not given. */
  readonly input?: string;
}

export interface RunResult {
  /** The exit status; 128 + N for a command that signal N ended. */
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ContainerOptions {
  /** Whether the container has a user namespace of its own (`systemd-nspawn -U`). */
  readonly privateUsers: boolean;
}

/**
 * Waits until `probe` returns true, asking every 50 ms.
 *
 * @throws Error naming `description` once `timeout` (milliseconds) has passed.
 */
export async function untilTrue(
  description: string,
  probe: () => boolean | Promise<boolean>,
  timeout = 10_000,
): Promise<void> {
  const deadline = Date.now() + timeout;
  while (!(await probe())) {
    if (Date.now() > deadline) throw new Error(`not true within ${timeout} ms: ${description}`);
    await sleep(50);
  }
}

/**
 * Boots a host; disposing of it removes it. The host also goes away, with the next use of the lab, when the process that
 * runs the test has ended without disposing.
 *
 * @throws Error with what the lab or the daemon said if either does not come up.
 */
export async function bootHost(options: BootOptions): Promise<LabHost> {
  const name = `${options.name}-${process.pid}`;
  const flags = ['--src', projectRoot, '--owner', String(process.pid)];
  if (options.daemon !== 'real') flags.push('--no-machined');
  if (options.systemd === false) flags.push('--no-systemd');

  // the time limit is that of a first build of the suite's tree
  const booted = await execute([lab, 'up', name, options.suite, ...flags], 900_000);
  if (booted.status !== 0) throw new Error(`${name} does not boot:\n${booted.stderr}`);
  const host = new LabHost(name, options.daemon, options.systemd ?? true);
  if (options.daemon !== 'ours') return host;
  try {
    await host.startOurs();
  } catch (failure) {
    await host[Symbol.asyncDispose]();
    throw failure;
  }
  return host;
}

/** A booted host. */
export class LabHost implements AsyncDisposable {
  constructor(
    /** Its name in the lab, which is also its host name. */
    readonly name: string,
    private readonly daemon: Daemon,
    private readonly hasSystemd: boolean,
  ) {}

  /**
   * Runs a command and reports how it ended, whatever that was.
   *
   * @throws Error if it does not end in time.
   */
  async run(command: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    const { timeout = 30_000, user, env = {}, input } = options;
    const identity = user === undefined ? [] : ['setpriv', `--reuid=${user}`, `--regid=${user}`, '--init-groups'];
    const variables = Object.entries({ ...(user !== undefined && { USER: user, HOME: `/home/${user}` }), ...env });
    // killing nsenter would leave the command behind, so that the time limit is kept inside
    return execute(
      [
        lab, 'run', this.name, 'timeout', '--kill-after=2', String(timeout / 1000), ...identity,
        'env', ...variables.map(([name, value]) => `${name}=${value}`), ...command,
      ],
      timeout + 5_000,
      input,
    );
  }

  /**
   * Runs a command that must succeed, and returns what it wrote to standard output, without a final newline.
   *
   * @throws Error with its output if it does not.
   */
  async succeed(command: readonly string[], options: RunOptions = {}): Promise<string> {
    const result = await this.run(command, options);
    if (result.status === 0) return result.stdout.replace(/\n$/, '');
    throw new Error(`${command.join(' ')}: status ${result.status}\n${result.stdout}${result.stderr}`);
  }

  /** Runs a bash script which ends at its first failing command. Otherwise like {@link run}. */
  async shell(script: string, options: RunOptions = {}): Promise<RunResult> {
    // bash reads the start files of an interactive shell where its standard input is a socket
    return this.run(['bash', '--norc', '-euo', 'pipefail', '-c', script], options);
  }

  /** The text of a file. */
  async file(name: string): Promise<string> {
    // /proc/PID/root would do without a process, but would follow absolute links out of the host
    return (await this.run(['cat', '--', name])).stdout;
  }

  /**
   * Puts this project's daemon in the place of systemd-machined, and waits until it answers on the bus and on its Varlink
   * socket; where there is no systemd, until it has said what it found. There it may run as a user other than root.
   *
   * @throws Error with what the daemon wrote if it does not come up.
   */
  async startOurs(options: Pick<RunOptions, 'user' | 'env'> = {}): Promise<void> {
    if (!this.hasSystemd) {
      const started = await this.shell(startWithoutSystemd, options);
      if (started.status !== 0) throw new Error(`the daemon does not come up:\n${started.stderr}${await this.journal()}`);
      return;
    }
    await this.run(['systemctl', 'mask', '--now', realUnit, 'systemd-machined.socket']);
    await this.succeed([
      'systemd-run', '--quiet', '--collect', `--unit=${oursUnit}`, '--service-type=exec', ...(await sandbox()),
      '--setenv=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/node/bin', '/src/bin/machined',
    ]);
    const answers = await this.run(['bash', '--norc', '-c', awaitOurs, 'bash', oursUnit, askVarlink], { timeout: 20_000 });
    if (answers.status !== 0) throw new Error(`the daemon does not come up:\n${await this.journal()}`);
  }

  /** Stops this project's daemon in the way of a service manager. */
  async stopOurs(): Promise<void> {
    if (this.hasSystemd) await this.succeed(['systemctl', 'stop', oursUnit]);
    else await this.killOurs('SIGTERM');
  }

  /** Sends a signal, `SIGKILL` for example, to this project's daemon, and waits until it has ended. */
  async killOurs(signal: NodeJS.Signals): Promise<void> {
    const pid = String(await this.pidOfOurs());
    await this.succeed(['kill', '-s', signal.replace('SIG', ''), pid]);
    await untilTrue(`process ${pid} of the daemon has ended`, async () => {
      return (await this.run(['kill', '-0', pid])).status !== 0;
    });
  }

  /** The process id of this project's daemon, as seen in the host; 0 if systemd finds that it does not run. */
  async pidOfOurs(): Promise<number> {
    if (!this.hasSystemd) return Number(await this.file(withoutSystemd.pidFile));
    return Number(await this.succeed(['systemctl', 'show', '--property=MainPID', '--value', oursUnit]));
  }

  /** What the daemon of this host has written so far: to the journal, or since it was last started without systemd. */
  async journal(): Promise<string> {
    if (!this.hasSystemd) return this.file(withoutSystemd.output);
    const unit = this.daemon === 'real' ? realUnit : oursUnit;
    await this.succeed(['journalctl', '--sync']);
    return this.succeed(['journalctl', '--no-pager', '--output=cat', `--unit=${unit}`]);
  }

  /**
   * Boots a container, a copy of the host's own tree, by systemd-nspawn@NAME.service with a virtual network link, and
   * waits until its service manager has finished booting.
   *
   * @returns the process id of its PID 1, as seen in the host.
   */
  async container(name: string, options: ContainerOptions): Promise<number> {
    const started = await this.shell(bootContainer, {
      env: { NAME: name, PRIVATE_USERS: options.privateUsers ? 'pick' : 'no' },
      timeout: 60_000,
    });
    if (started.status !== 0) {
      const log = await this.run(['journalctl', '--no-pager', '--output=cat', `--unit=systemd-nspawn@${name}.service`]);
      throw new Error(`container ${name} does not boot:\n${started.stderr}${log.stdout}`);
    }
    return Number(started.stdout);
  }

  /**
   * Starts a process that does nothing, in a unit `leader-NAME.service` of its own where there is systemd, to be
   * registered as a machine.
   *
   * @returns its process id, as seen in the host.
   */
  async leader(name: string, options: Pick<RunOptions, 'user'> = {}): Promise<number> {
    if (!this.hasSystemd) {
      const started = await this.shell('setsid sleep infinity </dev/null &>/dev/null & echo $!', options);
      return Number(started.stdout);
    }
    const unit = `leader-${name}.service`;
    await this.succeed(['systemd-run', '--quiet', '--collect', '--service-type=exec', `--unit=${unit}`, 'sleep', 'infinity']);
    return Number(await this.succeed(['systemctl', 'show', '--property=MainPID', '--value', unit]));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const removed = await execute([lab, 'down', this.name], 60_000);
    if (removed.status !== 0) throw new Error(`${this.name} cannot be removed:\n${removed.stderr}`);
  }
}

/** Where the daemon of a host without systemd is found; a user other than root can write there, too. */
const withoutSystemd = { pidFile: '/tmp/machined.pid', output: '/tmp/machined.out' } as const;

// It forks no further: the process in the background is the daemon itself. Its summary is the last thing that it does.
const startWithoutSystemd = `
rm -f ${withoutSystemd.pidFile} ${withoutSystemd.output}
setsid /src/bin/machined </dev/null &>${withoutSystemd.output} &
echo $! >${withoutSystemd.pidFile}
until grep -q 'Ctrl-C stops it' ${withoutSystemd.output}; do
  kill -0 $!
  sleep 0.05
done`;

// Arguments: the unit, a program for node.
const awaitOurs = `
until busctl call org.freedesktop.DBus /org/freedesktop/DBus org.freedesktop.DBus NameHasOwner s org.freedesktop.machine1 |
  grep -q true && node -e "$2"; do
  systemctl is-active --quiet "$1" || exit 1
  sleep 0.1
done`;

// varlinkctl is younger than the oldest suite. A message is JSON and a NUL byte: https://varlink.org/Method-Call
const askVarlink = `
const socket = require('node:net').connect('/run/systemd/machine/io.systemd.Machine');
socket.on('connect', () => socket.write('{"method":"org.varlink.service.GetInfo"}\\0'));
socket.on('data', (bytes) => { if (bytes.includes(0)) process.exit(0); });
socket.on('error', () => process.exit(1));
socket.on('close', () => process.exit(1));`;

// The template tree is made once per host. What a container of the tests has no use for is left out or masked: it boots in
// half a second. It lies beside /var/lib/machines, in the same file system, so that it is no image itself.
const bootContainer = `
template=/var/lib/lab-pool/template
if [[ ! -d $template ]]; then
  btrfs -q subvolume create $template.partial
  tar -C / --one-file-system --exclude=./usr/share/zoneinfo --exclude=./usr/lib/udev --exclude=./var/cache \\
    --exclude=./var/lib/apt --exclude=./var/lib/dpkg --exclude=./var/log --exclude=./var/lib/dbus -cf - . |
    tar -C $template.partial -xf -
  rm -f $template.partial/etc/hostname
  : >$template.partial/etc/machine-id
  for unit in systemd-{resolved,userdbd,machined}.{service,socket} systemd-{logind,journal-catalog-update}.service \\
    ldconfig.service; do
    ln -sf /dev/null $template.partial/etc/systemd/system/$unit
  done
  mv $template.partial $template
fi
btrfs -q subvolume snapshot $template /var/lib/machines/$NAME
mkdir -p /etc/systemd/nspawn
printf '[Exec]\\nPrivateUsers=%s\\n' $PRIVATE_USERS >/etc/systemd/nspawn/$NAME.nspawn
systemctl start systemd-nspawn@$NAME.service
supervisor=$(systemctl show --property=MainPID --value systemd-nspawn@$NAME.service)
for ((attempt = 0; attempt < 300; attempt++)); do
  # asked from within, because asking through 'systemctl -M' is part of what is tested
  leader=$(pgrep -P $supervisor || true)
  state=$(nsenter --all --target "$leader" systemctl is-system-running 2>/dev/null || true)
  case $state in running | degraded) echo $leader; exit 0 ;; esac
  sleep 0.1
done
echo "its state is '$state'" >&2
exit 1`;

/** Runs a program of this machine; throws if it does not end within `timeout` milliseconds. */
/** What the installed unit takes away from the daemon, so that all tests see what its users see. */
async function sandbox(): Promise<readonly string[]> {
  const unit = await readFile(path.join(projectRoot, 'share/systemd/machined.service'), 'utf8');
  const lines = unit.split('\n').filter((line) => /^(CapabilityBoundingSet|SystemCall\w+|IPAddressDeny)=/.test(line));
  if (lines.length === 0) throw new Error('the unit has no sandbox');
  return lines.map((line) => `--property=${line}`);
}

async function execute(command: readonly string[], timeout: number, input = ''): Promise<RunResult> {
  const [program, ...parameters] = command as [string, ...string[]];
  const child = spawn(program, parameters, { timeout, killSignal: 'SIGKILL' });
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on('data', (bytes: Buffer) => stdout.push(bytes));
  child.stderr.on('data', (bytes: Buffer) => stderr.push(bytes));
  // a command may well end without reading its input
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  const status = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  const result = { stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString() };
  // 124 is how timeout(1) reports that it has killed the command
  if (status !== null && status !== 124) return { status, ...result };
  throw new Error(`did not end in time: ${command.join(' ')}\n${result.stdout}${result.stderr}`);
}
