// Runs inside a host of the lab, against the daemon there: what no client should do, and what clients do all day, a lot.
// Arguments: the name of an action, and what it takes. Writes what came of it as JSON.
import { spawn } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectSystemBus } from '../../../src/host/bus.js';
import { close } from '../../../src/host/kernel/libc.js';
import { connectUnix } from '../../../src/host/kernel/unix-socket.js';
import { BusConnection } from '../../../src/transport/dbus/connection.js';
import { isBusError } from '../../../src/transport/dbus/bus-error.js';
import { VarlinkClient, VarlinkFailure } from '../../support/varlink-client.js';

const machineSocket = '/run/systemd/machine/io.systemd.Machine';
const sockets = [machineSocket, '/run/systemd/userdb/io.systemd.Machine', '/run/systemd/resolve.hook/io.systemd.Machine'];
const manager = {
  destination: 'org.freedesktop.machine1',
  path: '/org/freedesktop/machine1',
  interface: 'org.freedesktop.machine1.Manager',
  noAutoStart: true,
} as const;

/** A process that does nothing, and outlives this one. */
function startLeader(): number {
  const child = spawn('sleep', ['infinity'], { detached: true, stdio: 'ignore' });
  child.unref();
  if (child.pid === undefined) throw new Error('sleep cannot be started');
  return child.pid;
}

/** Runs `task` for 0 … `count` - 1, `together` of them at a time. */
async function forAll(count: number, together: number, task: (index: number) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < count) await task(next++);
  };
  await Promise.all(Array.from({ length: together }, worker));
}

/** Registers machines in scopes of their own, in turns by either protocol. */
class Registrar implements Disposable {
  private constructor(
    private readonly bus: BusConnection,
    private readonly varlink: VarlinkClient,
  ) {}

  static async open(): Promise<Registrar> {
    return new Registrar(await connectSystemBus(), await VarlinkClient.connect(machineSocket));
  }

  async create(name: string, leader: number, byBus: boolean): Promise<void> {
    if (!byBus) {
      await this.varlink.call('io.systemd.Machine.Register', { name, class: 'container', leader, allocateUnit: true });
      return;
    }
    const body = [name, Buffer.alloc(0), 'test', 'container', leader, '', []] as const;
    await this.bus.call({ ...manager, member: 'CreateMachine', signature: 'sayssusa(sv)', body });
  }

  async register(name: string, leader: number): Promise<void> {
    const body = [name, Buffer.alloc(0), 'test', 'container', leader, ''] as const;
    await this.bus.call({ ...manager, member: 'RegisterMachine', signature: 'sayssus', body });
  }

  async tell(member: 'UnregisterMachine' | 'TerminateMachine', name: string): Promise<void> {
    await this.bus.call({ ...manager, member, signature: 's', body: [name] });
  }

  [Symbol.dispose](): void {
    this.bus.close();
    this.varlink[Symbol.dispose]();
  }
}

/** Registers `count` machines and kills the daemon in the middle of it. */
async function crash(daemon: number, count: number): Promise<object> {
  using registrar = await Registrar.open();
  const leaders: Record<string, number> = {};
  const acknowledged: string[] = [];
  await forAll(count, 16, async (index) => {
    const name = `crash-${index}`;
    const leader = (leaders[name] = startLeader());
    try {
      await registrar.create(name, leader, index % 2 === 0);
    } catch {
      return; // the daemon is dead
    }
    acknowledged.push(name);
    if (acknowledged.length === count / 2) process.kill(daemon, 'SIGKILL');
  });
  return { acknowledged, leaders };
}

/** Registers `count` machines; nothing goes wrong. */
async function fill(count: number): Promise<object> {
  using registrar = await Registrar.open();
  const started = Date.now();
  await forAll(count, 16, (index) => registrar.create(`fill-${index}`, startLeader(), index % 2 === 0));
  return { milliseconds: Date.now() - started };
}

/** Connects `count` times, and says nothing until the file `release` is there. Makes the file `ready` before. */
async function silence(count: number, ready: string, release: string): Promise<object> {
  let closed = 0;
  const clients: net.Socket[] = [];
  await forAll(count, 64, async (index) => {
    const client = net.connect(sockets[index % sockets.length] as string);
    clients.push(client);
    client.on('close', () => closed++);
    // connect(2) answers EAGAIN while many others wait to be accepted; that client has failed, and the next one tries
    await new Promise<void>((resolve) => client.once('connect', resolve).once('error', () => resolve()));
  });
  await sleep(500);
  writeFileSync(ready, '');
  while (!existsSync(release)) await sleep(50);
  for (const client of clients) client.destroy();
  return { closed };
}

/** Asks for all machines `lists` times and for nothing much `calls` times, without reading; reads it all when `release` is there. */
async function greed(lists: number, calls: number, ready: string, release: string): Promise<object> {
  const all = '{"method":"io.systemd.Machine.List","more":true}\0';
  const little = '{"method":"org.varlink.service.GetInfo"}\0';
  const clients = [all.repeat(lists), little.repeat(calls)].map((text) => {
    const client = net.connect(machineSocket);
    client.pause();
    client.write(text);
    return client;
  });
  const stream = await connectUnix('/run/dbus/system_bus_socket');
  const bus = await BusConnection.open(stream, { uid: 0, closeDescriptor: close });
  stream.pause();
  const answers = Array.from({ length: 100 }, () => bus.call({ ...manager, member: 'ListMachines', timeout: 0 }));
  await sleep(3_000);
  writeFileSync(ready, '');
  while (!existsSync(release)) await sleep(50);
  stream.resume();
  const [listed, answered] = await Promise.all(clients.map(lastReplies));
  const onBus = (await Promise.all(answers)).map(([machines]) => (machines as unknown[]).length);
  bus.close();
  return { listed, answered, onBus: [...new Set(onBus)] };
}

/** Reads until nothing comes for a second; counts the replies which are not followed by another of the same call. */
async function lastReplies(client: net.Socket): Promise<number> {
  let count = 0;
  let rest = '';
  client.setEncoding('utf8').on('data', (text: string) => {
    const frames = (rest + text).split('\0');
    rest = frames.pop() ?? '';
    count += frames.filter((frame) => !frame.includes('"continues":true')).length;
  });
  client.resume();
  await new Promise<void>((resolve) => client.setTimeout(1_000).once('timeout', () => resolve()));
  client.destroy();
  return count;
}

/** Registers processes that end at that very moment. */
async function dying(count: number): Promise<object> {
  using registrar = await Registrar.open();
  let registered = 0;
  let refused = 0;
  await forAll(count, 8, async (index) => {
    const leader = startLeader();
    const end = () => process.kill(leader, 'SIGKILL');
    const registration = registrar.create(`dying-${index}`, leader, index % 2 === 0);
    if (index % 4 === 0) end();
    else void sleep(index % 4 === 1 ? 0 : index % 10).then(end);
    try {
      await registration;
      registered++;
    } catch (error) {
      if (!isBusError(error) && !(error instanceof VarlinkFailure)) throw error;
      refused++;
    }
  });
  await sleep(50); // the last of them may not have ended yet
  return { registered, refused };
}

/** Registers and unregisters each of `leaders` by turns, `count` times in all. */
async function churn(count: number, leaders: readonly number[]): Promise<object> {
  using registrar = await Registrar.open();
  await forAll(leaders.length, leaders.length, async (which) => {
    for (let cycle = 0; cycle < count / leaders.length; cycle++) {
      await registrar.register(`churn-${which}`, leaders[which] as number);
      await registrar.tell('UnregisterMachine', `churn-${which}`);
    }
  });
  return {};
}

/** Creates machines and terminates them. */
async function turnover(count: number): Promise<object> {
  using registrar = await Registrar.open();
  await forAll(count, 8, async (index) => {
    await registrar.create(`turnover-${index}`, startLeader(), index % 2 === 0);
    await registrar.tell('TerminateMachine', `turnover-${index}`);
  });
  return {};
}

/** Sends what makes no sense to every socket, and calls with arguments of wrong types over the bus. */
async function garbage(rounds: number): Promise<object> {
  for (const socket of sockets) {
    await forAll(rounds, 16, async (index) => {
      const client = net.connect(socket);
      client.on('error', () => undefined).resume();
      for (const piece of nonsense(index)) client.write(piece);
      client.end();
      await new Promise<void>((resolve) => client.once('close', () => resolve()));
    });
  }
  const connection = await connectSystemBus();
  const members = await memberNames(connection);
  let errors = 0;
  const outcomes = wrongArguments.flatMap(([signature, body]) => members.map(async ([interfaceName, member]) => {
    for (const path of objectPaths) {
      const call = { ...manager, path, interface: interfaceName, member, signature, body: body as never, timeout: 20_000 };
      await connection.call(call).catch((error: unknown) => {
        if (!isBusError(error) || isBusError(error, 'org.freedesktop.DBus.Error.NoReply')) throw error;
        errors++;
      });
    }
  }));
  await Promise.all(outcomes);
  connection.close();
  return { calls: outcomes.length * objectPaths.length, errors };
}

const objectPaths = [manager.path, `${manager.path}/machine/_2ehost`, `${manager.path}/machine/nobody`, '/'];

/** Bodies that no method here takes, and some that look like what one takes. */
const wrongArguments: readonly (readonly [string, readonly unknown[]])[] = [
  ['v', [{ signature: 'a(sv)', value: [] }]],
  ['ay', [Buffer.alloc(100_000, 0xff)]],
  ['a{sv}', [new Map()]],
  ['sssss', ['', '\n', '/', '..', 'x'.repeat(100_000)]],
  ['tttt', [0xffffffffffffffffn, 0n, 1n, 2n]],
  ['s', ['../../../etc/passwd']],
  ['s', ['ü'.repeat(40_000)]],
  ['u', [0xffffffff]],
  ['i', [-1]],
];

/** Of the methods of all interfaces that the objects have. */
async function memberNames(connection: BusConnection): Promise<[string, string][]> {
  const names: [string, string][] = [];
  for (const path of objectPaths.slice(0, 2)) {
    const introspect = { ...manager, path, interface: 'org.freedesktop.DBus.Introspectable', member: 'Introspect' };
    const [xml] = await connection.call({ ...introspect, replySignature: 's' });
    for (const part of xml.split('<interface name="').slice(1)) {
      const [interfaceName] = part.split('"', 1) as [string];
      for (const [, member] of part.matchAll(/<method name="(\w+)"/g)) names.push([interfaceName, member as string]);
    }
  }
  return names;
}

/** The same for the same number. */
function nonsense(index: number): Buffer[] {
  const noise = Buffer.from(Array.from({ length: 4096 }, (_, at) => (at * 2654435761 * (index + 1)) >>> 24));
  const register = (parameters: string) => Buffer.from(`{"method":"io.systemd.Machine.Register","parameters":${parameters}}\0`);
  const kinds: Buffer[][] = [
    [noise],
    [Buffer.from('\0\0\0\0')],
    [Buffer.from('[]\0'), Buffer.from('null\0"a"\0')],
    [Buffer.from(`{"method":${'['.repeat(100_000)}\0`)],
    [Buffer.from('{"method":"io.systemd.Machine.List","parameters":{"name":"'), noise, Buffer.from('"}}\0')],
    [register('{"name":7,"class":[],"leader":"x"}'), register('{"name":"n","class":"vm","leader":-1e400}')],
    [register(`{"name":"${'n'.repeat(1_000_000)}","class":"container"}`)],
    [register('{"name":"n","class":"container","leader":99999999,"__proto__":{},"constructor":1}')],
    [Buffer.from('{"method":"io.systemd.Machine.List","more":true,"oneway":true,"upgrade":true}\0'.repeat(50))],
    [Buffer.from('l\x01\x00\x01'), noise], // as if it were D-Bus
  ];
  if (index % 50 === 0) return Array.from({ length: 33 }, () => Buffer.alloc(1 << 20, 0x61)); // a message without an end
  return kinds[index % kinds.length] as Buffer[];
}

const [action, ...parameters] = process.argv.slice(2) as [string, ...string[]];
const number = (index: number) => Number(parameters[index]);
const text = (index: number) => parameters[index] as string;
const actions: Record<string, () => Promise<object>> = {
  crash: () => crash(number(0), number(1)),
  fill: () => fill(number(0)),
  silence: () => silence(number(0), text(1), text(2)),
  greed: () => greed(number(0), number(1), text(2), text(3)),
  dying: () => dying(number(0)),
  churn: () => churn(number(0), parameters.slice(1).map(Number)),
  turnover: () => turnover(number(0)),
  garbage: () => garbage(number(0)),
};
const outcome = await actions[action]?.();
if (outcome === undefined) throw new Error(`no such action: ${action}`);
process.stdout.write(`${JSON.stringify(outcome)}\n`, () => process.exit(0)); // leaders are still its children
