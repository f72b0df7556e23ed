/** The verbs for images: the machinectl of systemd 262 and ours go through the same lines, each in a pool of its own making. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { bootHost, type LabHost } from './harness.js';

/** In this order, each line in the state that the ones before it have left. bash(1) reads them; $m is a machinectl. */
const lines = String.raw`
$m list-images
$m list-images -a --no-legend
$m list-images -q
$m list-images -o json
$m list-images -o json-pretty -a
$m list-images extra
$m image-status sv
$m image-status dir
$m image-status raw
$m image-status .hid
$m image-status .host
$m image-status nope
$m image-status dir nope
$m image-status dir sv
$m image-status
$m show-image sv
$m show-image dir
$m show-image raw
$m show-image .hid
$m show-image -a dir
$m show-image nope
$m show-image
$m show-image -a
$m show-image -p Name -p Type dir sv
$m show-image --value -p Type dir
$m show-image -P Limit raw
$m show-image -p Nope dir
$m clone dir d2
$m clone dir d2
$m clone nope x
$m clone --read-only dir dro
$m show-image -p ReadOnly -p Type dro
$m clone dir
$m clone dir bad/name
$m clone dir ''
$m clone dir a b
$m clone dir .d4
$m rename d2 d3
$m rename d2 d3
$m rename d3 dir
$m rename d3 'a/b'
$m rename d3
$m read-only d3
$m show-image -p ReadOnly d3
$m read-only d3 no
$m read-only d3 ON
$m read-only d3 FALSE
$m read-only d3 maybe
$m read-only d3 ''
$m read-only d3 -- -1
$m read-only nope yes
$m read-only
$m set-limit sv 1G
$m set-limit sv -
$m set-limit sv xx
$m set-limit sv ''
$m set-limit nope 1G
$m set-limit raw 5M
$m set-limit 1G 2G 3G
$m set-limit -5
$m set-limit
$m list-images -a
$m remove d3
$m remove nope
$m remove dro d3
$m remove
$m remove .d4
$m clean extra
$m clean
$m clean
$m cat foo
$m cat one
$m cat one.nspawn two beside
$m cat one nope two
$m cat /etc/systemd/nspawn/one.nspawn
$m cat /nope/x
$m cat ./one
$m cat a/b
$m cat ..
$m cat ''
$m cat
$m cat masked zero link
$m cat dangling
t '$m --no-pager cat many masked link'
t 'SYSTEMD_COLORS=256 $m --no-pager cat many nope'
t 'SYSTEMD_COLORS=24bit $m --no-pager cat many'
t 'SYSTEMD_URLIFY=0 $m --no-pager cat link'
$m edit one
$m edit
t 'EDITOR=true $m edit one'
t 'EDITOR=false $m edit one'
t 'EDITOR=true $m edit beside'; cat /etc/systemd/nspawn/beside.nspawn
t 'EDITOR="cp /etc/nspawn-source" $m edit fresh'; cat /etc/systemd/nspawn/fresh.nspawn
t 'SYSTEMD_EDITOR="cp /etc/nspawn-source" EDITOR=false $m edit /tmp/file.nspawn'; cat /tmp/file.nspawn
t 'EDITOR=true $m edit empty two'
t 'EDITOR=true $m edit a/b'
t 'EDITOR=true $m edit one one'
t 'EDITOR=true $m edit /etc'
t 'EDITOR=true $m edit /'
t 'EDITOR=true $m edit masked'
t 'EDITOR=true $m edit /etc/machine-id/x'
t 'EDITOR=/dev/null $m edit one'
exec 3> >(exec true); wait $!; $m list-images -a >&3; echo $? >&2; exec 3>&-
$m list-images 2>&- >&-
SYSTEMD_UTF8=0 $m list-images --no-legend
t 'stty cols 50; LANG=C $m --no-pager list-images'
t 'stty cols 50; SYSTEMD_PAGERSECURE=1 $m list-images'
t 'stty cols 50; SYSTEMD_PAGERSECURE=0 SYSTEMD_PAGER="cat -n" $m list-images'
t 'stty cols 50; SYSTEMD_PAGERSECURE=0 SYSTEMD_PAGER=cat $m list-images'
t '$m --no-pager list-images'
t '$m --no-pager cat one'
t '$m --no-pager image-status raw'
ls /etc/systemd/nspawn /run/systemd/nspawn
$m list-transfers
$m list-transfers -q
$m cancel-transfer 1
$m import-tar /nope foo
$m import-raw --force --quiet /nope x
$m import-fs /nope xx
$m export-tar nope --no-legend
$m pull-tar --verify=bad http://x/y
$m pull-raw
`.trim().split('\n');

/** Images of all kinds, as young as each other: settings of machines, too. */
const prepare = String.raw`
cd /var/lib/machines
btrfs subvolume create sv >/dev/null; mkdir -p dir/etc dir/usr/lib .hid; truncate -s 20M raw.raw; chmod 400 raw.raw
printf 'ID=foo\nPRETTY_NAME="Foo OS"\n' >dir/usr/lib/os-release; echo h1 >dir/etc/hostname
echo 0123456789abcdef0123456789abcdef >dir/etc/machine-id; printf 'ICON_NAME=x\nDEPLOYMENT=y\n' >dir/etc/machine-info
mkdir -p /etc/systemd/nspawn /run/systemd/nspawn beside; printf '[Exec]\nBoot=yes\n# why\n' >/etc/systemd/nspawn/one.nspawn
printf '[Exec]\nBoot=no' >/run/systemd/nspawn/two.nspawn; printf '[Files]\nBind=/x\n' >beside.nspawn; printf '[X]\n' >/etc/nspawn-source
cd /etc/systemd/nspawn; ln -s /dev/null masked.nspawn; : >zero.nspawn; ln -s one.nspawn link.nspawn; ln -s nowhere dangling.nspawn
printf '[a]x\n [b] \n[c\nK=\n = v\n=v\nk v=x\n   # c\n;x\nA=b # c\nx\nlast' >many.nspawn
cd /
`;

const cleanUp = String.raw`
cd /var/lib/machines; chattr -i .[!.]* * 2>/dev/null; for i in .[!.]* *; do btrfs subvolume delete "$i" &>/dev/null || rm -rf "$i"; done
rm -f /etc/systemd/nspawn/* /run/systemd/nspawn/*.nspawn /tmp/*.nspawn /etc/nspawn-source; cd /
`;

/** t: in a terminal. Each line's outputs end in one with its status. */
const runLines = String.raw`
export m=$1 COLUMNS=200; shift
t() { SYSTEMD_COLORS=16 script -qec "$1" /dev/null </dev/null; }
for line; do
  printf '\n=== %s\n' "$line"; (eval "$line") </dev/null 2>/tmp/stderr; printf -- '--- %s\n' $?; cat /tmp/stderr
done
`;

suite('machinectl and images', () => {
  for (const daemon of ['real', 'ours'] as const) {
    test(`the same of the same ${lines.length} lines (${daemon})`, async () => {
      await using host = await bootHost({ suite: 'sid', name: `machinectl-images-${daemon}`, daemon });
      const expected = await goThrough(host, '/usr/bin/machinectl');
      const actual = await goThrough(host, '/src/bin/machinectl');
      const different = expected.flatMap((text, index) => (actual[index] === text ? [] : [`expected: ${text}actual: ${actual[index] ?? 'nothing'}`]));
      assert.equal(different.join('\n'), '');
      assert.equal(expected.length, lines.length + 1);
    });
  }
});

/** What each line has printed, and its status; without what is another each time. */
async function goThrough(host: LabHost, program: string): Promise<readonly string[]> {
  await host.succeed(['bash', '--norc', '-c', prepare]);
  const said = await host.succeed(['bash', '--norc', '-c', runLines, 'bash', program, ...lines], { timeout: 180_000 });
  await host.succeed(['bash', '--norc', '-c', cleanUp]);
  return said.split(/^=== /m).map((text) =>
    text
      .replaceAll(/\w{3} \d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2} UTC/g, 'TIME')
      .replaceAll(/; \S.* ago/g, '; AGO')
      .replaceAll(/1[67]\d{14}/g, 'MICROSECONDS')
      .replaceAll(/(\.#(?:\w+\.nspawn|etc))[0-9a-f]{16}/g, '$1RANDOM')
      .replaceAll('\r\r\n', '\r\n'), // the original ends messages to a terminal twice
  );
}
