import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { isFailure } from '../../src/domain/failure.js';
import { PolkitAuthority } from '../../src/host/polkit.js';
import { RootAuthority } from '../../src/host/root-authority.js';
import type { Caller } from '../../src/ports/authority.js';
import { FakeAuthority } from '../../src/ports/fakes/authority.js';
import { BusError, busErrors } from '../../src/transport/dbus/bus-error.js';
import type { BusConnection } from '../../src/transport/dbus/connection.js';
import type { Variant } from '../../src/wire/dbus/value.js';
import { authorityCompliance, manageMachines } from '../compliance/authority.js';

const onBus: Caller = { uid: 1000, pid: 42, busName: ':1.42' };
const byProcess: Caller = { uid: 1000, pid: process.pid, busName: undefined };
const request = { action: manageMachines, details: { machine: 'm', verb: 'kill' }, interactive: false };
const interactive = { ...request, interactive: true };

authorityCompliance('the fake', async () => {
  const authority = new FakeAuthority();
  return {
    authority,
    users: [onBus, byProcess],
    decide: async (action, verdict) => authority.decide(action, verdict),
    [Symbol.asyncDispose]: async () => undefined,
  };
});

type Question = readonly [
  subject: readonly [string, ReadonlyMap<string, Variant>],
  action: string,
  details: ReadonlyMap<string, string>,
  flags: number,
  cancellation: string,
];

/** A bus on which polkit answers when the test says so. */
class PolkitBus {
  readonly questions: Question[] = [];
  readonly cancelled: string[] = [];
  /** The time limits that went with the questions. */
  readonly timeouts: unknown[] = [];
  subscriptions = 0;
  depart: () => void = () => assert.fail('nobody watches');
  #answers: { resolve(values: readonly unknown[]): void; reject(error: Error): void }[] = [];

  readonly connection = {
    call: (call: { member: string; body: readonly unknown[]; timeout: number }) => {
      if (call.member === 'CancelCheckAuthorization') {
        this.cancelled.push(call.body[0] as string);
        return Promise.reject(new BusError('org.freedesktop.PolicyKit1.Error.Failed', 'No such cancellation'));
      }
      assert.equal(call.member, 'CheckAuthorization');
      this.questions.push(call.body as unknown as Question);
      this.timeouts.push(call.timeout);
      return new Promise((resolve, reject) => this.#answers.push({ resolve, reject }));
    },
    subscribe: async (_: unknown, handler: () => void) => {
      this.subscriptions++;
      this.depart = handler;
      return { [Symbol.dispose]: () => void this.subscriptions-- };
    },
  } as unknown as BusConnection;

  /** Waits for a question to be asked, then answers the oldest. */
  async answer(authorized: boolean, challenge: boolean): Promise<void> {
    (await this.#next()).resolve([[authorized, challenge, new Map()]]);
  }

  async fail(busName: string, message = 'it failed'): Promise<void> {
    (await this.#next()).reject(new BusError(busName, message));
  }

  async #next() {
    await new Promise((resolve) => setImmediate(resolve));
    const answer = this.#answers.shift();
    assert.ok(answer !== undefined, 'polkit was not asked');
    return answer;
  }
}

test("without polkit root and the registry's own user may do everything, and others nothing", async () => {
  for (const [owner, allowed] of [[0, [0]], [1000, [0, 1000]]] as const) {
    const authority = new RootAuthority(owner);
    for (const uid of [0, 1000, 1001, undefined]) {
      const expected = uid !== undefined && (allowed as readonly number[]).includes(uid);
      assert.equal(await authority.check({ ...onBus, uid }), expected ? 'allowed' : 'denied');
      assert.equal(authority.isPrivileged(uid), expected);
    }
  }
});

test('polkit is not asked about root, nor about a caller without a uid', async () => {
  const bus = new PolkitBus();
  const authority = new PolkitAuthority(bus.connection);
  assert.equal(await authority.check({ ...onBus, uid: 0 }, request), 'allowed');
  assert.equal(await authority.check({ ...onBus, uid: undefined }, request), 'denied');
  assert.equal(bus.questions.length, 0);
});

test("polkit's answers are verdicts", async () => {
  const bus = new PolkitBus();
  const authority = new PolkitAuthority(bus.connection);
  const answers = [
    [true, false, 'allowed'],
    [false, true, 'interactive-authentication-required'],
    [false, false, 'denied'],
  ] as const;
  for (const caller of [onBus, byProcess]) {
    for (const [authorized, challenge, verdict] of answers) {
      const check = authority.check(caller, request);
      await bus.answer(authorized, challenge);
      assert.equal(await check, verdict);
    }
  }
});

test('a caller on the bus is named by its bus name', async () => {
  const bus = new PolkitBus();
  const check = new PolkitAuthority(bus.connection).check(onBus, request);
  await bus.answer(true, false);
  await check;
  const name = new Map([['name', { signature: 's', value: ':1.42' }]]);
  const details = new Map(Object.entries(request.details));
  assert.deepEqual(bus.questions, [[['system-bus-name', name], manageMachines, details, 0, '']]);
});

test('another caller is named by its process: PID, start time, uid and pidfd', async () => {
  const bus = new PolkitBus();
  const check = new PolkitAuthority(bus.connection).check({ ...byProcess, uid: 4_000_000_000 }, request);
  await bus.answer(true, false);
  await check;
  const [kind, subject] = (bus.questions[0] as Question)[0];
  assert.equal(kind, 'unix-process');
  assert.deepEqual(subject.get('pid'), { signature: 'u', value: process.pid });
  assert.deepEqual(subject.get('uid'), { signature: 'i', value: 4_000_000_000 - 2 ** 32 });
  const { stdout } = spawnSync('cut', ['-d', ' ', '-f', '22', `/proc/${process.pid}/stat`], { encoding: 'utf8' });
  assert.deepEqual(subject.get('start-time'), { signature: 't', value: BigInt(stdout) });
  assert.ok(!subject.has('pidfd'));
});

test('a process that has ended is denied, and not asked about', async () => {
  const bus = new PolkitBus();
  const { pid } = spawnSync('true');
  const check = new PolkitAuthority(bus.connection).check({ ...byProcess, pid }, request);
  assert.equal(await check, 'denied');
  const unseen = new PolkitAuthority(bus.connection).check({ ...byProcess, pid: 0 }, request);
  assert.equal(await unseen, 'denied');
  assert.equal(bus.questions.length, 0);
});

test('only an interactive question may reach the user, can be withdrawn, and takes long', async () => {
  const bus = new PolkitBus();
  const authority = new PolkitAuthority(bus.connection);
  for (const caller of [onBus, byProcess]) {
    for (const asked of [request, interactive]) {
      const check = authority.check(caller, asked);
      await bus.answer(false, true);
      await check;
    }
  }
  assert.deepEqual(bus.questions.map((question) => question[3]), [0, 1, 0, 1]);
  const cancellations = bus.questions.map((question) => question[4]);
  assert.deepEqual(cancellations.filter((name) => name === ''), ['', '']);
  assert.equal(new Set(cancellations).size, 3);
  assert.deepEqual(bus.timeouts, [25_000, 120_000, 25_000, 120_000]);
  assert.equal(bus.subscriptions, 0);
});

test('the question about a caller that leaves the bus is withdrawn', async () => {
  const bus = new PolkitBus();
  const check = new PolkitAuthority(bus.connection).check(onBus, interactive);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(bus.subscriptions, 1);
  bus.depart();
  await bus.fail('org.freedesktop.PolicyKit1.Error.Cancelled');
  assert.equal(await check, 'denied');
  assert.deepEqual(bus.cancelled, [bus.questions[0]?.[4]]);
  assert.equal(bus.subscriptions, 0);
});

test('the question about a caller that disconnects is withdrawn, and not even asked if it has already', async () => {
  const bus = new PolkitBus();
  const authority = new PolkitAuthority(bus.connection);
  const gone = new AbortController();
  const check = authority.check({ ...byProcess, gone: gone.signal }, interactive);
  gone.abort();
  await bus.fail('org.freedesktop.PolicyKit1.Error.Cancelled');
  assert.equal(await check, 'denied');
  assert.deepEqual(bus.cancelled, [bus.questions[0]?.[4]]);

  assert.equal(await authority.check({ ...byProcess, gone: gone.signal }, interactive), 'denied');
  assert.equal(bus.questions.length, 1);
});

test('nothing is withdrawn that was answered', async () => {
  const bus = new PolkitBus();
  const gone = new AbortController();
  const check = new PolkitAuthority(bus.connection).check({ ...byProcess, gone: gone.signal }, interactive);
  await bus.answer(true, false);
  assert.equal(await check, 'allowed');
  gone.abort();
  assert.deepEqual(bus.cancelled, []);
});

test('a password prompt is taken away when the time is up', async () => {
  const bus = new PolkitBus();
  const authority = new PolkitAuthority(bus.connection);
  const check = authority.check(onBus, interactive);
  await bus.fail(busErrors.noReply);
  await assert.rejects(check, (error) => isFailure(error, 'system') && error.errno === 'ETIMEDOUT');
  assert.deepEqual(bus.cancelled, [bus.questions[0]?.[4]]);
});

test('where polkit is not there, or does not know the action or the caller, users are denied', async () => {
  const bus = new PolkitBus();
  const authority = new PolkitAuthority(bus.connection);
  const refusals = [
    busErrors.serviceUnknown,
    busErrors.nameHasNoOwner,
    'org.freedesktop.PolicyKit1.Error.Failed',
    'org.freedesktop.PolicyKit1.Error.NotAuthorized',
    'org.gtk.GDBus.UnmappedGError.Quark._g_2dfile_2derror_2dquark.Code4',
  ];
  for (const busName of refusals) {
    const check = authority.check(onBus, request);
    await bus.fail(busName);
    assert.equal(await check, 'denied', busName);
  }
});

test('another error is the caller\'s to see, under its own name and as errno', async () => {
  const bus = new PolkitBus();
  const authority = new PolkitAuthority(bus.connection);
  const errors = [
    ['org.freedesktop.systemd1.UnitMasked', 'ERFKILL'],
    ['org.freedesktop.DBus.Error.TimedOut', 'ETIMEDOUT'],
    [busErrors.disconnected, 'ECONNRESET'],
    ['org.freedesktop.DBus.Error.Spawn.ChildExited', 'EIO'],
  ] as const;
  for (const [busError, errno] of errors) {
    const check = authority.check(onBus, request);
    await bus.fail(busError, 'Unit polkit.service is masked.');
    const expected = { kind: 'system', busError, errno, message: 'Unit polkit.service is masked.' };
    await assert.rejects(check, expected);
  }
});

test("one user's open questions leave room for other users'", async () => {
  const bus = new PolkitBus();
  const authority = new PolkitAuthority(bus.connection);
  const open = Array.from({ length: 64 }, () => authority.check(onBus, interactive));
  await assert.rejects(authority.check(byProcess, interactive), { kind: 'too-many-operations' });
  const another = authority.check({ ...onBus, uid: 1001 }, request);
  for (let index = 0; index < 65; index++) await bus.answer(true, false);
  assert.deepEqual(new Set(await Promise.all([...open, another])), new Set(['allowed']));

  const again = authority.check(onBus, request);
  await bus.answer(true, false);
  assert.equal(await again, 'allowed');
});
