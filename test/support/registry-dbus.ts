// The registry on a real message bus.
import assert from 'node:assert/strict';
import { BusService } from '../../src/front/dbus/bus-service.js';
import { close } from '../../src/host/kernel/libc.js';
import { logLevelNames } from '../../src/ports/log.js';
import { BusError } from '../../src/transport/dbus/bus-error.js';
import { bus } from '../../src/transport/dbus/bus.js';
import type { BusConnection } from '../../src/transport/dbus/connection.js';
import { variant, type Variant } from '../../src/wire/dbus/value.js';
import type { FromSignature } from '../../src/wire/dbus/signature.js';
import type { TestBus } from './bus.js';
import type { ClientIdentity, KnownFailure, RegistryClient, RegistryHarness } from './registry-harness.js';
import { World } from './world.js';

export const manager = {
  destination: 'org.freedesktop.machine1',
  path: '/org/freedesktop/machine1',
  interface: 'org.freedesktop.machine1.Manager',
} as const;
const machineInterface = 'org.freedesktop.machine1.Machine';
const properties = { destination: manager.destination, interface: 'org.freedesktop.DBus.Properties' } as const;
const logControl = { ...properties, path: '/org/freedesktop/LogControl1' } as const;

export class DBusRegistry implements RegistryHarness {
  readonly world: World;
  readonly #bus: TestBus;
  /** The connection that the registry is on. */
  readonly server: BusConnection;
  readonly #service: BusService;
  readonly #clients: BusConnection[] = [];

  private constructor(world: World, testBus: TestBus, server: BusConnection, service: BusService) {
    this.world = world;
    this.#bus = testBus;
    this.server = server;
    this.#service = service;
  }

  static async start(testBus: TestBus, world = new World()): Promise<DBusRegistry> {
    const server = await testBus.connect();
    const { services, authority, log } = world;
    const service = await BusService.publish(server, services, { authority, log, closeDescriptor: close });
    return new DBusRegistry(world, testBus, server, service);
  }

  async connect(identity: ClientIdentity): Promise<RegistryClient> {
    return registryClient(await this.connectRaw(identity));
  }

  async connectRaw(identity: ClientIdentity): Promise<BusConnection> {
    const client = await this.#bus.connect();
    this.#clients.push(client);
    this.#impersonate(client.uniqueName, identity);
    return client;
  }

  isFailure(error: unknown, failure: KnownFailure): void {
    assert.ok(error instanceof BusError, String(error));
    assert.equal(error.busName, failures[failure]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#service[Symbol.dispose]();
    for (const client of this.#clients) client.close();
    this.server.close();
    this.world[Symbol.dispose]();
  }

  /** Whoever connects to the bus by itself from now on is taken for this one. */
  open(identity: ClientIdentity): string {
    this.#impersonate(undefined, identity);
    return this.#bus.address;
  }

  /** The bus would tell who really connects: this test. */
  #impersonate(uniqueName: string | undefined, { uid, pid }: ClientIdentity): void {
    const server = this.server;
    const ask = server.callForDescriptors.bind(server);
    const credentials = new Map([['UnixUserID', variant('u', uid)], ['ProcessID', variant('u', pid)]]);
    const answer = async (request: Parameters<typeof ask>[0]) => {
      const [asked] = (request.body ?? []);
      const asksForIt = request.member === 'GetConnectionCredentials' && (uniqueName === undefined || asked === uniqueName);
      return asksForIt ? { body: [credentials], fds: [] } : ask(request);
    };
    server.callForDescriptors = answer as unknown as typeof ask;
  }
}

const standard = 'org.freedesktop.DBus.Error.';
const failures: Readonly<Record<KnownFailure, string>> = {
  'no such machine': 'org.freedesktop.machine1.NoSuchMachine',
  'no machine for this process': 'org.freedesktop.machine1.NoMachineForPID',
  'machine exists': 'org.freedesktop.machine1.MachineExists',
  'already registered': `${standard}FileExists`,
  'no such process': `${standard}UnixProcessIdUnknown`,
  'invalid argument': `${standard}InvalidArgs`,
  'access denied': `${standard}AccessDenied`,
  'authentication required': `${standard}InteractiveAuthorizationRequired`,
  'no unit': 'System.Error.ENXIO',
  'no such user': 'org.freedesktop.machine1.NoSuchUserMapping',
  'no such group': 'org.freedesktop.machine1.NoSuchGroupMapping',
  'no such group in the machine': 'org.freedesktop.machine1.NoSuchUserMapping',
  'user of the host': 'org.freedesktop.machine1.NoSuchUserMapping',
  'not a container': `${standard}InvalidArgs`,
  'given up': 'System.Error.ECANCELED',
  full: 'System.Error.ENOSPC',
};

export function machinePath(name: string): string {
  const escaped = name.replace(/[^a-zA-Z0-9]|^[0-9]/g, (character) => `_${character.charCodeAt(0).toString(16).padStart(2, '0')}`);
  return `${manager.path}/machine/${escaped}`;
}

/** All properties of a machine, by name. */
export async function machineProperties(client: BusConnection, name: string): Promise<Record<string, unknown>> {
  const [all] = await client.call({
    ...properties, path: machinePath(name), member: 'GetAll', signature: 's', body: [machineInterface], replySignature: 'a{sv}',
  });
  return Object.fromEntries([...all].map(([key, { value }]) => [key, value]));
}

function registryClient(client: BusConnection): RegistryClient {
  const call = <A extends string, R extends string>(member: string, signature: A, body: FromSignature<A>, replySignature: R, allowInteractive = false) =>
    client.call({ ...manager, member, signature, body, replySignature, allowInteractive });
  const machineOf = async (path: string): Promise<string> => {
    const [{ value }] = await client.call({
      ...properties, path, member: 'Get', signature: 'ss', body: [machineInterface, 'Name'], replySignature: 'v',
    });
    return value as string;
  };
  return {
    async register({ name, leader, service, id, rootDirectory, networkInterfaces, inScope, interactive, ...rest }) {
      const description = [
        name, Buffer.from(id ?? '', 'hex'), service ?? '', rest.class ?? 'container', leader ?? 0, rootDirectory ?? '',
      ] as const;
      const interfaces = networkInterfaces === undefined ? undefined : [...networkInterfaces];
      const scope: (readonly [string, Variant])[] = [];
      const [path] = await (inScope === true
        ? interfaces === undefined
          ? call('CreateMachine', 'sayssusa(sv)', [...description, scope], 'o', interactive)
          : call('CreateMachineWithNetwork', 'sayssusaia(sv)', [...description, interfaces, scope], 'o', interactive)
        : interfaces === undefined
          ? call('RegisterMachine', 'sayssus', description, 'o', interactive)
          : call('RegisterMachineWithNetwork', 'sayssusai', [...description, interfaces], 'o', interactive));
      assert.equal(path, machinePath(name));
    },
    unregister: async (name) => void (await call('UnregisterMachine', 's', [name], '')),
    terminate: async (name) => void (await call('TerminateMachine', 's', [name], '')),
    kill: async (name, whom, signal) => void (await call('KillMachine', 'ssi', [name, whom, signal], '')),
    async describe(name) {
      const [path] = await call('GetMachine', 's', [name], 'o');
      assert.equal(path, machinePath(name));
      const found = await machineProperties(client, name);
      const id = Buffer.from(found['Id'] as Uint8Array).toString('hex');
      return {
        name: found['Name'] as string,
        class: found['Class'] as string,
        service: found['Service'] as string,
        id: id === '' ? undefined : id,
        unit: found['Unit'] as string,
        subgroup: found['Subgroup'] as string,
        leader: found['Leader'] as number,
        supervisor: found['Supervisor'] === 0 ? undefined : (found['Supervisor'] as number),
        rootDirectory: found['RootDirectory'] as string,
        owner: found['UID'] as number,
      };
    },
    nameOf: async (pid) => machineOf((await call('GetMachineByPID', 'u', [pid], 'o'))[0]),
    list: async () => (await call('ListMachines', '', [], 'a(ssso)'))[0].map(([name]) => name),
    mapFrom: async (kind, name, id) =>
      (await call(kind === 'user' ? 'MapFromMachineUser' : 'MapFromMachineGroup', 'su', [name, id], 'u'))[0],
    async mapTo(kind, id) {
      const [name, path, inside] = await call(kind === 'user' ? 'MapToMachineUser' : 'MapToMachineGroup', 'u', [id], 'sou');
      assert.equal(path, machinePath(name));
      return { name, id: inside };
    },
    osRelease: async (name) => Object.fromEntries((await call('GetMachineOSRelease', 's', [name], 'a{ss}'))[0]),
    async logLevel() {
      const [{ value }] = await client.call({
        ...logControl, member: 'Get', signature: 'ss', body: ['org.freedesktop.LogControl1', 'LogLevel'], replySignature: 'v',
      });
      return logLevelNames.findIndex((name) => name === value);
    },
    setLogLevel: async (level) => {
      const body = ['org.freedesktop.LogControl1', 'LogLevel', variant('s', logLevelNames[level] ?? 'loud')] as const;
      await client.call({ ...logControl, member: 'Set', signature: 'ssv', body, replySignature: '' });
    },
  };
}

/** In the order of the bus: what was sent to `client` before has arrived. */
export async function settled(client: BusConnection): Promise<void> {
  await client.call({ ...bus, member: 'GetId', replySignature: 's' });
}
