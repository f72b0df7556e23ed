// Calls of all kinds, sensible, wrong and broken, by root and by users, while machines come and go: nothing throws, every
// call is answered once, and the registry, its state files and what observers were told agree.
import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { BusService } from '../../src/front/dbus/bus-service.js';
import { imageInterface } from '../../src/front/varlink/image.js';
import { machineInterface } from '../../src/front/varlink/machine.js';
import { resolveHookInterface } from '../../src/front/varlink/resolve-hook.js';
import { serviceControlInterface } from '../../src/front/varlink/service-control.js';
import { VarlinkService } from '../../src/front/varlink/service.js';
import { userDatabaseInterface } from '../../src/front/varlink/user-database.js';
import { errnos } from '../../src/host/kernel/system-error.js';
import type { BusConnection } from '../../src/transport/dbus/connection.js';
import { encodeMessage, type Message } from '../../src/wire/dbus/message.js';
import { MessageReader } from '../../src/wire/dbus/message-reader.js';
import type { ReceivedCall } from '../../src/wire/dbus/received.js';
import { splitSignature } from '../../src/wire/dbus/signature.js';
import { variant } from '../../src/wire/dbus/value.js';
import { parseCall } from '../../src/wire/varlink/call.js';
import { frameText } from '../../src/wire/varlink/framing.js';
import type { WritableObject } from '../../src/wire/varlink/json.js';
import { dbusInterfaces, varlinkInterfaces } from '../support/contract.js';
import { World } from '../support/world.js';

const seeds = process.env['FUZZ_SEED'] === undefined ? [1, 2, 3] : [Number(process.env['FUZZ_SEED'])];
const callsPerSeed = 3000;

/** A sequence of numbers that the seed determines (mulberry32). */
class Chance {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  /** 0 ≤ x < 1 */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  of<T>(choices: readonly T[]): T {
    return choices[Math.floor(this.next() * choices.length)] as T;
  }

  below(limit: number): number {
    return Math.floor(this.next() * limit);
  }

  isTrue(probability: number): boolean {
    return this.next() < probability;
  }

  list<T>(longest: number, make: () => T): T[] {
    return Array.from({ length: this.below(longest + 1) }, make);
  }
}

const names = ['a', 'b', 'c-d', 'e_f', '.host', 'self', '', '..', 'x'.repeat(65), 'ü'];
const texts = [...names, 'container', 'vm', 'host', 'leader', 'supervisor', 'all', '/srv', 'srv', '/a/../b', 'svc', 'yes', 'graceful', 'vu-a-0', 'io.systemd.Machine'];

/** A world in which things happen, and what must be true of it at any time. */
class LivingWorld extends World {
  readonly chance: Chance;
  readonly callers: { uid: number; pid: number }[] = [];

  constructor(chance: Chance) {
    super();
    this.chance = chance;
    this.units.refusedProperties.add('svc');
    for (const uid of [0, 0, 1000, 1001]) this.callers.push({ uid, pid: this.processes.spawn({ owner: uid }) });
  }

  /** A PID that may mean something. */
  pid(): number {
    const { chance } = this;
    if (chance.isTrue(0.6)) {
      const pid = this.leader(`w${chance.below(400)}.service`, { owner: chance.of([0, 1000]) });
      this.guests.guests.set(pid, { addresses: [{ family: 2, bytes: new Uint8Array(4), interfaceIndex: 1 }], osRelease: new Map([['A', 'b']]) });
      return pid;
    }
    const machines = [...this.machines.all()];
    return chance.isTrue(0.5) ? chance.of(machines).leader.pid : chance.of([0, 1, 2, 99_999, 0x7fffffff, 0xffffffff]);
  }

  /** polkit's rules change; a leader ends, or a unit does. */
  happen(): void {
    const action = this.chance.of(['register-machine', 'create-machine', 'manage-machines', 'inspect-machines']);
    this.authority.decide(`org.freedesktop.machine1.${action}`, this.chance.of(['allowed', 'allowed', 'denied']));
    const { leader, unit } = this.chance.of([...this.machines.all()]);
    if (leader.pid === 1) return;
    if (this.chance.isTrue(0.5)) this.units.end(unit);
    else if (this.processes.parentOf(leader.pid) !== undefined) this.processes.exit(leader.pid);
  }

  async checkThatAllAgrees(): Promise<void> {
    for (let count = 0; count < 6; count++) await turn();
    const told = new Set<string>();
    for (const event of this.events) {
      const name = event.slice(1);
      if (event.startsWith('+')) assert.ok(!told.has(name) && told.add(name), `${name} is announced twice`);
      else assert.ok(told.delete(name), `${name} is taken back, and was never announced`);
    }
    const known = [...this.machines.all()].map(({ name }) => name).slice(1).sort();
    assert.deepEqual([...told].sort(), known, 'observers know what there is');
    assert.deepEqual([...this.store.stored.keys()].sort(), known, 'the state files are of what there is');
    const machines = [...this.machines.all()].slice(1);
    assert.equal(new Set(machines.map(({ leader }) => leader.pid)).size, machines.length, 'each has a leader of its own');
    const holds = machines.reduce((sum, { supervisor }) => sum + (supervisor === undefined ? 1 : 2), 0);
    assert.equal(this.seen.openHandles, holds, 'no process is held in vain');
    assert.deepEqual(this.log.errors, [], 'nothing failed unexpectedly');
  }
}

for (const seed of seeds) {
  test(`D-Bus calls (seed ${seed})`, async () => {
    const chance = new Chance(seed);
    using world = new LivingWorld(chance);
    const bus = new FakeBus(world);
    using _ = await BusService.publish(bus as unknown as BusConnection, world.services, {
      authority: world.authority, log: world.log, closeDescriptor: () => undefined,
    });
    for (let count = 1; count <= callsPerSeed; count++) {
      const call = received(randomMessage(world, count), chance);
      if (call !== undefined) bus.deliver(call);
      if (chance.isTrue(0.05)) world.happen();
      if (chance.isTrue(0.2)) await turn();
      if (count % 100 === 0) await world.checkThatAllAgrees();
    }
    await world.checkThatAllAgrees();
    assert.deepEqual([...bus.unanswered], [], 'every call is answered');
    assert.ok(bus.successes > callsPerSeed / 20, `${bus.successes} calls got through`);
    assert.ok(world.events.length > 50, `${world.events.length} machines came and went`);
  });

  test(`Varlink calls (seed ${seed})`, async () => {
    const chance = new Chance(seed);
    using world = new LivingWorld(chance);
    const service = varlinkService(world);
    const outcomes = { reply: 0, error: 0, replies: 0, stream: 0, ongoing: 0 };
    const pending: Promise<void>[] = [];
    for (let count = 1; count <= callsPerSeed; count++) {
      const call = parseCall(frameText(randomCall(world)).slice(0, -1));
      if (call.kind === 'protocol-error') continue;
      const { uid, pid } = chance.of(world.callers);
      const credentials = { uid, pid, gid: uid, groups: [], pidfd: undefined };
      const outcome = service.dispatch(call, { credentials, gone: new AbortController().signal }, []);
      pending.push(Promise.resolve(outcome).then(async (settled) => {
        outcomes[settled.kind]++;
        if (settled.kind === 'reply') for (const fd of settled.fds ?? []) closeSync(fd);
        if (settled.kind === 'reply' || settled.kind === 'error') return void frameText(settled.parameters as WritableObject);
        if (settled.kind === 'ongoing') return void frameText(settled.first as WritableObject);
        if (Symbol.iterator in settled.parameters) {
          for (const item of settled.parameters) frameText(item as WritableObject);
          return;
        }
        const iterator = settled.parameters[Symbol.asyncIterator]();
        await iterator.next();
        await iterator.return?.();
      }));
      if (chance.isTrue(0.05)) world.happen();
      if (chance.isTrue(0.2)) await turn();
      if (count % 100 === 0) {
        await Promise.all(pending.splice(0));
        await world.checkThatAllAgrees();
      }
    }
    assert.ok(outcomes.reply > callsPerSeed / 30 && outcomes.error > 0 && outcomes.replies > 0, JSON.stringify(outcomes));
    assert.ok(world.events.length > 50, `${world.events.length} machines came and went`);
  });
}

/** A bus that encodes what it is to send, as the real one would, and counts the answers. */
class FakeBus {
  onMethodCall: (call: ReceivedCall) => void = () => undefined;
  readonly unanswered = new Set<number>();
  successes = 0;
  readonly #world: LivingWorld;

  constructor(world: LivingWorld) {
    this.#world = world;
  }

  deliver(call: ReceivedCall): void {
    this.unanswered.add(call.serial);
    this.onMethodCall(call);
  }

  reply(call: ReceivedCall, signature: string, body: readonly unknown[]): void {
    encodeMessage({ messageType: 'return', serial: 1, replySerial: call.serial, signature, body });
    this.successes++;
    this.#answered(call);
  }

  replyError(call: ReceivedCall, errorName: string, message: string): void {
    encodeMessage({ messageType: 'error', serial: 1, replySerial: call.serial, errorName, signature: 's', body: [message] });
    this.#answered(call);
  }

  emit(signal: object): void {
    encodeMessage({ messageType: 'signal', serial: 1, ...signal } as Message);
  }

  async requestName(): Promise<string> {
    return 'owned';
  }

  /** Credentials; the only thing that is asked for here. */
  async callForDescriptors({ body }: { readonly body: readonly [string] }) {
    const { uid, pid } = this.#world.callers[Number(body[0].slice(3))] ?? assert.fail(body[0]);
    await turn();
    return { body: [new Map([['UnixUserID', variant('u', uid)], ['ProcessID', variant('u', pid)]])], fds: [] };
  }

  #answered({ serial }: ReceivedCall): void {
    assert.ok(this.unanswered.delete(serial), `call ${serial} is answered twice`);
  }
}

const standardMembers = ['Get', 'GetAll', 'Set', 'Introspect', 'Ping', 'GetMachineId', 'Nope'];
const standardInterfaces = ['Properties', 'Introspectable', 'Peer'].map((name) => `org.freedesktop.DBus.${name}`);
const managerPath = '/org/freedesktop/machine1';

function randomMessage(world: LivingWorld, serial: number): Message {
  const { chance } = world;
  const declaration = chance.isTrue(0.6) ? dbusInterfaces[0]! : chance.of(dbusInterfaces);
  const methods = Object.keys(declaration.methods);
  // those that make and end machines more often than the rest
  const likely = methods.filter((name) => /^(Register|Create|UnregisterMachine|Terminate|Kill)/.test(name));
  const fits = chance.isTrue(0.75) && methods.length > 0;
  const member = fits ? chance.of(chance.isTrue(0.6) && likely.length > 0 ? likely : methods) : chance.of([...standardMembers, ...methods]);
  const method = declaration.methods[member];
  const isRight = chance.isTrue(0.9);
  const signature = method !== undefined && isRight
    ? Object.values<string>(method.in).join('')
    : chance.of(['', 's', 'ss', 'ssv', 'u', 'a(sv)', 'ay', 'aaaas', 'v']);
  const argumentNames = method !== undefined && isRight ? Object.keys(method.in) : [];
  const machinePath = `${managerPath}/machine/${chance.of(['a', 'b', 'c_2dd', 'e_5ff', '_2ehost', 'self', 'nope', '_zz', '_'])}`;
  return {
    messageType: 'call', serial, sender: `:1.${chance.below(world.callers.length)}`, signature,
    path: fits && declaration === dbusInterfaces[0] ? managerPath : fits ? machinePath : chance.of([managerPath, machinePath, '/', '/org', `${managerPath}/image/a`, '/org/freedesktop/LogControl1']),
    interface: fits ? chance.of([declaration.name, declaration.name, undefined]) : chance.of([...standardInterfaces, declaration.name, 'a.b']),
    member,
    allowInteractive: chance.isTrue(0.2),
    body: splitSignature(signature).map((type, index) => randomArgument(world, argumentNames[index] ?? '', type)),
  };
}

function randomArgument(world: LivingWorld, name: string, type: string): unknown {
  const { chance } = world;
  if (chance.isTrue(0.95)) {
    if (name === 'name' || (name === 'id' && type === 's')) return chance.of(['a', 'b', 'c-d', 'e_f']);
    if (name === 'class') return chance.of(['container', 'vm']);
    if (name === 'root_directory') return chance.of(['', '/', '/srv']);
    if (name === 'id') return chance.of([new Uint8Array(), new Uint8Array(16).fill(7)]);
    if (name === 'leader' || name === 'pid') return world.pid();
    if (name === 'ifindices') return [1];
    if (name === 'whom') return chance.of(['', 'leader', 'supervisor', 'all']);
    if (name === 'signal') return chance.of([9, 10, 15]);
    if (name === 'properties') return extendedProperties(world);
    if (name === 'scope_properties') return [];
  }
  return randomValue(world, type, 3);
}

function extendedProperties(world: LivingWorld): unknown {
  const { chance } = world;
  const pid = world.pid();
  const properties: [string, unknown][] = [
    ['Class', variant('s', 'container')], ['LeaderPID', variant('u', pid)],
    ['LeaderPIDFDID', variant('t', world.processes.parentOf(pid) === undefined ? 3n : (identityOf(world, pid) ?? 3n))],
  ];
  if (chance.isTrue(0.3)) properties.push(['Service', randomVariant(world, 1)], ['VSockCID', variant('u', chance.below(6))]);
  if (chance.isTrue(0.1)) properties.shift();
  return properties;
}

function identityOf(world: LivingWorld, pid: number): bigint | undefined {
  using handle = world.processes.open(pid);
  return handle.identity.pidfdId;
}

function randomVariant(world: LivingWorld, depth: number): { signature: string; value: unknown } {
  const signature = world.chance.of(['s', 'u', 'i', 't', 'b', 'ay', 'as', 'a(ss)', 'a{sv}', 'd', 'o']);
  return { signature, value: randomValue(world, signature, depth) };
}

function randomValue(world: LivingWorld, type: string, depth: number): unknown {
  const { chance } = world;
  const integer = (minimum: number, maximum: number) => chance.of([minimum, maximum, 0, 1, 9, minimum + chance.below(maximum - minimum)]);
  switch (type[0]) {
    case 'y': return integer(0, 255);
    case 'b': return chance.isTrue(0.5);
    case 'i': return integer(-(2 ** 31), 2 ** 31 - 1);
    case 'u': return chance.isTrue(0.5) ? world.pid() : integer(0, 2 ** 32 - 1);
    case 't': return chance.of([0n, 1n, 2n ** 64n - 1n, 7001n]);
    case 'd': return chance.next();
    case 's': return chance.of(texts);
    case 'o': return '/a';
    case 'v': return randomVariant(world, depth - 1);
    case '(': return splitSignature(type.slice(1, -1)).map((part) => randomValue(world, part, depth - 1));
    case 'a': return randomArray(world, type.slice(1), depth);
    default: throw new Error(`no values of type ${type}`);
  }
}

function randomArray(world: LivingWorld, element: string, depth: number): unknown {
  const { chance } = world;
  if (element === 'y') return Uint8Array.from({ length: chance.of([0, 1, 15, 16, 17]) }, () => chance.below(256));
  const longest = depth > 0 ? 3 : 0;
  if (!element.startsWith('{')) return chance.list(longest, () => randomValue(world, element, depth - 1));
  const [key = '', value = ''] = splitSignature(element.slice(1, -1));
  return new Map(chance.list(longest, () => [randomValue(world, key, 0), randomValue(world, value, depth - 1)]));
}

/** As it comes from the bus; now and then with a body that has suffered. undefined if that is no message any more. */
function received(message: Message, chance: Chance): ReceivedCall | undefined {
  const { bytes } = encodeMessage(message);
  const bodyLength = bytes.readUInt32LE(4);
  if (bodyLength > 0 && chance.isTrue(0.05)) {
    bytes[bytes.length - 1 - chance.below(bodyLength)] = chance.below(256);
  }
  const reader = new MessageReader();
  reader.push(bytes, []);
  const call = reader.next();
  return call?.messageType === 'call' ? call : undefined;
}

function varlinkService(world: World): VarlinkService {
  const { services, machines, inspector, users, log, authority } = world;
  const interfaces = [
    machineInterface(services), imageInterface(services, log), userDatabaseInterface(users), resolveHookInterface(machines, inspector),
    serviceControlInterface({ log, authority, environment: () => [] }),
  ];
  const information = { vendor: '', product: '', version: '', url: '' };
  return new VarlinkService(information, interfaces, {
    log, errnoNumber: (name) => errnos[name] ?? assert.fail(name), closeDescriptor: closeSync,
  });
}

function randomCall(world: LivingWorld): WritableObject {
  const { chance } = world;
  const declaration = chance.isTrue(0.6) ? varlinkInterfaces[0]! : chance.of(varlinkInterfaces);
  const likely = ['Register', 'Register', 'Register', 'Unregister', 'Terminate', 'Kill', 'List'];
  const members = Object.keys(declaration.methods);
  const member = declaration === varlinkInterfaces[0] && chance.isTrue(0.6) ? chance.of(likely) : chance.of([...members, 'Nope']);
  const method = `${chance.isTrue(0.98) ? declaration.name : chance.of(['', 'a.b', 'constructor'])}.${member}`;
  const parameters: Record<string, unknown> = {};
  const fields = Object.keys(declaration.methods[member]?.input ?? {});
  const sensible: Record<string, () => unknown> = {
    name: () => chance.of(['a', 'b', 'c-d', 'e_f']), class: () => chance.of(['container', 'vm']), leader: () => world.pid(),
    whom: () => chance.of(['leader', 'supervisor', 'all']), signal: () => chance.of([9, 10, 'TERM']), service: () => 'io.systemd.Machine',
    pid: () => ({ pid: world.pid() }), allocateUnit: () => chance.isTrue(0.5), uid: () => chance.of([0, 70_000]), mode: () => 'tty',
    question: () => [{ key: { class: 1, type: 1, name: chance.of(names) } }], acquireMetadata: () => chance.of(['no', 'yes', 'graceful']),
  };
  const wanted = new Set(['name', 'class', 'leader', 'signal', 'service', 'question', 'mode']);
  for (const field of fields) {
    if (!chance.isTrue(wanted.has(field) && member !== 'List' ? 0.97 : 0.1)) continue;
    const make = sensible[field];
    parameters[field] = make !== undefined && chance.isTrue(0.97) ? make() : randomJson(chance, 3);
  }
  if (chance.isTrue(0.03)) parameters[chance.of(['frob', '__proto__x', 'constructor'])] = 1;
  return { method, parameters: parameters as WritableObject, ...chance.of([{}, {}, { more: true }, { oneway: true }]) };
}

function randomJson(chance: Chance, depth: number): unknown {
  const plain = [null, true, false, 0, -1, 1.5, 2 ** 53, 65535, 0xffffffff, ...texts];
  if (depth === 0 || chance.isTrue(0.7)) return chance.of<unknown>(plain);
  if (chance.isTrue(0.5)) return chance.list(3, () => randomJson(chance, depth - 1));
  return Object.fromEntries(chance.list(3, () => [chance.of(['pid', 'pidfdId', 'key', 'x']), randomJson(chance, depth - 1)]));
}
