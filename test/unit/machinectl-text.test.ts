import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatAddress } from '../../src/machinectl/addresses.js';
import { formatBytes, parseBytes } from '../../src/machinectl/bytes.js';
import { formatCgroupTree } from '../../src/machinectl/cgroup-tree.js';
import { colourMode, styled } from '../../src/machinectl/colours.js';
import { displayWidth, ellipsize } from '../../src/machinectl/display-width.js';
import { CommandFailure } from '../../src/machinectl/failure.js';
import { asciiGlyphs, glyphsFor, lineGlyphs } from '../../src/machinectl/glyphs.js';
import { formatJson } from '../../src/machinectl/json.js';
import { serviceUnit } from '../../src/machinectl/machine-names.js';
import { choosePagers, isRestricted } from '../../src/machinectl/pagers.js';
import { formatProgress } from '../../src/machinectl/progress.js';
import { parseSignal, signalTable } from '../../src/machinectl/signals.js';
import { formatTable, nothing, squeeze, textOrDash } from '../../src/machinectl/table.js';
import { formatAgo, parseZoneRule, readZone } from '../../src/machinectl/time.js';
import { isVolumeName, parseVolume } from '../../src/machinectl/volume.js';

const second = 1_000_000n;
const hour = 3600n * second;
const day = 24n * hour;

test('spans of time, as systemd-analyze timestamp writes them', () => {
  const spans: readonly (readonly [bigint, string])[] = [
    [81n, '81us ago'], [5000n, '5ms ago'], [30n * second, '30s ago'], [60n * second, '1min 0s ago'], [90n * second, '1min 30s ago'],
    [285n * second, '4min 45s ago'], [720n * second, '12min ago'], [61n * 60n * second, '1h 1min ago'], [3n * hour, '3h 0min ago'],
    [25n * hour, '1 day 1h ago'], [26n * hour + 300n * second, '1 day 2h ago'], [2n * day, '2 days ago'], [6n * day + 23n * hour, '6 days ago'],
    [7n * day, '1 week 0 days ago'], [10n * day, '1 week 3 days ago'], [29n * day, '4 weeks 1 day ago'], [31n * day, '1 month 0 days ago'],
    [45n * day, '1 month 14 days ago'], [100n * day, '3 months 8 days ago'], [364n * day, '11 months 29 days ago'],
    [366n * day, '1 year 0 months ago'], [400n * day, '1 year 1 month ago'], [800n * day, '2 years 2 months ago'], [-5n * second, '5s left'],
  ];
  for (const [span, text] of spans) assert.equal(formatAgo(span), text);
});

test('the names of time zones', () => {
  assert.deepEqual(parseZoneRule('UTC0'), [{ name: 'UTC', offset: 0 }]);
  assert.deepEqual(parseZoneRule('CET-1CEST,M3.5.0,M10.5.0/3'), [{ name: 'CET', offset: 60 }, { name: 'CEST', offset: 120 }]);
  assert.deepEqual(parseZoneRule('<-03>3'), [{ name: '-03', offset: -180 }]);
  assert.deepEqual(parseZoneRule('IST-5:30'), [{ name: 'IST', offset: 330 }]);
  assert.deepEqual(parseZoneRule('<+1030>-10:30<+11>-11,M10.1.0,M4.1.0'), [{ name: '+1030', offset: 630 }, { name: '+11', offset: 660 }]);
  assert.deepEqual(parseZoneRule('rubbish!'), []);
  assert.deepEqual(readZone('<+03>-3'), { rules: [{ name: '+03', offset: 180 }], fixed: 180 });
  assert.deepEqual(readZone(':no/such/zone'), { rules: [{ name: 'UTC', offset: 0 }], fixed: 0 });
  assert.deepEqual(readZone('nowhere/at-all'), { rules: [{ name: 'nowhere', offset: 0 }], fixed: 0 });
  assert.deepEqual(readZone(''), { rules: [{ name: 'Universal', offset: 0 }], fixed: 0 });
  assert.deepEqual(readZone('EST5EDT').rules, [{ name: 'EST', offset: -300 }, { name: 'EDT', offset: -240 }]);
});

test('sizes', () => {
  const sizes: Readonly<Record<string, bigint>> = { '0B': 0n, '1023B': 1023n, '1K': 1024n, '1.1M': 1_200_000n, '10M': 10_485_760n };
  for (const [text, bytes] of Object.entries(sizes)) assert.equal(formatBytes(bytes), text);
  assert.equal(formatBytes((1n << 64n) - 2n), '15.9E');
  assert.equal(formatBytes((1n << 64n) - 1n), undefined);
  assert.equal(parseBytes('4096'), 4096n);
  assert.equal(parseBytes('5M'), 5n << 20n);
  assert.equal(parseBytes('1.5G'), 3n << 29n);
  assert.equal(parseBytes(' 1G 512M'), 3n << 29n);
  assert.equal(parseBytes('1.K1'), 1025n);
  for (const text of ['', '5X', 'M', '.5K', '5 5', '1K1K', '1M1G', '1.5.5', '0x1', '1e3', '1E15E']) assert.equal(parseBytes(text), 'malformed', text);
  for (const text of ['-1', '1K-1', '16E', '99999999999E', '99999999999999999999']) assert.equal(parseBytes(text), 'out-of-range', text);
});

test('signals by name and number', () => {
  const signals: Readonly<Record<string, number>> = {
    '15': 15, TERM: 15, SIGTERM: 15, SIGRTMIN: 34, 'SIGRTMIN+4': 38, 'RTMIN+0': 34, SIGRTMAX: 64, 'RTMAX-1': 63,
  };
  for (const [text, number] of Object.entries(signals)) assert.equal(parseSignal(text), number, text);
  for (const text of ['', '0', '99', 'FOO', 'SIGUSR3', 'sigterm', 'RTMIN+31', 'RTMAX-31']) {
    assert.throws(() => parseSignal(text), new CommandFailure(`Failed to parse signal string "${text}".`));
  }
  const table = signalTable();
  assert.equal(table.length, 64);
  const names = [1, 9, 29, 32, 34, 64].map((number) => table[number - 1]?.name);
  assert.deepEqual(names, ['SIGHUP', 'SIGKILL', 'SIGIO', 'SIG32', 'SIGRTMIN+0', 'SIGRTMIN+30']);
});

test('addresses', () => {
  assert.equal(formatAddress(2, Uint8Array.of(192, 0, 2, 11)), '192.0.2.11');
  const v6 = (...groups: readonly number[]) => formatAddress(10, Uint8Array.from(groups.flatMap((group) => [group >> 8, group & 0xff])));
  assert.equal(v6(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x11), '2001:db8::11');
  assert.equal(v6(0, 0, 0, 0, 0, 0, 0, 1), '::1');
  assert.equal(v6(0, 0, 0, 0, 0, 0, 0, 0), '::');
  assert.equal(v6(0xfe80, 0, 0, 1, 0, 0, 0, 1), 'fe80:0:0:1::1');
  assert.equal(v6(1, 0, 2, 0, 3, 0, 4, 0), '1:0:2:0:3:0:4:0');
  assert.equal(v6(1, 0, 0, 2, 0, 0, 3, 4), '1::2:0:0:3:4');
  assert.equal(v6(0, 0, 0, 0, 0, 0xffff, 0xc000, 0x20b), '::ffff:192.0.2.11');
});

test('how wide a text is, and what is left of one that is too wide', () => {
  assert.equal(displayWidth('plain'), 5);
  assert.equal(displayWidth('übe\u0301r'), 4);
  assert.equal(displayWidth('機械'), 4);
  assert.equal(displayWidth('✅🚀⌚'), 6);
  assert.equal(displayWidth('🇩🇪'), 2);
  assert.equal(displayWidth('한'.normalize('NFD')), 2);
  assert.equal(ellipsize('machine', 7), 'machine');
  assert.equal(ellipsize('machine', 4), 'mac…');
  assert.equal(ellipsize('機械機械', 6), '機械…');
  assert.equal(ellipsize('machine', 0), '');
  assert.equal(ellipsize('machine', 5, '...'), 'ma...');
  assert.equal(ellipsize('machine', 2, '...'), '..');
});

test('columns share what room there is', () => {
  const wanted = [8, 9, 14, 6, 7, 11];
  assert.deepEqual(squeeze(wanted, 55), wanted);
  assert.deepEqual(squeeze(wanted, 35), [5, 6, 6, 6, 6, 6]);
  assert.deepEqual(squeeze(wanted, 20), [3, 3, 3, 3, 4, 4]);
  assert.deepEqual(squeeze([2, 30, 4], 20), [2, 14, 4]);
  assert.deepEqual(squeeze(wanted, 0), [1, 1, 1, 1, 1, 1]);
});

test('tables', () => {
  const columns = [{ title: 'MACHINE' }, { title: 'SIZE', align: 'right' as const }, { title: 'ADDRESSES' }];
  const rows = [
    [{ text: 'web' }, { text: '8M' }, { text: ['192.0.2.11', '2001:db8::11'] }],
    [{ text: 'a\x1b[31mb' }, { text: '' }, nothing],
  ];
  const plain = { width: undefined, colours: 'off' as const, glyphs: lineGlyphs, header: true };
  assert.equal(
    formatTable(columns, rows, { ...plain, maximumHeight: 1 }),
    'MACHINE SIZE ADDRESSES\nweb       8M 192.0.2.11…\na?[31mb      -\n',
  );
  assert.equal(
    formatTable(columns, rows, { ...plain, header: false }),
    'web     8M 192.0.2.11\n           2001:db8::11\na?[31mb    -\n',
  );
  assert.equal(
    formatTable([{ title: 'A' }, { title: 'B' }], [[{ text: 'x' }, textOrDash('')]], { ...plain, colours: '256' }),
    '\x1b[4mA\x1b[0m\x1b[4m \x1b[0m\x1b[4mB\x1b[0m\nx \x1b[0;90m\x1b[0;38:5:245m-\x1b[0m\n',
  );
});

test('which colours there are', () => {
  const mode = (environment: Readonly<Record<string, string>>, onTerminal = true) => colourMode({ environment, onTerminal });
  assert.equal(mode({ TERM: 'xterm' }), '256');
  assert.equal(mode({ TERM: 'xterm', COLORTERM: 'truecolor' }), '24bit');
  assert.equal(mode({ TERM: 'xterm' }, false), 'off');
  assert.equal(mode({ TERM: 'dumb' }), 'off');
  assert.equal(mode({}), 'off');
  assert.equal(mode({ TERM: 'xterm', NO_COLOR: '1' }), 'off');
  assert.equal(mode({ SYSTEMD_COLORS: '1', NO_COLOR: '1' }, false), '256');
  assert.equal(mode({ SYSTEMD_COLORS: '16' }, false), '16');
  assert.equal(mode({ SYSTEMD_COLORS: '0', TERM: 'xterm' }), 'off');
  assert.equal(mode({ SYSTEMD_COLORS: 'auto-16', TERM: 'xterm' }), '16');
  assert.equal(mode({ SYSTEMD_COLORS: 'auto-16', TERM: 'xterm' }, false), 'off');
  assert.equal(styled('x', 'grey', '16'), '\x1b[0;90mx\x1b[0m');
  assert.equal(styled('x', 'grey', 'off'), 'x');
});

test('which pager is tried', () => {
  const usual = [['pager'], ['less'], ['more']];
  assert.deepEqual(choosePagers({}, false), usual);
  assert.deepEqual(choosePagers({ PAGER: 'less  -R' }, false), [['less', '-R'], ...usual]);
  assert.deepEqual(choosePagers({ PAGER: 'cat -n' }, false), [['cat', '-n'], ...usual]);
  assert.deepEqual(choosePagers({ PAGER: 'vi' }, true), [['less']]);
  for (const none of [{ PAGER: 'less', SYSTEMD_PAGER: '' }, { PAGER: 'cat' }, { SYSTEMD_PAGER: ' ' }]) {
    assert.deepEqual(choosePagers(none, false), []);
    assert.deepEqual(choosePagers(none, true), []);
  }
  assert.equal(isRestricted({ SUDO_UID: '1000' }), true);
  assert.equal(isRestricted({ SUDO_UID: '1000', SYSTEMD_PAGERSECURE: '0' }), false);
  assert.equal(isRestricted({ SYSTEMD_PAGERSECURE: '1' }), true);
});

test('JSON, in one line and indented', () => {
  const value = [{ a: 1, b: null, c: 18446744073709551615n, d: [], e: {}, f: undefined, g: ['x"', true] }];
  assert.equal(formatJson(value, 'short'), '[{"a":1,"b":null,"c":18446744073709551615,"d":[],"e":{},"g":["x\\"",true]}]');
  assert.equal(
    formatJson(value, 'pretty'),
    '[\n\t{\n\t\t"a" : 1,\n\t\t"b" : null,\n\t\t"c" : 18446744073709551615,\n\t\t"d" : [],\n\t\t"e" : {},\n\t\t"g" : [\n\t\t\t"x\\"",\n\t\t\ttrue\n\t\t]\n\t}\n]',
  );
});

test('units of machines', () => {
  assert.equal(serviceUnit('web', 'nspawn'), 'systemd-nspawn@web.service');
  assert.equal(serviceUnit('a-b.c_d', 'vmspawn'), 'systemd-vmspawn@a-b.c_d.service');
});

test('the tree of processes', () => {
  const unit = '/machine.slice/web.service';
  const process = (cgroup: string, pid: number, commandLine: string) => ({ cgroup: unit + cgroup, pid, commandLine });
  const processes = [
    process('/payload/system.slice/dbus.service', 220, 'dbus-daemon --system --nofork'),
    process('/payload/system.slice', 9, 'two'),
    process('/payload/system.slice', 10, 'three'),
    process('/payload/init.scope', 165, 'init'),
    process('/supervisor', 162, 'not of the payload'),
    { cgroup: '/machine.slice/web.service.other/payload', pid: 1, commandLine: 'another unit' },
  ];
  const options = { prefix: '  ', width: undefined, colours: 'off' as const, glyphs: lineGlyphs };
  assert.equal(
    formatCgroupTree(processes, `${unit}/payload`, options),
    [
      '  ├─init.scope',
      '  │ └─165 init',
      '  └─system.slice',
      '    ├─ 9 two',
      '    ├─10 three',
      '    └─dbus.service',
      '      └─220 dbus-daemon --system --nofork',
      '',
    ].join('\n'),
  );
  const narrow = formatCgroupTree(processes, `${unit}/payload`, { ...options, width: 33 });
  assert.match(narrow, /└─220 dbus-daemon --system -…$/m);
  const narrowest = formatCgroupTree(processes, `${unit}/payload`, { ...options, width: 5 });
  assert.match(narrowest, /└─220 dbus-daemon --syste…$/m);
  assert.equal(formatCgroupTree(processes, '/elsewhere', options), '');
});

test('progress: a bar where it is known what there is, in the columns that there are', () => {
  const half = { bytesDone: 1536, bytesTotal: 3072 };
  assert.equal(formatProgress(half, 79, 'off'), `[${'#'.repeat(20)}${'-'.repeat(20)}]  50% 1.5K of 3K`);
  assert.equal(formatProgress(half, 31, 'off'), '[######-------]  50% 1.5K of 3K');
  assert.equal(formatProgress(half, 20, 'off'), '50% 1.5K of 3K');
  assert.equal(formatProgress(half, 3, 'off'), '50%');
  assert.match(formatProgress(half, 79, '16'), /^\[\x1b\[0;1;32m#{20}\x1b\[0m-{20}\]/);
  assert.equal(formatProgress({ filesDone: 3, filesTotal: 4 }, 79, 'off'), `[${'#'.repeat(30)}${'-'.repeat(10)}]  75% 3 of 4 files`);
  assert.equal(formatProgress({ bytesDone: 2048, filesDone: 7 }, 79, 'off'), '2K, 7 files');
  assert.equal(formatProgress({ filesDone: 1 }, 79, 'off'), '1 file');
  assert.equal(formatProgress({ bytesDone: 9, bytesTotal: 0 }, 79, 'off'), '9B of 0B');
  assert.equal(formatProgress({ bytesDone: 9, bytesTotal: 6 }, 79, 'off').includes('100%'), true, 'files may grow while they are copied');
  const tree = { bytesTotal: 1 << 20, filesTotal: 128 };
  assert.match(formatProgress({ ...tree, filesDone: 64 }, 79, 'off'), /^\[#{10}-{30}\]  25% 64 of 128 files$/);
  assert.match(formatProgress({ ...tree, filesDone: 64, bytesDone: 1 << 19 }, 79, 'off'), /^\[#{20}-{20}\]  50% 512K of 1M, 64 of 128 files$/);
  assert.equal(formatProgress({}, 79, 'off'), '');
});

test('what is drawn where the locale has no UTF-8', () => {
  for (const environment of [{}, { LANG: 'C.UTF-8' }, { LANG: 'de_DE.utf8@euro' }, { LANG: 'C', LC_CTYPE: 'C.UTF-8' }, { LANG: 'C', SYSTEMD_UTF8: '1' }]) {
    assert.equal(glyphsFor(environment), lineGlyphs, JSON.stringify(environment));
  }
  for (const environment of [{ LANG: 'C' }, { LANG: '' }, { LC_CTYPE: 'C', LANG: 'C.UTF-8' }, { LC_ALL: 'POSIX', LANG: 'C.UTF-8' }, { LANG: 'de_DE.ISO-8859-1' }, { SYSTEMD_UTF8: '0' }]) {
    assert.equal(glyphsFor(environment), asciiGlyphs, JSON.stringify(environment));
  }
});

test('volumes, as systemd-vmspawn writes them', () => {
  assert.deepEqual(parseVolume('fs:data'), { provider: 'fs', volume: 'data' });
  assert.deepEqual(parseVolume('fs:data:nvme:create=new,size=1G,ro=auto'), {
    provider: 'fs', volume: 'data', config: 'nvme', createMode: 'new', createSize: 1n << 30n,
  });
  assert.deepEqual(parseVolume('fs:a\\:b::template=c\\,d,read-only=no'), { provider: 'fs', volume: 'a:b', template: 'c,d', readOnly: false });
  for (const text of ['', 'fs', 'fs:', ':x', 'a/b:x', '..:x', 'fs:x\\', 'fs:x::y', 'fs:x::ro=1,read-only=1', 'fs:x::size=0', 'fs:\ufffd', `${'p'.repeat(256)}:x`]) {
    assert.throws(() => parseVolume(text), { name: 'VolumeSyntaxError', errno: 'EINVAL' }, text);
  }
  assert.throws(() => parseVolume('fs:x::size=16E'), { errno: 'ERANGE' });
  assert.equal(isVolumeName('fs:data:nvme'), true);
  for (const text of ['', 'fs', 'fs:', ':x', 'fs:a\\b']) assert.equal(isVolumeName(text), false, text);
});
