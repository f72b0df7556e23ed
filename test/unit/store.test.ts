/** The state files, in directories of the tests' own; and the fake that stands for them. */
import assert from 'node:assert/strict';
import {
  chmodSync, existsSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync, symlinkSync,
  truncateSync, writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { suite, test } from 'node:test';
import { isFailure } from '../../src/domain/failure.js';
import { noVsockCid, type Machine } from '../../src/domain/machine.js';
import { StateFiles } from '../../src/host/state-files.js';
import { FakeStore } from '../../src/ports/fakes/store.js';
import { fullMachine, plainMachine, storeCompliance } from '../compliance/store.js';

class Place implements Disposable {
  readonly root = mkdtempSync(path.join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'machined-store-')); // as /run is
  readonly directories = { machines: path.join(this.root, 'systemd/machines'), own: path.join(this.root, 'machined') };
  readonly store = new StateFiles(this.directories);

  reopen(): StateFiles {
    return new StateFiles(this.directories);
  }

  file(name: string): string {
    return path.join(this.directories.machines, name);
  }

  write(name: string, text: string | Buffer): void {
    writeFileSync(this.file(name), text);
  }

  list(): string[] {
    return readdirSync(this.directories.machines).sort();
  }

  [Symbol.dispose](): void {
    rmSync(this.root, { recursive: true });
  }
}

storeCompliance('StateFiles', () => new Place());
storeCompliance('FakeStore', () => {
  const store = new FakeStore();
  return { store, reopen: () => store, [Symbol.dispose]: () => undefined };
});

const nspawnFile = `# This is private data. Do not parse.
NAME=c1
UID=0
SCOPE=systemd-nspawn@c1.service
SERVICE=systemd-nspawn
ROOT=/var/lib/machines/c1
ID=c1000000000000000000000000000c01
LEADER=176
LEADER_PIDFDID=220095
SUPERVISOR=173
SUPERVISOR_PIDFDID=220092
CLASS=container
REALTIME=1795255599839418
MONOTONIC=2548872457
NETIF=" 4"
VSOCK_CID=4294967295
`;
const nspawnMachine: Machine = {
  ...plainMachine,
  name: 'c1',
  id: 'c1000000000000000000000000000c01',
  service: 'systemd-nspawn',
  leader: { pid: 176, pidfdId: 220095n },
  supervisor: { pid: 173, pidfdId: 220092n },
  rootDirectory: '/var/lib/machines/c1',
  unit: 'systemd-nspawn@c1.service',
  networkInterfaces: [4],
  timestamp: { realtime: 1795255599839418n, monotonic: 2548872457n },
};
// systemd 252 and 257 know fewer fields, and quote nothing.
const oldFile = `# This is private data. Do not parse.
NAME=st2-x
SCOPE=machine-st2\\\\x2dx.scope
SERVICE=svc x
LEADER=125
CLASS=vm
REALTIME=1795255944828697
MONOTONIC=2893861735
NETIF=1 3
`;

suite('a state file', () => {
  test('is the one that systemd-machined 262 writes', () => {
    using place = new Place();
    place.store.save({ machine: nspawnMachine, job: '' });
    assert.equal(readFileSync(place.file('c1'), 'utf8'), nspawnFile);
  });

  test('has every key in its place', () => {
    using place = new Place();
    place.store.save({ machine: fullMachine, job: '/org/freedesktop/systemd1/job/7' });
    const text = readFileSync(place.file(fullMachine.name), 'utf8');
    assert.deepEqual([...text.matchAll(/^([A-Z_]+)=/gm)].map((match) => match[1]), [
      'NAME', 'UID', 'SCOPE', 'SCOPE_JOB', 'SERVICE', 'ROOT', 'ID', 'LEADER', 'LEADER_PIDFDID', 'SUPERVISOR',
      'SUPERVISOR_PIDFDID', 'CLASS', 'REALTIME', 'MONOTONIC', 'NETIF', 'VSOCK_CID', 'SSH_ADDRESS',
      'SSH_PRIVATE_KEY_PATH', 'CONTROL_ADDRESS',
    ]);
    assert.match(text, /^SCOPE="machine-a\\\\x2db\.cd\.scope"$/m);
  });

  test('does not speak of a VSOCK CID of 0', () => {
    using place = new Place();
    place.store.save({ machine: { ...nspawnMachine, vsockCid: 0 }, job: '' });
    assert.equal(readFileSync(place.file('c1'), 'utf8'), nspawnFile.replace('VSOCK_CID=4294967295\n', ''));
  });

  test('is readable for all in a directory that all can list, whatever the umask', () => {
    const before = process.umask(0o077);
    try {
      using place = new Place();
      place.store.save({ machine: nspawnMachine, job: '' });
      assert.equal(statSync(place.file('c1')).mode & 0o7777, 0o644);
      assert.equal(statSync(place.directories.machines).mode & 0o7777, 0o755);
    } finally {
      process.umask(before);
    }
  });

  test('of systemd 262 is understood', () => {
    using place = new Place();
    place.write('c1', nspawnFile);
    assert.deepEqual(place.store.load(), { machines: [{ machine: nspawnMachine, job: '' }], intended: [], damaged: [] });
  });

  test('of systemd 252 is understood', () => {
    using place = new Place();
    place.write('st2-x', oldFile);
    const [loaded] = place.store.load().machines;
    assert.deepEqual(loaded?.machine, {
      ...plainMachine,
      name: 'st2-x',
      class: 'vm',
      service: 'svc x',
      leader: { pid: 125, pidfdId: undefined },
      unit: 'machine-st2\\x2dx.scope',
      allocatedUnit: true,
      networkInterfaces: [1, 3],
      vsockCid: noVsockCid,
      timestamp: { realtime: 1795255944828697n, monotonic: 2893861735n },
    });
  });

  test('appears at once: nothing else is left in the directory', () => {
    using place = new Place();
    place.store.save({ machine: fullMachine, job: '' });
    place.store.save({ machine: fullMachine, job: '' });
    assert.deepEqual(place.list(), ['a-b.cd', 'unit:machine-a\\x2db.cd.scope']);
  });

  test('that cannot be written leaves the old one as it was', () => {
    using place = new Place();
    place.store.save({ machine: nspawnMachine, job: '' });
    mkdirSync(place.file('.#c1')); // in the way of the new text
    assert.throws(
      () => place.store.save({ machine: nspawnMachine, job: '/job/1' }),
      (error) => isFailure(error, 'system') && error.errno === 'EISDIR' && error.cause !== undefined,
    );
    assert.equal(readFileSync(place.file('c1'), 'utf8'), nspawnFile);
  });

  test('that nobody could load again is refused', () => {
    using place = new Place();
    const huge = { ...nspawnMachine, service: 'x'.repeat(1 << 20) };
    assert.throws(() => place.store.save({ machine: huge, job: '' }), (error) => isFailure(error, 'system') && error.errno === 'EFBIG');
    assert.deepEqual(place.list().includes('c1'), false);
  });

  test('a name that leads elsewhere is a bug, not a path', () => {
    using place = new Place();
    for (const name of ['../x', 'a/b', '', '.', '.host']) {
      assert.throws(() => place.store.save({ machine: { ...plainMachine, name }, job: '' }), /is no machine name/);
    }
  });
});

suite('the link of a unit', () => {
  test('leads to the machine that has all of it, and goes with it', () => {
    using place = new Place();
    place.store.save({ machine: fullMachine, job: '' });
    assert.equal(readlinkSync(place.file(`unit:${fullMachine.unit}`)), fullMachine.name);
    place.store.remove(fullMachine);
    assert.deepEqual(place.list(), []);
  });

  test('is not made for a machine without a unit or in a subgroup', () => {
    using place = new Place();
    place.store.save({ machine: plainMachine, job: '' });
    place.store.save({ machine: { ...nspawnMachine, subgroup: 'payload' }, job: '' });
    assert.deepEqual(place.list(), ['c1', 'plain']);
  });

  test('replaces what is there under its name', () => {
    using place = new Place();
    symlinkSync('somebody-else', place.file(`unit:${fullMachine.unit}`));
    place.store.save({ machine: fullMachine, job: '' });
    assert.equal(readlinkSync(place.file(`unit:${fullMachine.unit}`)), fullMachine.name);
  });

  test('is left alone where it leads to another machine by now', () => {
    using place = new Place();
    place.store.save({ machine: { ...plainMachine, unit: 'shared.service' }, job: '' });
    place.store.save({ machine: { ...nspawnMachine, unit: 'shared.service' }, job: '' });
    place.store.remove({ ...plainMachine, unit: 'shared.service' });
    assert.deepEqual(place.list(), ['c1', 'unit:shared.service']);
  });

  test('is done without where the unit has a name that no file can have', () => {
    using place = new Place();
    for (const unit of ['a/b', 'x'.repeat(250)]) {
      place.store.save({ machine: { ...plainMachine, unit }, job: '' });
      place.store.remove({ ...plainMachine, unit });
    }
    assert.deepEqual(place.list(), []);
  });
});

suite('what is found in the directory', () => {
  test('a file that cannot be understood is set aside, with the reason', () => {
    using place = new Place();
    const damages: Record<string, [string | Buffer, RegExp]> = {
      other: ['NAME=another\nLEADER=1\nCLASS=container\n', /not the state file of this machine/],
      garbage: ['garbage\n', /not the state file of this machine/],
      empty: ['', /not the state file of this machine/],
      leaderless: ['NAME=leaderless\nCLASS=container\n', /no LEADER/],
      'leader-zero': ['NAME=leader-zero\nCLASS=container\nLEADER=0\n', /LEADER makes no sense: "0"/],
      'leader-huge': ['NAME=leader-huge\nCLASS=container\nLEADER=4294967297\n', /LEADER makes no sense/],
      classless: ['NAME=classless\nLEADER=1\n', /CLASS makes no sense: ""/],
      host: ['NAME=host\nLEADER=1\nCLASS=host\n', /CLASS makes no sense/],
      id: ['NAME=id\nLEADER=1\nCLASS=vm\nID=zz\n', /ID makes no sense/],
      netif: ['NAME=netif\nLEADER=1\nCLASS=vm\nNETIF=1 0\n', /NETIF makes no sense/],
      cid: ['NAME=cid\nLEADER=1\nCLASS=vm\nVSOCK_CID=4294967296\n', /VSOCK_CID makes no sense/],
      uid: ['NAME=uid\nLEADER=1\nCLASS=vm\nUID=-1\n', /UID makes no sense/],
      time: ['NAME=time\nLEADER=1\nCLASS=vm\nREALTIME=99999999999999999999\n', /REALTIME makes no sense/],
      binary: [Buffer.from([0x4e, 0xff, 0x0a]), /not valid UTF-8/],
      nul: ['NAME=nul\0\n', /NUL/],
    };
    for (const [name, [text]] of Object.entries(damages)) place.write(name, text);
    place.write('c1', nspawnFile);

    const { machines, damaged } = place.store.load();

    assert.deepEqual(machines.map(({ machine }) => machine.name), ['c1']);
    assert.deepEqual(damaged.map(({ file }) => path.basename(file)).sort(), Object.keys(damages).sort());
    for (const { file, reason } of damaged) {
      const [text, expected] = damages[path.basename(file)] as [string | Buffer, RegExp];
      assert.match(reason, expected);
      assert.deepEqual(readFileSync(path.join(place.directories.own, 'damaged', `${path.basename(file)}.1`)), Buffer.from(text));
    }
    assert.deepEqual(place.list(), ['c1']);
    assert.deepEqual(place.reopen().load().damaged, []);
  });

  test('damaged files of one name are all kept, up to a number', () => {
    using place = new Place();
    for (let round = 0; round < 20; round++) {
      place.write('bad', `garbage ${round}`);
      place.store.load();
    }
    const kept = readdirSync(path.join(place.directories.own, 'damaged'));
    assert.equal(kept.length, 16);
    assert.equal(readFileSync(path.join(place.directories.own, 'damaged/bad.1'), 'utf8'), 'garbage 0');
    assert.equal(readFileSync(path.join(place.directories.own, 'damaged/bad.16'), 'utf8'), 'garbage 19');
  });

  test('what is intended has a hidden file and no link', () => {
    using place = new Place();
    place.store.intend({ ...fullMachine, state: 'opening' });
    assert.deepEqual(place.list(), [`.#${fullMachine.name}`]);
    place.store.save({ machine: fullMachine, job: '' });
    assert.deepEqual(place.list(), [fullMachine.name, `unit:${fullMachine.unit}`]);
  });

  test('what was written halfway is no machine, and is not touched if it is somebody else\'s', () => {
    using place = new Place();
    place.write('c1', nspawnFile);
    place.write('.#c1', nspawnFile.replace('CLASS=container', 'CLASS=vm'));
    place.write('.#half', 'NAME=half\nCLA');
    place.write('.#c10123456789abcdef', nspawnFile); // as systemd-machined names such files
    assert.deepEqual(place.store.load(), { machines: [{ machine: nspawnMachine, job: '' }], intended: [], damaged: [] });
    assert.deepEqual(place.list(), ['.#c10123456789abcdef', '.#half', 'c1']);
  });

  test('hidden and odd names, directories, links and pipes are left alone', () => {
    using place = new Place();
    place.write('.hidden', 'x');
    place.write('t bad', 'NAME=x');
    mkdirSync(place.file('t-bad4'));
    symlinkSync('nowhere', place.file('unit:t-bad.service'));
    const outside = path.join(place.root, 'c1');
    writeFileSync(outside, nspawnFile);
    symlinkSync(outside, place.file('c1'));
    assert.deepEqual(place.store.load(), { machines: [], intended: [], damaged: [] });
    assert.deepEqual(place.list(), ['.hidden', 'c1', 't bad', 't-bad4', 'unit:t-bad.service']);
  });

  test('a huge file is not read', () => {
    using place = new Place();
    place.write('huge', 'NAME=huge\n');
    truncateSync(place.file('huge'), 2 ** 30);
    const { damaged } = place.store.load();
    assert.match(damaged[0]?.reason ?? '', /more than 1048576 bytes/);
    assert.equal(existsSync(place.file('huge')), false);
  });

  test('a file that may not be read, or moved, is reported and left there', () => {
    using place = new Place();
    place.write('secret', nspawnFile);
    chmodSync(place.file('secret'), 0);
    chmodSync(place.directories.machines, 0o555);
    chmodSync(place.root, 0o755);
    const { damaged } = withoutRoot(() => place.store.load());
    assert.match(damaged[0]?.reason ?? '', /cannot be read: EACCES.*cannot be moved away: EACCES/);
    chmodSync(place.directories.machines, 0o755);
  });

  test('a file that cannot be moved away is reported and left there', () => {
    using place = new Place();
    place.write('bad', 'garbage');
    rmSync(path.join(place.directories.own, 'damaged'), { recursive: true });
    const { damaged } = place.store.load();
    assert.match(damaged[0]?.reason ?? '', /not the state file of this machine \(and it cannot be moved away: ENOENT\)/);
    assert.ok(lstatSync(place.file('bad')).isFile());
  });

  test('a directory that cannot be read is a failure', () => {
    using place = new Place();
    rmSync(place.directories.machines, { recursive: true });
    assert.throws(() => place.store.load(), (error) => isFailure(error, 'system') && error.errno === 'ENOENT');
  });
});

/** Root may read and move everything. */
function withoutRoot<T>(work: () => T): T {
  if (process.geteuid?.() !== 0) return work();
  process.seteuid?.(nobody);
  try {
    return work();
  } finally {
    process.seteuid?.(0);
  }
}

const nobody = 65534;

suite('the side file', () => {
  const boxed: Machine = { ...nspawnMachine, subgroup: 'payload' };

  test('of a machine that has ended is removed', () => {
    using place = new Place();
    place.store.save({ machine: boxed, job: '' });
    rmSync(place.file('c1'));
    place.reopen().load();
    assert.equal(existsSync(path.join(place.directories.own, 'c1')), false);
  });

  test('of an earlier machine of that name says nothing', () => {
    using place = new Place();
    place.store.save({ machine: boxed, job: '' });
    place.write('c1', nspawnFile.replace('LEADER_PIDFDID=220095', 'LEADER_PIDFDID=220096'));
    assert.equal(place.reopen().load().machines[0]?.machine.subgroup, '');
  });

  test('that is damaged is set aside; the machine is there all the same', () => {
    using place = new Place();
    place.store.save({ machine: boxed, job: '' });
    writeFileSync(path.join(place.directories.own, 'c1'), 'garbage');
    const { machines, damaged } = place.reopen().load();
    assert.deepEqual(machines, [{ machine: nspawnMachine, job: '' }]);
    assert.deepEqual(damaged, [{ file: path.join(place.directories.own, 'c1'), reason: 'it has no LEADER' }]);
  });
});

test('a thousand machines are saved quickly', () => {
  using place = new Place();
  const started = performance.now();
  for (let number = 0; number < 1000; number++) {
    place.store.save({ machine: { ...fullMachine, name: `m${number}`, unit: `machine-m${number}.scope` }, job: '' });
  }
  const each = (performance.now() - started) / 1000;
  assert.ok(each < 1, `${each} ms each`);
  assert.equal(place.store.load().machines.length, 1000);
});
