// What is read from, and written to, the cgroup tree.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isFailure } from '../../src/domain/failure.js';
import { placeOfCgroup } from '../../src/host/units/cgroup-path.js';
import { settingsOf } from '../../src/host/units/cgroup-properties.js';
import { cgroup2Root } from '../../src/wire/mount-info.js';

test('the unit is the first component that is no slice', () => {
  const places: readonly (readonly [string, string | undefined, string])[] = [
    ['/init.scope', 'init.scope', ''],
    ['/system.slice/dbus.service', 'dbus.service', ''],
    ['/machine.slice/systemd-nspawn@c1.service/payload/system.slice/dbus.service', 'systemd-nspawn@c1.service',
      'payload/system.slice/dbus.service'],
    ['/user.slice/user-1000.slice/user@1000.service/app.slice/x.service', 'user@1000.service', 'app.slice/x.service'],
    [String.raw`/machine.slice/machine-a\x2db.scope`, String.raw`machine-a\x2db.scope`, ''],
    ['/a.slice/a-b.slice/_cgroup.service', 'cgroup.service', ''],
    ['/system.slice/dev-hugepages.mount', 'dev-hugepages.mount', ''],
    ['/', undefined, ''],
    ['', undefined, ''],
    ['/system.slice', undefined, ''],
    ['/system.slice/getty@.service', undefined, ''],
    ['/system.slice/.service', undefined, ''],
    ['/lxc/x', undefined, ''],
    ['/../x.service', undefined, ''],
    ['/system.slice/x y.service', undefined, ''],
    [`/system.slice/${'x'.repeat(256)}.service`, undefined, ''],
  ];
  for (const [cgroup, unit, subgroup] of places) {
    assert.deepEqual(placeOfCgroup(cgroup), unit === undefined ? undefined : { unit, subgroup }, cgroup);
  }
});

test('the cgroup v2 tree is found beside others', () => {
  const hybrid = [
    '31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755',
    '32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime shared:4 - cgroup cgroup rw,cpu',
    '40 31 0:37 /elsewhere /mnt rw,relatime - cgroup2 cgroup2 rw',
    String.raw`41 31 0:38 / /sys/fs/cgroup/uni\040fied rw,relatime shared:5 master:2 - cgroup2 cgroup2 rw`,
  ].join('\n');
  assert.equal(cgroup2Root(hybrid), '/sys/fs/cgroup/uni fied');
  assert.equal(cgroup2Root('31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n'), undefined);
  assert.equal(cgroup2Root(''), undefined);
});

const infinity = 0xffffffffffffffffn;

test('properties become files', () => {
  const written = (name: string, signature: string, value: unknown) =>
    settingsOf([{ name, signature, value }]).limits.map(({ file, text }) => `${file}=${text}`).join();
  assert.equal(written('TasksMax', 't', 55n), 'pids.max=55');
  assert.equal(written('TasksMax', 't', infinity), 'pids.max=max');
  assert.equal(written('MemoryMax', 't', 1n << 33n), 'memory.max=8589934592');
  assert.equal(written('MemorySwapMax', 't', 0n), 'memory.swap.max=0');
  assert.equal(written('CPUWeight', 't', 33n), 'cpu.weight=33');
  assert.equal(written('CPUWeight', 't', infinity), '');
  assert.equal(written('IOWeight', 't', 10n), 'io.weight=default 10');
  assert.equal(written('CPUQuotaPerSecUSec', 't', 1_500_000n), 'cpu.max=150000 100000');
  assert.equal(written('CPUQuotaPerSecUSec', 't', 1n), 'cpu.max=1000 100000');
  assert.equal(written('CPUQuotaPerSecUSec', 't', infinity), 'cpu.max=max 100000');
  assert.equal(written('AllowedCPUs', 'ay', Uint8Array.of(0b1011, 0x80)), 'cpuset.cpus=0-1,3,15');
  assert.equal(written('AllowedMemoryNodes', 'ay', Uint8Array.of(1)), 'cpuset.mems=0');
  assert.equal(written('Description', 's', 'x'), '');
});

test('the last of several wins', () => {
  const tasks = (value: bigint) => ({ name: 'TasksMax', signature: 't', value });
  assert.deepEqual(settingsOf([tasks(1n), tasks(2n)]).limits, [{ file: 'pids.max', text: '2' }]);
});

test('how a scope is stopped', () => {
  const plain = settingsOf([]);
  assert.deepEqual([plain.stopSignals, plain.stopTimeout], [[15], undefined]);
  const special = settingsOf([
    { name: 'KillSignal', signature: 'i', value: 37 },
    { name: 'SendSIGHUP', signature: 'b', value: true },
    { name: 'TimeoutStopUSec', signature: 't', value: 1_500_000n },
  ]);
  assert.deepEqual([special.stopSignals, special.stopTimeout], [[37, 1], 1500]);
  assert.equal(settingsOf([{ name: 'TimeoutStopUSec', signature: 't', value: infinity }]).stopTimeout, Infinity);
});

test('what cannot be done is refused by name', () => {
  const bad: readonly (readonly [string, string, unknown])[] = [
    ['Bogus', 's', 'x'], ['toString', 's', 'x'], ['__proto__', 's', 'x'], ['TasksMax', 's', 'x'], ['TasksMax', 'i', 1],
    ['CPUWeight', 't', 0n], ['CPUWeight', 't', 10_001n], ['CPUQuotaPerSecUSec', 't', 0n], ['KillSignal', 'i', 65],
    ['KillMode', 's', 'none'], ['IPAddressDeny', 'a(iayu)', []],
  ];
  for (const [name, signature, value] of bad) {
    const names = (error: unknown) => isFailure(error, 'invalid-argument') && error.message.includes(name);
    assert.throws(() => settingsOf([{ name, signature, value }]), names, name);
  }
});

test('what is not enforced is told', () => {
  const { unenforced } = settingsOf([
    { name: 'DevicePolicy', signature: 's', value: 'closed' },
    { name: 'DeviceAllow', signature: 'a(ss)', value: [['/dev/null', 'rwm']] },
  ]);
  assert.deepEqual(unenforced, ['DevicePolicy', 'DeviceAllow']);
});
