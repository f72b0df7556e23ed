/** State files of the real daemons are understood; those written here are understood by libsystemd. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { Machine } from '../../src/domain/machine.js';
import { fullMachine, plainMachine } from '../compliance/store.js';
import { bootHost, systemdVersions, type LabHost } from './harness.js';

const manager = ['org.freedesktop.machine1', '/org/freedesktop/machine1', 'org.freedesktop.machine1.Manager'];
const stateDirectory = '/run/systemd/machines';

/** What our store loads from a copy of the state files, as JSON; big integers as strings. */
const loadProgram = `
  import { cpSync, rmSync } from 'node:fs';
  const { StateFiles } = await import('/src/build/src/host/state-files.js');
  rmSync('/tmp/copy', { recursive: true, force: true });
  cpSync('${stateDirectory}', '/tmp/copy', { recursive: true, verbatimSymlinks: true });
  const loaded = new StateFiles({ machines: '/tmp/copy', own: '/tmp/own' }).load();
  console.log(JSON.stringify(loaded, (key, value) => (typeof value === 'bigint' ? String(value) : value)));`;

interface Loaded {
  readonly machines: readonly { readonly machine: Readonly<Record<string, unknown>>; readonly job: string }[];
  readonly damaged: readonly unknown[];
}

async function load(host: LabHost): Promise<Loaded> {
  return JSON.parse(await host.succeed(['node', '--input-type=module', '-e', loadProgram])) as Loaded;
}

async function property(host: LabHost, machine: string, name: string): Promise<string> {
  return host.succeed(['machinectl', 'show', machine, `--property=${name}`, '--value']);
}

for (const suiteName of ['bookworm', 'trixie', 'sid'] as const) {
  suite(`state files of systemd ${systemdVersions[suiteName]}`, () => {
    test('are loaded into the machines that the daemon knows', async () => {
      await using host = await bootHost({ suite: suiteName, name: `state-${suiteName}`, daemon: 'real' });
      const registered = await host.leader('registered');
      const created = await host.leader('created');
      const id = Array.from({ length: 16 }, (_, index) => String(index + 1));
      await host.succeed([
        'busctl', 'call', ...manager, 'RegisterMachineWithNetwork', 'sayssusai',
        'some-thing', '16', ...id, 'my service', 'container', String(registered), '/srv', '1', '1',
      ]);
      await host.succeed([
        'busctl', 'call', ...manager, 'CreateMachine', 'sayssusa(sv)', 'in-scope', '0', '', 'vm', String(created), '', '0',
      ]);
      const booted = await host.container('crate', { privateUsers: true });

      // a unit that also holds the supervisor is not the container's alone: 262 knows that
      const links = await host.succeed(['find', stateDirectory, '-name', 'unit:*@crate.service']);
      assert.equal(links !== '', systemdVersions[suiteName] < 262);

      const { machines, damaged } = await load(host);

      assert.deepEqual(damaged, []);
      const names = machines.map(({ machine }) => machine['name']);
      assert.deepEqual(names, ['some-thing', 'in-scope', 'crate']);
      const [first, second, third] = machines.map(({ machine }) => machine);
      const expected: Readonly<Record<string, unknown>> = {
        id: '0102030405060708090a0b0c0d0e0f10', class: 'container', service: 'my service', rootDirectory: '/srv',
        unit: 'leader-registered.service', networkInterfaces: [1], owner: 0, allocatedUnit: false, vsockCid: 4294967295,
      };
      for (const [key, value] of Object.entries(expected)) assert.deepEqual(first?.[key], value, key);
      assert.equal(second?.['unit'], 'machine-in\\x2dscope.scope');
      assert.equal(second['allocatedUnit'], true);
      assert.equal(second['class'], 'vm');
      assert.equal(third?.['unit'], 'systemd-nspawn@crate.service');
      for (const [machine, pid] of [[first, registered], [second, created], [third, booted]] as const) {
        const name = String(machine?.['name']);
        const leader = machine?.['leader'] as { pid: number; pidfdId?: string };
        const timestamp = machine?.['timestamp'] as { realtime: string; monotonic: string };
        assert.equal(leader.pid, pid);
        if (systemdVersions[suiteName] >= 262) assert.equal(leader.pidfdId, await property(host, name, 'LeaderPIDFDId'));
        assert.equal(timestamp.monotonic, await property(host, name, 'TimestampMonotonic'));
      }
    });
  });
}

/** Arguments: the machines' names. Asks libsystemd (sd-login(3)) about each. */
const libsystemdProgram = `
  import { createRequire } from 'node:module';
  const koffi = createRequire('/src/build/x.js')('koffi');
  const library = koffi.load('libsystemd.so.0');
  const getClass = library.func('int sd_machine_get_class(const char *, _Out_ char **)');
  const getInterfaces = library.func('int sd_machine_get_ifindices(const char *, _Out_ int **)');
  const getNames = library.func('int sd_get_machine_names(_Out_ void **)');
  const ofProcess = library.func('int sd_pid_get_machine_name(int, _Out_ char **)');
  const [pid, ...names] = process.argv.slice(1);
  const machines = {};
  for (const name of names) {
    const found = [null];
    const indexes = [null];
    const status = getClass(name, found);
    const count = getInterfaces(name, indexes);
    machines[name] = { class: status < 0 ? status : found[0], interfaces: count };
  }
  const list = [null];
  const owner = [null];
  const status = ofProcess(Number(pid), owner);
  console.log(JSON.stringify({ machines, count: getNames(list), owner: status < 0 ? status : owner[0] }));`;

test('what is written here is understood by libsystemd', async () => {
  await using host = await bootHost({ suite: 'sid', name: 'state-ours', daemon: 'none' });
  const pid = await host.leader('mine');
  const machines: Machine[] = [
    { ...plainMachine, name: 'mine', unit: 'leader-mine.service', leader: { pid, pidfdId: undefined }, networkInterfaces: [3, 4] },
    { ...fullMachine, networkInterfaces: [] },
  ];
  const text = JSON.stringify(machines, (_key, value: unknown) => (typeof value === 'bigint' ? { decimal: String(value) } : value));
  const saveProgram = `
    const { StateFiles } = await import('/src/build/src/host/state-files.js');
    const machines = JSON.parse(process.argv[1], (key, value) => (value?.decimal === undefined ? value : BigInt(value.decimal)));
    const store = new StateFiles({ machines: '${stateDirectory}', own: '/run/machined' });
    for (const machine of machines) store.save({ machine, job: '' });`;
  await host.succeed(['node', '--input-type=module', '-e', saveProgram, text]);

  const said = await host.succeed(['node', '--input-type=module', '-e', libsystemdProgram, String(pid), 'mine', fullMachine.name, 'nobody']);

  assert.deepEqual(JSON.parse(said), {
    machines: {
      mine: { class: 'container', interfaces: 2 },
      [fullMachine.name]: { class: 'vm', interfaces: 0 },
      nobody: { class: -6, interfaces: -6 }, // ENXIO
    },
    count: 2,
    owner: 'mine',
  });
  assert.equal(await host.succeed(['ps', '-o', 'machine=', '-p', String(pid)]), 'mine');
});
