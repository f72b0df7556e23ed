// The connection against a real dbus-daemon.
import assert from 'node:assert/strict';
import { closeSync, fstatSync, openSync, readdirSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { connectSystemBus } from '../../src/host/bus.js';
import { SystemError } from '../../src/host/kernel/system-error.js';
import { BusError, busErrors, isBusError } from '../../src/transport/dbus/bus-error.js';
import { bus } from '../../src/transport/dbus/bus.js';
import type { BusConnection, CallRequest } from '../../src/transport/dbus/connection.js';
import type { ReceivedCall } from '../../src/wire/dbus/received.js';
import { startBus, type TestBus } from '../support/bus.js';

let testBus: TestBus;
before(async () => {
  testBus = await startBus();
});
after(() => testBus[Symbol.asyncDispose]());

const echo = { path: '/test/echo', interface: 'test.Echo' } as const;
const hasBusName = (name: string) => (error: unknown) => isBusError(error, name);
const openDescriptors = () => readdirSync('/proc/self/fd').length;

/** Two connections; the second answers with what it was sent, unless told otherwise. */
async function pair(onMethodCall?: (server: BusConnection, call: ReceivedCall) => void) {
  const [client, server] = await Promise.all([testBus.connect(), testBus.connect()]);
  server.onMethodCall = (call) =>
    onMethodCall === undefined ? server.reply(call, call.signature, call.body()) : onMethodCall(server, call);
  return {
    client,
    server,
    target: { destination: server.uniqueName, ...echo },
    [Symbol.dispose]() {
      client.close();
      server.close();
    },
  };
}

async function until(condition: () => boolean, what: string): Promise<void> {
  for (const deadline = Date.now() + 10_000; !condition(); await delay(2)) {
    if (Date.now() > deadline) assert.fail(`timed out: ${what}`);
  }
}

/** In the order of the bus: what was sent to `client` before has arrived. */
const settled = (client: BusConnection) => client.call({ ...bus, member: 'GetId', replySignature: 's' });

test('two connections call each other', async () => {
  using both = await pair();
  const { client, target } = both;
  assert.match(client.uniqueName, /^:\d+\.\d+$/);
  const [text, numbers] = await client.call({
    ...target, member: 'Say', signature: 'sau', body: ['hello', [1, 2, 3]], replySignature: 'sau',
  });
  assert.deepEqual([text, numbers], ['hello', [1, 2, 3]]);
});

test('a call names its sender and what it wants', async () => {
  const calls: ReceivedCall[] = [];
  using both = await pair((server, call) => {
    calls.push(call);
    server.reply(call);
  });
  await both.client.call({ ...both.target, member: 'Do', allowInteractive: true });
  const [call] = calls;
  assert.equal(call?.sender, both.client.uniqueName);
  assert.equal(call.member, 'Do');
  assert.equal(call.path, '/test/echo');
  assert.equal(call.allowInteractive, true);
  assert.equal(call.noReply, false);
});

test('errors keep their name and text', async () => {
  using both = await pair((server, call) => server.replyError(call, 'test.Error.Sad', 'so sad'));
  await assert.rejects(both.client.call({ ...both.target, member: 'Do' }), (error: unknown) => {
    assert.ok(error instanceof BusError);
    assert.deepEqual([error.busName, error.message], ['test.Error.Sad', 'so sad']);
    return true;
  });
});

test('what the bus itself answers is an error of the call', async () => {
  using client = await testBus.connect();
  const call = client.call({ destination: 'test.nobody', ...echo, member: 'Do' });
  await assert.rejects(call, hasBusName(busErrors.serviceUnknown));
});

test('without a handler, calls are refused', async () => {
  using client = await testBus.connect();
  using server = await testBus.connect();
  const call = client.call({ destination: server.uniqueName, ...echo, member: 'Do' });
  await assert.rejects(call, hasBusName(busErrors.unknownMethod));
});

test('an answer of another signature is an error', async () => {
  using both = await pair();
  const request = { ...both.target, member: 'Say', signature: 's', body: ['x'], replySignature: 'u' } as const;
  await assert.rejects(both.client.call(request), hasBusName(busErrors.inconsistentMessage));
  assert.deepEqual(await both.client.call({ ...request, replySignature: 's' }), ['x']);
});

test('10,000 calls in flight are answered in order', async () => {
  using both = await pair();
  const answers: number[] = [];
  const call = async (number: number): Promise<void> => {
    const request = { ...both.target, member: 'Say', signature: 'u', body: [number], replySignature: 'u' } as const;
    answers.push((await both.client.call(request))[0]);
  };
  await Promise.all(Array.from({ length: 10_000 }, (_, number) => call(number)));
  assert.deepEqual(answers, Array.from({ length: 10_000 }, (_, index) => index));
});

test('big messages', async () => {
  using both = await pair();
  const bytes = new Uint8Array(8 * 1024 * 1024).fill(7);
  const [back] = await both.client.call({
    ...both.target, member: 'Say', signature: 'ay', body: [bytes], replySignature: 'ay',
  });
  assert.equal(Buffer.compare(back, bytes), 0);
});

test('what a bus would disconnect for is not sent', async () => {
  const tooMuch = new Uint8Array(33 * 1024 * 1024);
  using both = await pair((server, call) => server.reply(call, 'ay', [tooMuch]));
  const call = both.client.call({ ...both.target, member: 'Say', signature: 'ay', body: [tooMuch] });
  await assert.rejects(call, hasBusName(busErrors.limitsExceeded));
  await assert.rejects(both.client.call({ ...both.target, member: 'Get' }), hasBusName(busErrors.limitsExceeded));
  await settled(both.client);
});

test('a call that wants no answer gets none', async () => {
  const seen: string[] = [];
  using both = await pair((server, call) => {
    seen.push(`${call.member} ${call.noReply}`);
    server.reply(call);
  });
  const monitor = await both.server.subscribe({ rule: { member: 'Never' } }, () => undefined);
  monitor[Symbol.dispose](); // RemoveMatch is such a call; had it been answered, the answer would be one to nobody's call
  await both.client.call({ ...both.target, member: 'Do' });
  assert.deepEqual(seen, ['Do false']);
});

test('file descriptors travel, and nobody leaks them', async () => {
  const file = openSync('/dev/null', 'r');
  try {
    using both = await pair();
    const start = openDescriptors();
    const request = { ...both.target, member: 'Say', signature: 'hs', body: [file, 'x'], replySignature: 'hs' } as const;
    await both.client.call(request);
    const { body, fds } = await both.client.callForDescriptors(request);
    assert.deepEqual(fds, [body[0]]);
    assert.equal(fstatSync(body[0]).rdev, fstatSync(file).rdev);
    assert.equal(openDescriptors(), start + 1);
    closeSync(body[0]);
    await settled(both.server);
    assert.equal(openDescriptors(), start);
  } finally {
    closeSync(file);
  }
});

test('descriptors of calls that nobody takes are closed with the answer, or with the connection', async () => {
  const before = openDescriptors();
  const file = openSync('/dev/null', 'r');
  const calls: ReceivedCall[] = [];
  try {
    using both = await pair((_, call) => void calls.push(call));
    const start = openDescriptors();
    const send = (member: string) => both.client.call({ ...both.target, member, signature: 'h', body: [file] });
    const pending = [send('Answered'), send('Taken'), send('Forgotten')];
    await until(() => calls.length === 3, 'three calls');
    assert.equal(openDescriptors(), start + 3);
    const [answered, taken] = calls as [ReceivedCall, ReceivedCall];
    both.server.reply(answered);
    assert.equal(openDescriptors(), start + 2);
    const fds = both.server.takeDescriptors(taken);
    assert.equal(fds.length, 1);
    assert.deepEqual(both.server.takeDescriptors(taken), []);
    both.server.reply(taken);
    assert.equal(openDescriptors(), start + 2);
    closeSync(fds[0]!);
    both.server.close();
    await assert.rejects(Promise.all(pending), hasBusName(busErrors.noReply));
  } finally {
    closeSync(file);
  }
  assert.equal(openDescriptors(), before);
});

test('signals reach those who subscribed, until they no longer do', async () => {
  using both = await pair();
  const { client, server } = both;
  const heard: string[] = [];
  const rule = { sender: server.uniqueName, interface: 'test.Echo', member: 'Ping' };
  const first = await client.subscribe({ rule, signature: 's' }, ([text]) => void heard.push(`first ${text}`));
  const second = await client.subscribe({ rule, signature: 's' }, ([text]) => void heard.push(`second ${text}`));
  const ping = async (text: string): Promise<void> => {
    server.emit({ ...echo, member: 'Ping', signature: 's', body: [text] });
    server.emit({ ...echo, member: 'Ping', signature: 'u', body: [1] }); // of another signature: not for them
    server.emit({ ...echo, member: 'Pong', signature: 's', body: [text] });
    await settled(server);
    await settled(client);
  };
  await ping('a');
  first[Symbol.dispose]();
  first[Symbol.dispose]();
  await ping('b');
  second[Symbol.dispose]();
  await ping('c');
  assert.deepEqual(heard, ['first a', 'second a', 'second b']);
});

test('signals of a name are those of its owner, whoever that is', async () => {
  using both = await pair();
  const { client, server } = both;
  using impostor = await testBus.connect();
  const heard: string[] = [];
  using subscription = await client.subscribe({ rule: { sender: 'test.Owner', member: 'Ping' }, signature: 's' }, ([text]) => {
    heard.push(text);
  });
  assert.ok(subscription);
  const ping = async (sender: BusConnection, text: string): Promise<void> => {
    sender.emit({ ...echo, member: 'Ping', signature: 's', body: [text], destination: client.uniqueName });
    await settled(sender);
    await settled(client);
  };
  await ping(server, 'nobody owns it');
  await server.requestName('test.Owner', { allowReplacement: true });
  await ping(server, 'the owner');
  await ping(impostor, 'an impostor');
  assert.equal(await impostor.requestName('test.Owner', { replaceExisting: true }), 'owned');
  await ping(impostor, 'the next owner');
  await ping(server, 'the owner of the past');
  await impostor.releaseName('test.Owner');
  await ping(impostor, 'nobody again');
  assert.deepEqual(heard, ['the owner', 'the next owner']);
});

test('names are owned by one, taken for others, or queued for', async () => {
  using both = await pair();
  const { client, server } = both;
  assert.equal(await server.requestName('test.Name'), 'owned');
  assert.equal(await server.requestName('test.Name'), 'owned');
  assert.equal(await client.requestName('test.Name'), 'taken');
  assert.equal(await client.requestName('test.Name', { queue: true }), 'queued');
  await server.releaseName('test.Name');
  const [owner] = await client.call({
    ...bus, member: 'GetNameOwner', signature: 's', body: ['test.Name'], replySignature: 's',
  });
  assert.equal(owner, client.uniqueName);
  await assert.rejects(client.requestName('not a name'), BusError);
});

test('a call without an answer is given up in time, and a late answer is no harm', async () => {
  const calls: ReceivedCall[] = [];
  using both = await pair((_, call) => void calls.push(call));
  const { client, server, target } = both;
  await assert.rejects(client.call({ ...target, member: 'Do', timeout: 50 }), hasBusName(busErrors.noReply));
  server.reply(calls[0]!);
  await settled(server);
  await settled(client);
});

test('a call without a time limit waits', async () => {
  const calls: ReceivedCall[] = [];
  using both = await pair((_, call) => void calls.push(call));
  const call = both.client.call({ ...both.target, member: 'Do', timeout: 0, replySignature: '' });
  await until(() => calls.length === 1, 'the call');
  await delay(100);
  both.server.reply(calls[0]!);
  assert.deepEqual(await call, []);
});

test('when the bus goes away, everything that waits rejects and the reason is told', async () => {
  await using shortLived = await startBus();
  const client = await shortLived.connect();
  const server = await shortLived.connect();
  server.onMethodCall = () => undefined;
  const call = client.call({ destination: server.uniqueName, ...echo, member: 'Do', timeout: 0 });
  const rejected = assert.rejects(call, hasBusName(busErrors.disconnected));
  await shortLived.kill();
  await rejected;
  assert.ok((await client.closed) instanceof Error);
  assert.ok((await server.closed) instanceof Error);
  await assert.rejects(client.call({ ...bus, member: 'GetId' }), hasBusName(busErrors.disconnected));
  client.emit({ ...echo, member: 'Ping' });
});

test('closing is no failure, sends what was queued, and leaves no descriptor', async () => {
  using listener = await testBus.connect();
  const start = openDescriptors();
  const heard: string[] = [];
  using subscription = await listener.subscribe({ rule: { member: 'LastWords' } }, () => void heard.push('last words'));
  assert.ok(subscription);
  const client = await testBus.connect();
  const call = client.call({ destination: listener.uniqueName, ...echo, member: 'Do' });
  client.emit({ ...echo, member: 'LastWords' });
  client.close();
  await assert.rejects(call, hasBusName(busErrors.disconnected));
  assert.equal(await client.closed, undefined);
  await until(() => heard.length === 1, 'the last words');
  assert.equal(openDescriptors(), start);
});

test('connecting: the first address that answers, or a system error', async () => {
  const isSystemError = (code: string) => (error: unknown) => error instanceof SystemError && error.code === code;
  await assert.rejects(connectSystemBus('unix:path=/nonexistent/socket'), isSystemError('ENOENT'));
  await assert.rejects(connectSystemBus('tcp:host=localhost,port=1'), isSystemError('EPROTONOSUPPORT'));
  await assert.rejects(connectSystemBus('nonsense'), isSystemError('EINVAL'));
  using client = await connectSystemBus(`tcp:host=localhost,port=1;unix:path=/nonexistent/socket;${testBus.address}`);
  assert.match(client.uniqueName, /^:/);
});

test('a request that cannot be sent is a bug', async () => {
  using client = await testBus.connect();
  const request = { ...bus, member: 'No Member' } satisfies CallRequest;
  await assert.rejects(client.call(request), { name: 'ValueError' });
  await settled(client);
});

test('a request that cannot be sent and had to wait for others is the same bug, and holds up nobody', async () => {
  using client = await testBus.connect();
  const others = Array.from({ length: 200 }, () => settled(client));
  const bug = assert.rejects(client.call({ ...bus, member: 'No Member' }), { name: 'ValueError' });
  const behind = settled(client);
  await Promise.all([...others, bug, behind]);
});
