// The registry behind real Varlink sockets.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { imageInterface } from '../../src/front/varlink/image.js';
import { machineInterface } from '../../src/front/varlink/machine.js';
import { ownMachineInterface } from '../../src/front/varlink/own-machine.js';
import { ownOperationsInterface } from '../../src/front/varlink/own-operations.js';
import { resolveHookInterface } from '../../src/front/varlink/resolve-hook.js';
import { serviceControlInterface } from '../../src/front/varlink/service-control.js';
import { VarlinkService, type BoundVarlinkInterface } from '../../src/front/varlink/service.js';
import { userDatabaseInterface } from '../../src/front/varlink/user-database.js';
import { close } from '../../src/host/kernel/libc.js';
import { errnos } from '../../src/host/kernel/system-error.js';
import { listenUnix } from '../../src/host/kernel/unix-socket.js';
import type { ByteStream, PeerCredentials, StreamEvents } from '../../src/ports/stream.js';
import { VarlinkServer } from '../../src/transport/varlink/server.js';
import type { JsonObject } from '../../src/wire/varlink/json.js';
import type { ClientIdentity, KnownFailure, RegistryClient, RegistryHarness } from './registry-harness.js';
import { VarlinkClient, VarlinkFailure } from './varlink-client.js';
import { World } from './world.js';

interface TestSocket {
  readonly path: string;
  readonly server: VarlinkServer;
  readonly listener: Disposable;
}

/** The interfaces of the original on one socket, and on another one what this project adds. */
export class VarlinkRegistry implements RegistryHarness {
  readonly world: World;
  readonly #directory = mkdtempSync(path.join(tmpdir(), 'machined-varlink-'));
  readonly #theirs: TestSocket;
  readonly #own: TestSocket;
  readonly #clients: VarlinkClient[] = [];
  #nextPeer: PeerCredentials | undefined;
  #everybody: PeerCredentials | undefined;
  #connecting: Promise<unknown> = Promise.resolve();

  constructor(world = new World()) {
    this.world = world;
    const { services, machines, inspector, users, log, authority } = world;
    this.#theirs = this.#listen('theirs', [
      machineInterface(services),
      imageInterface(services, log),
      userDatabaseInterface(users),
      resolveHookInterface(machines, inspector),
      serviceControlInterface({ log, authority, environment: () => ['A=b'] }),
    ]);
    this.#own = this.#listen('own', [ownMachineInterface(services), ownOperationsInterface(services)], true);
  }

  #listen(name: string, interfaces: readonly BoundVarlinkInterface[], takesDescriptors = false): TestSocket {
    const { log } = this.world;
    const information = { vendor: 'v', product: 'p', version: '1', url: 'u' };
    const service = new VarlinkService(information, interfaces, {
      log,
      errnoNumber: (errno) => errnos[errno] ?? assert.fail(errno),
      closeDescriptor: close,
    });
    const server = new VarlinkServer({
      dispatch: (call, peer, fds) => service.dispatch(call, peer, fds),
      takesDescriptors,
      failed: (call, error) => service.failed(call, error),
      closeDescriptor: close,
    });
    const socket = path.join(this.#directory, name);
    const listener = listenUnix(socket, {
      mode: 0o600,
      backlog: 100,
      refuseDescriptors: !takesDescriptors,
      onShortage: (error) => assert.fail(error),
      onConnection: (stream) => {
        const peer = this.#nextPeer ?? this.#everybody;
        assert.ok(peer !== undefined);
        server.accept(new StreamOf(stream, peer));
        this.#nextPeer = undefined;
      },
    });
    return { path: socket, server, listener };
  }

  get connections(): number {
    return this.#theirs.server.connections + this.#own.server.connections;
  }

  /** A connection serves one call after the other, so that each call that is made meanwhile takes another. */
  async connect(identity: ClientIdentity): Promise<RegistryClient> {
    const idle: VarlinkClient[] = [];
    return registryClient(async (use) => {
      const client = idle.pop() ?? (await this.connectRaw(identity));
      try {
        return await use(client);
      } finally {
        idle.push(client);
      }
    });
  }

  /** Whoever connects to the sockets by itself from now on is taken for this one. */
  open(identity: ClientIdentity): { readonly theirs: string; readonly own: string } {
    this.#everybody = peerOf(identity);
    return { theirs: this.#theirs.path, own: this.#own.path };
  }

  connectRaw(identity: ClientIdentity): Promise<VarlinkClient> {
    return this.#connectTo(this.#theirs, identity);
  }

  /** To the socket of what this project adds. */
  connectOwn(identity: ClientIdentity): Promise<VarlinkClient> {
    return this.#connectTo(this.#own, identity);
  }

  #connectTo(socket: TestSocket, identity: ClientIdentity): Promise<VarlinkClient> {
    const connected = this.#connecting.then(() => this.#connectNext(socket, identity));
    this.#connecting = connected;
    return connected;
  }

  /** One after the other: who connects is known by its turn. */
  async #connectNext(socket: TestSocket, identity: ClientIdentity): Promise<VarlinkClient> {
    this.#nextPeer = peerOf(identity);
    const client = await VarlinkClient.connect(socket.path);
    this.#clients.push(client);
    await client.call('org.varlink.service.GetInfo');
    return client;
  }

  isFailure(error: unknown, failure: KnownFailure): void {
    assert.ok(error instanceof VarlinkFailure, String(error));
    const expected = failures[failure];
    const [name, errno] = expected.split(' ');
    assert.equal(error.error, name);
    if (errno !== undefined) assert.equal(error.parameters['errnoName'], errno);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client[Symbol.dispose]();
    for (const { listener, server } of [this.#theirs, this.#own]) {
      listener[Symbol.dispose]();
      server[Symbol.dispose]();
    }
    this.world[Symbol.dispose]();
    rmSync(this.#directory, { recursive: true });
  }
}

function peerOf({ uid, pid }: ClientIdentity): PeerCredentials {
  return { uid, gid: uid, pid, groups: [], pidfd: undefined };
}

const failures: Readonly<Record<KnownFailure, string>> = {
  'no such machine': 'io.systemd.Machine.NoSuchMachine',
  'no machine for this process': 'io.systemd.Machine.NoSuchMachine',
  'machine exists': 'io.systemd.Machine.MachineExists',
  'already registered': 'io.systemd.System EEXIST',
  'no such process': 'io.systemd.System ESRCH',
  'invalid argument': 'org.varlink.service.InvalidParameter',
  'access denied': 'org.varlink.service.PermissionDenied',
  'authentication required': 'io.systemd.InteractiveAuthenticationRequired',
  'no unit': 'io.systemd.System ENXIO',
  'no such user': 'io.systemd.Machine.NoSuchUser',
  'no such group': 'io.systemd.Machine.NoSuchGroup',
  'no such group in the machine': 'io.systemd.Machine.NoSuchGroup',
  'user of the host': 'io.systemd.Machine.UserInHostRange',
  'not a container': 'io.systemd.Machine.NotSupported',
  'given up': 'io.systemd.System ECANCELED',
  full: 'io.systemd.System ENOSPC',
};

/** A stream whose other end is somebody else. */
class StreamOf implements ByteStream {
  readonly peer: PeerCredentials;
  readonly #stream: ByteStream;

  constructor(stream: ByteStream, peer: PeerCredentials) {
    this.#stream = stream;
    this.peer = peer;
  }

  start(events: StreamEvents): void {
    this.#stream.start(events);
  }

  write(bytes: Uint8Array, fds?: readonly number[]): number {
    return this.#stream.write(bytes, fds);
  }

  pause(): void {
    this.#stream.pause();
  }

  resume(): void {
    this.#stream.resume();
  }

  end(): void {
    this.#stream.end();
  }

  close(): void {
    this.#stream.close();
  }
}

function registryClient(withClient: <T>(use: (client: VarlinkClient) => Promise<T>) => Promise<T>): RegistryClient {
  const call = (method: string, parameters: object = {}) => withClient((client) => client.call(method, parameters));
  const machine = (method: string, parameters: object = {}) => call(`io.systemd.Machine.${method}`, parameters);
  const nothing = async (call: Promise<JsonObject>) => assert.deepEqual(await call, {});
  const idName = { user: 'uid', group: 'gid' } as const;
  return {
    register: ({ name, leader, service, id, rootDirectory, networkInterfaces, inScope, interactive, ...rest }) =>
      nothing(machine('Register', {
        name,
        class: rest.class ?? 'container',
        ...(leader === undefined ? {} : { leader }),
        ...(service === undefined ? {} : { service }),
        ...(id === undefined ? {} : { id }),
        ...(rootDirectory === undefined ? {} : { rootDirectory }),
        ...(networkInterfaces === undefined ? {} : { ifIndices: networkInterfaces }),
        ...(inScope === undefined ? {} : { allocateUnit: inScope }),
        ...(interactive === undefined ? {} : { allowInteractiveAuthentication: interactive }),
      })),
    unregister: (name) => nothing(machine('Unregister', { name })),
    terminate: (name) => nothing(machine('Terminate', { name })),
    kill: (name, whom, signal) => nothing(machine('Kill', { name, ...(whom === '' ? {} : { whom }), signal })),
    describe: async (name) => {
      const found = await machine('List', { name });
      const pidOf = (key: string) => (found[key] as { pid: number } | undefined)?.pid;
      return {
        name: found['name'] as string,
        class: found['class'] as string,
        service: (found['service'] ?? '') as string,
        id: found['id'] as string | undefined,
        unit: (found['unit'] ?? '') as string,
        subgroup: (found['subgroup'] ?? '') as string,
        leader: pidOf('leader') as number,
        supervisor: pidOf('supervisor'),
        rootDirectory: (found['rootDirectory'] ?? '') as string,
        owner: found['UID'] as number,
      };
    },
    nameOf: async (pid) => (await machine('List', { pid: { pid } }))['name'] as string,
    list: async () => (await withClient((client) => client.callMore('io.systemd.Machine.List'))).map(({ name }) => name as string),
    mapFrom: async (kind, name, id) => (await machine('MapFrom', { name, [idName[kind]]: id }))[idName[kind]] as number,
    mapTo: async (kind, id) => {
      const found = await machine('MapTo', { [idName[kind]]: id });
      return { name: found['machineName'] as string, id: found[idName[kind]] as number };
    },
    osRelease: async (name) => {
      const { OSRelease } = await machine('List', { name, acquireMetadata: 'graceful' });
      return Object.fromEntries((OSRelease as string[]).map((line) => line.split('=', 2) as [string, string]));
    },
    logLevel: async () => (await call('io.systemd.service.GetLogLevel'))['level'] as number,
    setLogLevel: (level) => nothing(call('io.systemd.service.SetLogLevel', { level })),
  };
}
