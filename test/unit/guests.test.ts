/** Looking into guests: real namespaces, which take root, with all that a hostile guest may have in store. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, readFileSync, readlinkSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { after, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { failsWith, Guest, helpersOf, identify, look, until } from '../support/guest.js';

const skip = process.getuid?.() === 0 ? false : 'needs root';

suite('os-release', { skip }, () => {
  test('/etc comes first, then /usr/lib, then there is none', async () => {
    using place = look();
    using guest = await Guest.start();
    assert.equal(await place.guests.osRelease(guest.leader), undefined);
    guest.inside('echo "ID=usr" >"$1/usr/lib/os-release"');
    assert.deepEqual([...((await place.guests.osRelease(guest.leader)) ?? [])], [['ID', 'usr']]);
    symlinkSync('nowhere', guest.file('etc/os-release'));
    assert.deepEqual([...((await place.guests.osRelease(guest.leader)) ?? [])], [['ID', 'usr']]);
    rmSync(guest.file('etc/os-release'));
    writeFileSync(guest.file('etc/os-release'), `NAME="Test OS"\nID=etc\n# comment\nNAME='Last One'\nX\n`);
    assert.deepEqual([...((await place.guests.osRelease(guest.leader)) ?? [])], [['NAME', 'Last One'], ['ID', 'etc']]);
    writeFileSync(guest.file('etc/os-release'), '');
    assert.deepEqual(await place.guests.osRelease(guest.leader), new Map());
  });

  test('no symbolic link leads out of the guest', async () => {
    using place = look();
    using guest = await Guest.start();
    writeFileSync(guest.file('etc/hostname'), 'INSIDE=1\n');
    for (const target of ['/etc/hostname', '../../../../../../../../etc/hostname', '/../../etc/./hostname']) {
      symlinkSync(target, guest.file('etc/os-release'));
      assert.deepEqual(await place.guests.osRelease(guest.leader), new Map([['INSIDE', '1']]), target);
      rmSync(guest.file('etc/os-release'));
    }
    symlinkSync('/etc/shadow', guest.file('etc/os-release'));
    assert.equal(await place.guests.osRelease(guest.leader), undefined);
    rmSync(guest.file('etc/os-release'));
    symlinkSync('/proc/self/root/etc/hostname', guest.file('etc/os-release'));
    await assert.rejects(place.guests.osRelease(guest.leader), failsWith('ELOOP'));
  });

  test('what is no ordinary file is refused at once', async () => {
    using place = look({ answer: 3000 });
    using guest = await Guest.start();
    for (const make of ['mkfifo "$1/etc/os-release"', 'mkdir "$1/etc/os-release"', 'mknod "$1/etc/os-release" c 1 5']) {
      guest.inside(make);
      await assert.rejects(place.guests.osRelease(guest.leader), failsWith('EINVAL'));
      guest.inside('rm -r "$1/etc/os-release"');
    }
  });

  test('what is too large, binary or no text is refused', async () => {
    using place = look();
    using guest = await Guest.start();
    const file = guest.file('etc/os-release');
    writeFileSync(file, 'A=1\n');
    truncateSync(file, 2 ** 30);
    await assert.rejects(place.guests.osRelease(guest.leader), failsWith('EFBIG'));
    writeFileSync(file, 'A=1\0\n');
    await assert.rejects(place.guests.osRelease(guest.leader), failsWith('EBADMSG'));
    writeFileSync(file, Buffer.from('A=\xff\n', 'latin1'));
    await assert.rejects(place.guests.osRelease(guest.leader), failsWith('EINVAL'));
    writeFileSync(file, 'A=x\n'.repeat(262_144)); // 1 MiB
    assert.deepEqual(await place.guests.osRelease(guest.leader), new Map([['A', 'x']]));
    writeFileSync(file, Array.from({ length: 60_000 }, (_, index) => `K${index}=\x01\x01\x01\x01\n`).join(''));
    assert.equal((await place.guests.osRelease(guest.leader))?.size, 60_000);
  });

  test('a guest cannot have files of the host read that its own root user may not read', async () => {
    using place = look();
    using guest = await Guest.start({ userNamespace: true });
    const file = guest.file('etc/os-release');
    writeFileSync(file, 'SECRET=1\n', { mode: 0o600 });
    await assert.rejects(place.guests.osRelease(guest.leader), failsWith('EACCES'));
    execFileSync('chown', ['1000000:1000000', file]);
    assert.deepEqual(await place.guests.osRelease(guest.leader), new Map([['SECRET', '1']]));
    execFileSync('chown', ['0:0', file]);
    execFileSync('chmod', ['644', file]);
    assert.deepEqual(await place.guests.osRelease(guest.leader), new Map([['SECRET', '1']]));
  });

  test('a process that has ended, or another one with its PID, is not looked at', async () => {
    using place = look();
    using guest = await Guest.start();
    writeFileSync(guest.file('etc/os-release'), 'ID=x\n');
    const { pid, pidfdId } = guest.leader;
    const another = { pid, pidfdId: (pidfdId ?? 0n) + 1n };
    if (pidfdId !== undefined) await assert.rejects(place.guests.osRelease(another), failsWith('ESRCH'));
    if (pidfdId !== undefined) await assert.rejects(place.guests.addresses(another), failsWith('ESRCH'));
    await guest.end();
    await assert.rejects(place.guests.osRelease(guest.leader), failsWith('ESRCH'));
    await assert.rejects(place.guests.addresses(guest.leader), failsWith('ESRCH'));
  });

  test('of the host itself is that of the host', async () => {
    using place = look();
    const text = readFileSync('/etc/os-release', 'utf8');
    const release = await place.guests.osRelease(identify(1));
    assert.equal(release?.get('ID'), /^ID="?([^"\n]*)/m.exec(text)?.[1]);
  });

  test('a warm helper answers quickly', async () => {
    using place = look();
    using guest = await Guest.start();
    writeFileSync(guest.file('etc/os-release'), 'ID=x\n');
    await place.guests.osRelease(guest.leader);
    const started = performance.now();
    for (let count = 0; count < 100; count++) await place.guests.osRelease(guest.leader);
    const each = (performance.now() - started) / 100;
    assert.ok(each < 100, `${each} ms each`);
  });
});

// A file system whose server never says a word: any walk into it waits until the walker is killed.
const hang = 'exec 3<>/dev/fuse; mount -i -t fuse -o fd=3,rootmode=40000,user_id=0,group_id=0,allow_other hung "$1/etc"; sleep 20 3<&3 >/dev/null 2>&1 &';

suite('a guest that keeps us waiting', { skip: skip || (existsSync('/dev/fuse') ? false : 'needs /dev/fuse') }, () => {
  test('is given up on, while others are answered', async () => {
    using place = look({ answer: 5000 });
    using hostile = await Guest.start();
    using honest = await Guest.start();
    writeFileSync(honest.file('etc/os-release'), 'ID=honest\n');
    await place.guests.osRelease(honest.leader);
    hostile.inside(hang);

    let givenUp = 0;
    const given = [1, 2, 3, 4, 5, 6].map(() => place.guests.osRelease(hostile.leader));
    for (const answer of given) answer.catch(() => givenUp++);
    assert.deepEqual(await place.guests.osRelease(honest.leader), new Map([['ID', 'honest']]));
    assert.equal(givenUp, 0, 'the honest guest had to wait');
    for (const answer of given) await assert.rejects(answer, failsWith('ETIMEDOUT'));
    assert.match(place.log.warnings[0] ?? '', new RegExp(`process ${hostile.leader.pid}: .*waiting`));
    assert.deepEqual(await place.guests.osRelease(honest.leader), new Map([['ID', 'honest']]));
  });

  test('does not hold up the end of the daemon', async () => {
    using hostile = await Guest.start();
    hostile.inside(hang);
    {
      using place = look();
      const answer = place.guests.osRelease(hostile.leader);
      await sleep(200);
      place[Symbol.dispose]();
      await assert.rejects(answer, failsWith('ECANCELED'));
    }
    await until(() => helpersOf(process.pid).length === 0);
  });

  test('leaves no helper behind when the daemon is killed', async () => {
    using hostile = await Guest.start();
    hostile.inside(hang);
    const module = new URL('../../src/host/guests/kernel-guests.js', import.meta.url).href;
    const { pid, pidfdId } = hostile.leader;
    const program = `
      const { KernelGuests } = await import(${JSON.stringify(module)});
      await new KernelGuests({ warning() {} }, '/nowhere/mounts').osRelease({ pid: ${pid}, pidfdId: ${pidfdId === undefined ? 'undefined' : `${pidfdId}n`} });`;
    const daemon = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: 'ignore' });
    await until(() => helpersOf(daemon.pid as number).length === 1);
    const [helper] = helpersOf(daemon.pid as number);
    await sleep(300); // it has begun to wait
    daemon.kill('SIGKILL');
    await until(() => !existsSync(`/proc/${helper}`));
  });
});

const hasIp = ['/usr/sbin/ip', '/sbin/ip', '/usr/bin/ip', '/bin/ip'].some((file) => existsSync(file));

suite('addresses', { skip: skip || (hasIp ? false : 'needs ip(8)') }, () => {
  const own = process.getuid?.() === 0 ? readlinkSync('/proc/thread-self/ns/net') : '';
  after(() => assert.equal(readlinkSync('/proc/thread-self/ns/net'), own, 'the thread has stayed in another namespace'));

  test('are those that others can use, in the order of systemd', async () => {
    using place = look();
    using guest = await Guest.start();
    assert.deepEqual(await place.guests.addresses(guest.leader), []);
    guest.inside(`
      ip link set lo up
      ip link add d0 type veth peer name d1
      ip link set d0 up; ip link set d1 up
      ip addr add 10.1.0.1/24 dev d0
      ip addr add 10.9.0.1 peer 10.9.0.2 dev d0
      ip addr add 10.1.0.2/24 dev d0
      ip addr add 169.254.7.7/16 dev d0 scope link
      ip addr add 127.9.9.9/8 dev d0
      ip addr add 10.66.0.1/24 dev d0 scope host
      ip addr add 10.77.0.1/24 dev d0 preferred_lft 0 valid_lft 1000
      ip addr add 10.78.0.1/24 dev d0 scope site
      ip addr add 10.44.0.1/32 dev lo
      ip link add e0 type veth peer name e1
      ip addr add 10.2.0.1/24 dev e0
      ip addr add 2001:db8:1::1/64 dev d0 nodad
      ip addr add fd00::6/64 dev d0 preferred_lft 0 nodad
      ip addr add fd00::5/64 dev d0 nodad
      ip addr add 2001:db8:44::1/128 dev lo
      ip addr add 2001:db8:2::1/64 dev e0`);
    const index = (name: string): number => Number(guest.inside(`ip -o link show dev ${name} | cut -d: -f1`));
    const [lo, d0, e0] = [index('lo'), index('d0'), index('e0')];

    const listed = (await place.guests.addresses(guest.leader)) ?? [];

    const seen = listed.map(({ family, bytes, interfaceIndex }) => [family, Buffer.from(bytes).toString('hex'), interfaceIndex]);
    assert.deepEqual(seen.filter(([, bytes]) => !String(bytes).startsWith('fe80')), [
      [2, '0a2c0001', lo], [2, '0a010001', d0], [2, '0a010002', d0], [2, '0a090001', d0], [2, '0a020001', e0],
      [2, '0a4e0001', d0], [2, 'a9fe0707', d0],
      [10, '20010db8004400000000000000000001', lo], [10, '20010db8000100000000000000000001', d0],
      [10, 'fd000000000000000000000000000005', d0],
    ]);
  });

  test('are too many to be all listed where a guest has thousands', async () => {
    using place = look();
    using guest = await Guest.start();
    const lines = Array.from({ length: 10_000 }, (_, index) => `addr add 10.${index >> 8}.${index & 255}.1/32 dev lo`);
    writeFileSync(guest.file('etc/batch'), `${lines.join('\n')}\n`);
    guest.inside('ip -batch "$1/etc/batch"');
    assert.equal((await place.guests.addresses(guest.leader))?.length, 4096);
  });

  test('of a process in our own network are not told', async () => {
    using place = look();
    assert.equal(await place.guests.addresses(identify(process.pid)), undefined);
  });

  test("of the host are those of this process's own network", async () => {
    using place = look();
    const listed = await place.guests.hostAddresses();
    const seen = listed.filter(({ family }) => family === 2).map(({ bytes }) => bytes.join('.'));
    const known = Object.values(networkInterfaces()).flatMap((list = []) => list.filter(({ family, address }) => family === 'IPv4' && !address.startsWith('127.')));
    for (const { address } of known) assert.ok(seen.includes(address), `${address} is missing`);
  });

  test('take a privileged daemon', async () => {
    using guest = await Guest.start();
    const module = new URL('../../src/host/guests/addresses.js', import.meta.url).href;
    const program = `
      const { readAddresses } = await import(${JSON.stringify(module)});
      try { readAddresses({ pid: ${guest.leader.pid}, pidfdId: undefined }); } catch (error) { console.log(error.errno, error.message); }`;
    const said = execFileSync(process.execPath, ['--input-type=module', '-e', program], { uid: 65534, gid: 65534, encoding: 'utf8' });
    assert.match(said, /^EPERM Only a privileged daemon/);
  });
});
