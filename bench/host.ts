// The host of the lab in which both daemons are measured, from outside of it.
import { bootHost, untilTrue, type LabHost } from '../test/lab/harness.js';
import { crowdPrefix, daemonUnits, machinePrefix, type DaemonName } from './plan.js';

/** Where the project is in the host while it is measured: what changes in the meantime has no part in that. */
export const copy = '/run/bench';

const loadTimeout = 180_000;

/** Boots it with both daemons installed, and neither started. */
export async function bootBenchHost(): Promise<LabHost> {
  const host = await bootHost({ suite: 'sid', name: 'bench', daemon: 'none' });
  try {
    await host.succeed(['mkdir', copy]);
    await host.succeed(['cp', '-r', '/src/bench', '/src/bin', '/src/build', '/src/dist', '/src/package.json', copy]);
    await host.succeed(['ln', '-s', '/src/node_modules', `${copy}/node_modules`]);
    await installUnits(host);
  } catch (error) {
    await host[Symbol.asyncDispose]();
    throw error;
  }
  return host;
}

/**
 * Both run as plain services, with the same limits and without the sandbox of systemd-machined.service. The number of open
 * files is raised for both because the original would end at 503 machines with the usual soft limit of 1024.
 */
async function installUnits(host: LabHost): Promise<void> {
  const programs: Record<DaemonName, string> = { real: '/usr/lib/systemd/systemd-machined', ours: `/opt/node/bin/node ${copy}/bin/machined` };
  for (const [name, program] of Object.entries(programs)) {
    const unit = `[Service]\nType=exec\nExecStart=${program}\nLimitNOFILE=20000\nTasksMax=infinity\n`;
    await host.succeed(['tee', `/run/systemd/system/${daemonUnits[name as DaemonName]}`], { input: unit });
  }
  await host.succeed(['systemctl', 'daemon-reload']);
  await host.succeed(['systemctl', 'start', 'machine.slice']);
}

/** Leaders of the numbers from `first` until before `end`. */
export async function forkLeaders(host: LabHost, first: number, end: number): Promise<void> {
  const ready = `${copy}/leaders-${end}`;
  await host.succeed([
    'systemd-run', '--quiet', '--property=TasksMax=infinity', `--unit=bench-leaders-${end}.service`,
    'perl', `${copy}/bench/leaders.pl`, machinePrefix, String(first), String(end), ready,
  ]);
  await untilTrue(`${ready} exists`, async () => (await host.run(['test', '-e', ready])).status === 0, 60_000);
}

/** Containers of a single process, with a network of their own. Somebody has to register them. */
export async function startCrowd(host: LabHost, guests: number): Promise<void> {
  const script = `
    root=/var/lib/crowd
    mkdir -p $root/usr $root/etc $root/root
    for name in bin sbin lib lib64; do ln -s usr/$name $root/$name; done
    printf 'NAME=Crowd\\nID=crowd\\nVERSION_ID=1\\nPRETTY_NAME="One of a crowd"\\n' >$root/etc/os-release
    for ((number = 0; number < ${guests}; number++)); do
      cp -a $root $root$number
      systemd-run --quiet --collect --unit="${crowdPrefix}$number" systemd-nspawn --quiet --directory=$root$number \\
        --machine=${crowdPrefix}$number --bind-ro=/usr --network-veth sleep infinity
    done
    for ((number = 0; number < ${guests}; number++)); do
      until machinectl show ${crowdPrefix}$number >/dev/null 2>&1; do sleep 0.1; done
    done`;
  await host.succeed(['bash', '-euc', script], { timeout: 120_000 });
}

/** Has both daemons measured in turn, `rounds` times, by a program of this directory. Returns what it writes, in order. */
export async function takeTurns<Result>(
  host: LabHost,
  rounds: number,
  program: string,
  planOf: (daemon: DaemonName) => object,
  title: string,
): Promise<Record<DaemonName, Result[]>> {
  const results: Record<DaemonName, Result[]> = { real: [], ours: [] };
  for (let round = 0; round < rounds; round++) {
    const turns: readonly DaemonName[] = round % 2 === 0 ? ['real', 'ours'] : ['ours', 'real'];
    for (const daemon of turns) {
      process.stderr.write(`${title}, round ${round + 1} of ${rounds}: ${daemon}\n`);
      const output = await host.succeed(['node', `${copy}/build/bench/${program}`, JSON.stringify(planOf(daemon))], { timeout: loadTimeout });
      results[daemon].push(JSON.parse(output) as Result);
    }
  }
  return results;
}
