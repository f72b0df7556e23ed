/** Rows of images: lists of many, and clones, looks and removals on btrfs and on ext4. */
import type { LabHost } from '../test/lab/harness.js';
import { rowsOfFigures, type Figure } from './figures.js';
import { bootBenchHost, copy, takeTurns } from './host.js';
import { benchImages, type ImagesPlan } from './plan.js';
import type { Aim, Row } from './table.js';

const full = { rounds: 3, duration: 500, images: [10, 1000, 10_000], subvolumes: [10, 1000] };
const quick = { rounds: 1, duration: 200, images: [10, 1000, 10_000], subvolumes: [1000] };

const aims: readonly (readonly [string, Aim])[] = [
  ['ListImages', { ratio: 0.5 }],
  ['GetImageOSRelease', { ratio: 0.2 }],
  ['clone', { ratio: 1.1 }],
  ['remove', { ratio: 1.1 }],
];

export async function measureImages(isQuick: boolean): Promise<readonly Row[]> {
  const { rounds, duration, images, subvolumes } = isQuick ? quick : full;
  await using host = await bootBenchHost();
  const rows: Row[] = [];
  const measure = async (part: ImagesPlan['part'], subject: string) => {
    const results = await takeTurns<Figure[]>(
      host, rounds, 'images-load.js', (daemon): ImagesPlan => ({ daemon, part, subject, duration }), `${part}, ${subject}`,
    );
    rows.push(...rowsOfFigures(results, aims));
  };
  for (const count of images) {
    await host.succeed(['bash', '-euc', makeImages, 'bash', String(count)], { timeout: 60_000 });
    await measure('list', String(count));
  }
  await clear(host);
  for (const count of subvolumes) {
    await host.succeed(['bash', '-euc', makeSubvolumes, 'bash', String(count)], { timeout: 60_000 });
    await measure('list', `${count} subvolumes`);
  }
  await clear(host);
  const measureChanges = async (fileSystem: string) => {
    await host.succeed(['bash', '-euc', makeContents], { timeout: 120_000 });
    await host.succeed(['bash', '-euc', makeLoopNodes]);
    await measure('change', fileSystem);
  };
  await measureChanges('btrfs');
  await clear(host);
  await host.succeed(['bash', '-euc', mountExt4]);
  await measureChanges('ext4');
  return rows;
}

/** Half of them directories, half of them files. Argument: how many. */
const makeImages = `
cd /var/lib/machines
perl -e '
  for (my $number = 0; $number < $ARGV[0]; $number += 2) {
    mkdir "tree$number";
    open my $file, ">", sprintf "disk%d.raw", $number + 1;
    truncate $file, 1 << 20;
  }' "$1"`;

const makeSubvolumes = `
cd /var/lib/machines
for ((number = 0; number < $1; number++)); do [[ -d sub$number ]] || echo sub$number; done | xargs --no-run-if-empty btrfs -q subvolume create`;

async function clear(host: LabHost): Promise<void> {
  const script = `
    cd /var/lib/machines
    find . -mindepth 1 -maxdepth 1 -inum 256 -print0 | xargs -0 --no-run-if-empty btrfs -q subvolume delete
    find . -mindepth 1 -maxdepth 1 -exec rm -rf {} +`;
  await host.succeed(['bash', '-euc', script], { timeout: 60_000 });
}

/** Of the devices that the kernel has free next: hosts of the lab have the first 64, and all share the machine's. */
const makeLoopNodes = `
free=$(losetup --find | grep -o '^/dev/loop[0-9]*')
for ((number = \${free#/dev/loop}, end = number + 16; number < end; number++)); do
  [[ -e /dev/loop$number ]] || mknod -m 660 "/dev/loop$number" b 7 "$number"
done`;

/** In memory, so that nobody's disk is measured. */
const mountExt4 = `
mkdir -p ${copy}/disk
mount -t tmpfs -o size=6G disk ${copy}/disk
truncate -s 6G ${copy}/disk/ext4
mkfs.ext4 -q -E lazy_itable_init=0 ${copy}/disk/ext4
for ((attempt = 1; ; attempt++)); do # somebody else may take the device first
  ${makeLoopNodes}
  mount -o loop ${copy}/disk/ext4 /var/lib/machines && break || ((attempt < 20))
  sleep 0.5
done`;

/** 1 GiB in 4096 files, a disk with a file system, and beside the images a tree of 15,000 files, to be copied and removed. */
const makeContents = `
cd /var/lib/machines
mkdir ${benchImages.tree}
head -c 256K /dev/urandom >/run/quarter
perl -e '
  mkdir "${benchImages.tree}/$_" for 0 .. 63;
  open my $in, "<", "/run/quarter"; read $in, my $bytes, 1 << 18;
  for my $number (0 .. 4095) {
    open my $out, ">", sprintf "${benchImages.tree}/%d/%d", $number % 64, $number; print $out $number, substr $bytes, length $number; close $out;
  }
  mkdir ".many" or die;
  for my $d (0 .. 299) {
    mkdir ".many/d$d";
    for my $f (0 .. 49) { open my $out, ">", ".many/d$d/f$f"; print $out "x" x (($f * 397 + $d * 13) % 8000); close $out }
  }'
mkdir -p /run/root/etc /run/root/usr/lib
printf 'ID=bench\\nNAME=Bench\\nVERSION_ID=1\\n' >/run/root/etc/os-release
echo bench >/run/root/etc/hostname
truncate -s 64M ${benchImages.raw}.raw
mkfs.ext4 -q -d /run/root ${benchImages.raw}.raw
sync`;
