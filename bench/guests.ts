/** Rows of looking and reaching into guests: real containers of systemd-nspawn, with users of their own and without. */
import { rowsOfFigures, type Figure } from './figures.js';
import { bootBenchHost, copy, forkLeaders, startCrowd, takeTurns } from './host.js';
import { bootedGuests, crowdGuests, daemonUnits, spareLeaders, type GuestsPlan } from './plan.js';
import type { Aim, Row } from './table.js';

const full = { rounds: 3, duration: 400, tailDuration: 3000, repetitions: 15 };
const quick = { rounds: 1, duration: 150, tailDuration: 1500, repetitions: 8 };

const aims: readonly (readonly [string, Aim])[] = [
  ['GetMachineAddresses', { ratio: 0.2 }],
  ['GetMachineOSRelease', { ratio: 0.5 }],
  ['shell', { ratio: 1 }],
  ['copy', { ratio: 1.1 }],
  ['bind mount', { ratio: 0.5 }],
  ['GetMachine', { ratio: 1.1 }],
];

export async function measureGuests(isQuick: boolean): Promise<readonly Row[]> {
  const { rounds, ...scale } = isQuick ? quick : full;
  await using host = await bootBenchHost();
  await forkLeaders(host, 0, spareLeaders);
  await host.succeed(['systemctl', 'start', daemonUnits.real]); // somebody has to register the guests
  for (const [users, name] of Object.entries(bootedGuests)) await host.container(name, { privateUsers: users === 'own' });
  await host.succeed(['bash', '-euc', giveAddresses, 'bash', ...Object.values(bootedGuests)]);
  await startCrowd(host, crowdGuests);
  await host.succeed(['bash', '-euc', makeSources], { timeout: 120_000 });
  await host.succeed(['systemctl', 'stop', daemonUnits.real]);
  const results = await takeTurns<Figure[]>(host, rounds, 'guests-load.js', (daemon): GuestsPlan => ({ daemon, ...scale }), 'guests');
  return rowsOfFigures(results, aims);
}

/** Nobody manages the network in there. */
const giveAddresses = `
for name; do
  leader=$(machinectl show "$name" --property=Leader --value)
  nsenter --net --target "$leader" sh -ec '
    ip link set host0 up
    ip address add 192.0.2.7/24 dev host0
    ip address add 2001:db8::7/64 dev host0 nodad'
done`;

/** A memory file system, so that the copies are of bytes, and of nobody's disk: 15,000 files in 300 directories, and 1 GiB. */
const makeSources = `
mkdir -p ${copy}/source
mount -t tmpfs -o size=4G source ${copy}/source
perl -e '
  mkdir "tree"; chdir "tree" or die;
  for my $d (0 .. 299) {
    mkdir "d$d" or die;
    for my $f (0 .. 49) { open my $file, ">", "d$d/f$f" or die; print $file chr(65 + $f % 26) x (($f * 397 + $d * 13) % 8000); close $file }
  }'
mv tree ${copy}/source/tree
head -c 1G /dev/urandom >${copy}/source/file`;
