/** Rows of `machinectl list`, from its start to its end: the original's and ours, with either daemon. */
import type { LabHost } from '../test/lab/harness.js';
import { bootBenchHost, copy, forkLeaders, startCrowd } from './host.js';
import { daemonUnits, machinePrefix, type DaemonName } from './plan.js';
import type { Aim, Row } from './table.js';

const full = { rounds: 3, runs: 20 };
const quick = { rounds: 1, runs: 10 };

const machines = 10;
const aim: Aim = { ratio: 3 };

/** Whose machinectl it is. */
const commands: Readonly<Record<DaemonName, string>> = { real: '/usr/bin/machinectl list', ours: `${copy}/bin/machinectl list` };
const commandNames = ['real', 'ours'] as const satisfies readonly DaemonName[];

/** Of one command with one daemon, run by run: milliseconds of the clock, and microseconds of its processor time. */
interface Runs {
  readonly elapsed: number[];
  readonly processor: number[];
}
/** First by the daemon, then by the command. */
type Results = Readonly<Record<DaemonName, Readonly<Record<DaemonName, Runs>>>>;

export async function measureMachinectl(isQuick: boolean): Promise<readonly Row[]> {
  await using host = await bootBenchHost();
  await forkLeaders(host, 0, machines);
  const registered = await measureKind(host, 'processes', isQuick, registerLeaders);
  await host.succeed(['systemctl', 'start', daemonUnits.real]); // somebody has to notice that they end
  await host.succeed(['bash', '-euc', `for cgroup in /sys/fs/cgroup/machine.slice/leader-${machinePrefix}*; do echo 1 >$cgroup/cgroup.kill; done`]);
  const guests = await measureKind(host, 'containers', isQuick, () => startCrowd(host, machines));
  return [...registered, ...guests];
}

/** `prepare` makes the machines, while the original runs: each daemon takes them over from the other. */
async function measureKind(host: LabHost, kind: string, isQuick: boolean, prepare: (host: LabHost) => Promise<void>): Promise<readonly Row[]> {
  const { rounds, runs } = isQuick ? quick : full;
  const results: Results = { real: noRuns(), ours: noRuns() };
  await host.succeed(['systemctl', 'start', daemonUnits.real]);
  await prepare(host);
  await host.succeed(['systemctl', 'stop', daemonUnits.real]);
  for (let round = 0; round < rounds; round++) {
    for (const daemon of ['real', 'ours'] as const) {
      process.stderr.write(`list of ${machines} ${kind}, round ${round + 1} of ${rounds}: ${daemon}\n`);
      await measureRound(host, daemon, runs, results[daemon]);
    }
  }
  return rowsOf(kind, results);
}

function noRuns(): Record<DaemonName, Runs> {
  return { real: { elapsed: [], processor: [] }, ours: { elapsed: [], processor: [] } };
}

/** The commands in turn, so that what else the machine does meets all of them. */
async function measureRound(host: LabHost, daemon: DaemonName, runs: number, into: Record<DaemonName, Runs>): Promise<void> {
  await host.succeed(['systemctl', 'start', daemonUnits[daemon]]);
  const output = await host.succeed(['bash', '-euc', runInTurn, 'bash', String(runs), ...commandNames.map((name) => commands[name])], { timeout: 120_000 });
  await host.succeed(['systemctl', 'stop', daemonUnits[daemon]]);
  output.split('\n').forEach((line, index) => {
    const [elapsed = NaN, user = NaN, system = NaN] = line.split(' ').map(Number);
    const figures = into[commandNames[index % commandNames.length] as DaemonName];
    figures.elapsed.push(elapsed * 1000);
    figures.processor.push((user + system) * 1e6);
  });
}

/** Arguments: how many times, and commands. Each runs once for nothing, and must find all machines. */
const runInTurn = `
TIMEFORMAT='%3R %3U %3S'
runs=$1
shift
for ((attempt = 0; attempt < 100; attempt++)); do
  [[ $(${commands.real} --no-legend | wc -l) == ${machines} ]] && break
  sleep 0.1
done
for command; do $command | grep -q '^${machines} machines'; done
for ((run = 0; run < runs; run++)); do
  for command; do { time $command >/dev/null 2>&1; } 2>&1; done
done`;

/** The leaders of leaders.pl: they have the host's files and network, so that a daemon has little to look for. */
async function registerLeaders(host: LabHost): Promise<void> {
  const script = `
    for ((number = 0; number < ${machines}; number++)); do
      name=${machinePrefix}$number
      leader=$(cat /sys/fs/cgroup/machine.slice/leader-$name.service/cgroup.procs)
      busctl --quiet call org.freedesktop.machine1 /org/freedesktop/machine1 org.freedesktop.machine1.Manager RegisterMachine \\
        sayssus $name 0 bench container $leader /
    done`;
  await host.succeed(['bash', '-euc', script]);
}

function rowsOf(kind: string, { real, ours }: Results): readonly Row[] {
  const row = (subject: string, one: Runs, other: Runs): Row => ({
    operation: `list of ${machines} ${kind}`, subject, unit: 'ms', aim, real: one.elapsed, ours: other.elapsed,
    processor: { real: one.processor, ours: other.processor },
  });
  return [
    row('each its own', real.real, ours.ours),
    row('systemd-machined', real.real, real.ours),
    row('machined', ours.real, ours.ours),
  ];
}
