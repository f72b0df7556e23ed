import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, fstatSync, mkdtempSync, openSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { createConnection, createServer } from 'node:net';
import path from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { eventHub } from '../../src/host/kernel/event-loop.js';
import { bindAddress, check, close, connect, errno, fileControl, listen, socket } from '../../src/host/kernel/libc.js';
import { errnos, SystemError } from '../../src/host/kernel/system-error.js';
import { encodeUnixAddress } from '../../src/host/kernel/unix-address.js';
import { adoptListener, connectUnix, listenUnix, type ListenOptions } from '../../src/host/kernel/unix-socket.js';
import type { ByteStream, StreamEvents } from '../../src/ports/stream.js';

const directory = mkdtempSync('/tmp/machined-test-');
after(() => rmSync(directory, { recursive: true }));
let lastPath = 0;
const newPath = () => path.join(directory, `socket${++lastPath}`);

eventHub(); // its epoll descriptor stays open: it is no leak
const openDescriptors = () => readdirSync('/proc/self/fd').length;
const hasCode = (code: string) => (error: unknown) => error instanceof SystemError && error.code === code;

async function until(condition: () => boolean, what: string): Promise<void> {
  for (const deadline = Date.now() + 10_000; !condition(); await delay(2)) {
    if (Date.now() > deadline) assert.fail(`timed out: ${what}`);
  }
}

function promiseOfStream(): { promise: Promise<ByteStream>; resolve: (stream: ByteStream) => void } {
  let resolve: ((stream: ByteStream) => void) | undefined;
  const promise = new Promise<ByteStream>((settle) => (resolve = settle));
  return { promise, resolve: (stream) => resolve?.(stream) };
}

function serve(address: string, onConnection: (stream: ByteStream) => void, changes: Partial<ListenOptions> = {}) {
  return listenUnix(address, {
    mode: 0o600, backlog: 128, refuseDescriptors: false, onConnection, onShortage: (error) => assert.fail(error), ...changes,
  });
}

/** Collects what a stream reports. */
class Recorder implements StreamEvents {
  readonly chunks: Buffer[] = [];
  readonly fds: number[] = [];
  length = 0;
  ends = 0;
  drains = 0;
  readonly closings: (Error | undefined)[] = [];

  data(bytes: Uint8Array, fds: readonly number[]): void {
    this.chunks.push(Buffer.from(bytes));
    this.length += bytes.length;
    this.fds.push(...fds);
  }
  end(): void {
    this.ends++;
  }
  closed(error: Error | undefined): void {
    this.closings.push(error);
  }
  drained(): void {
    this.drains++;
  }
  get text(): string {
    return Buffer.concat(this.chunks).toString();
  }
}

/** A client and the server's end of it. */
async function makePair(changes: Partial<ListenOptions> = {}): Promise<{ client: ByteStream; server: ByteStream }> {
  const address = newPath();
  const accepted = promiseOfStream();
  using listener = serve(address, accepted.resolve, changes);
  const client = await connectUnix(listener.path);
  return { client, server: await accepted.promise };
}

test('bytes go both ways; the ends are told', async () => {
  const before = openDescriptors();
  const { client, server } = await makePair();
  const [atClient, atServer] = [new Recorder(), new Recorder()];
  server.start(atServer);
  assert.equal(client.write(Buffer.from('early, ')), 0);
  client.start(atClient);
  client.write(Buffer.from('hello'));
  await until(() => atServer.text === 'early, hello', 'hello');
  server.write(Buffer.from('well met'));
  server.end();
  await until(() => atClient.closings.length === 1, 'the close');
  assert.equal(atClient.text, 'well met');
  assert.deepEqual([atClient.ends, atClient.closings], [1, [undefined]]);
  assert.deepEqual([atServer.ends, atServer.closings], [0, []]);
  assert.equal(client.write(Buffer.from('too late')), 0);
  client.close();
  assert.equal(openDescriptors(), before);
});

test('a peer that shuts down its writing side still gets its reply', async () => {
  const address = newPath();
  const events = new Recorder();
  using listener = serve(address, (stream) =>
    stream.start({
      data: (bytes, fds) => events.data(bytes, fds),
      end: () => {
        stream.write(Buffer.from(`got ${events.text}`));
        stream.end();
      },
      closed: (error) => events.closed(error),
    }),
  );
  const client = createConnection({ path: listener.path, allowHalfOpen: true });
  client.end('request');
  assert.equal(Buffer.concat(await client.toArray()).toString(), 'got request');
  assert.deepEqual(events.closings, []);
});

test('many small messages under backpressure arrive in order', async () => {
  const { client, server } = await makePair();
  const messages = 200_000;
  const received = new Recorder();
  const sent = new Recorder();
  client.start(sent);
  let most = 0;
  for (let number = 0; number < messages; number++) {
    most = Math.max(most, client.write(Buffer.from(`${number.toString().padStart(9, '0')}\n`)));
  }
  assert.ok(most > 1_000_000, 'the writer is told what waits');
  server.start(received);
  await until(() => received.length === messages * 10, 'everything');
  const lines = received.text.split('\n');
  assert.ok(lines.slice(0, messages).every((line, index) => Number(line) === index));
  await until(() => sent.drains === 1, 'drained');
  client.close();
  server.close();
});

test('descriptors travel with their bytes under backpressure, none is lost or leaked', async () => {
  const before = openDescriptors();
  const { client, server } = await makePair();
  const messages = 2000;
  const [atClient, atServer] = [new Recorder(), new Recorder()];
  client.start(atClient);
  server.start(atServer);
  const files = Array.from({ length: 5 }, (_, index) => path.join(directory, `file${index}`));
  for (const file of files) writeFileSync(file, '');
  const descriptors = files.map((file) => openSync(file, 'r'));
  const inodes = descriptors.map((fd) => fstatSync(fd).ino);
  server.pause();
  client.pause();
  for (let number = 0; number < messages; number++) {
    const payload = Buffer.alloc(300, number);
    // In this process, what waits is duplicated: keep within the limit on open files.
    const fds = number % 4 === 0 ? [descriptors[number % 5] as number] : [];
    client.write(payload, fds);
    server.write(payload, fds);
    payload.fill(0xff); // the caller's own again
  }
  server.resume();
  client.resume();
  for (const end of [atClient, atServer]) {
    await until(() => end.length === messages * 300, 'all bytes');
    assert.equal(end.fds.length, messages / 4);
    end.fds.forEach((fd, index) => assert.equal(fstatSync(fd).ino, inodes[(index * 4) % 5]));
    assert.ok(end.fds.every((fd) => (fileControl(fd, 1, 0) & 1) === 1), 'close-on-exec');
    const all = Buffer.concat(end.chunks);
    for (let number = 0; number < messages; number++) assert.equal(all[number * 300 + 150], number & 0xff);
    for (const fd of end.fds) closeSync(fd);
  }
  client.close();
  server.close();
  for (const fd of descriptors) closeSync(fd);
  assert.equal(openDescriptors(), before);
});

test('closing drops what waits, with its descriptors', async () => {
  const before = openDescriptors();
  const { client, server } = await makePair();
  client.start(new Recorder());
  const file = openSync('/dev/null', 'r');
  while (client.write(Buffer.alloc(65536)) === 0);
  for (let count = 0; count < 10; count++) client.write(Buffer.from('x'), [file, file]);
  assert.equal(openDescriptors(), before + 4 /* two sockets, two peers' pidfds */ + 1 + 20);
  client.close();
  server.close();
  closeSync(file);
  assert.equal(openDescriptors(), before);
});

test('descriptors that cannot wait are refused, and nothing is sent of them', async () => {
  const { client, server } = await makePair();
  const events = new Recorder();
  while (client.write(Buffer.alloc(65536)) === 0);
  const waiting = client.write(Buffer.from('x'));
  assert.throws(() => client.write(Buffer.from('y'), [0, 99999]), hasCode('EBADF'));
  assert.equal(client.write(Buffer.from('z')), waiting + 1);
  assert.throws(() => client.write(Buffer.alloc(0), [0]), RangeError);
  assert.throws(() => client.write(Buffer.from('y'), new Array<number>(254).fill(0)), RangeError);
  server.start(events);
  client.end();
  await until(() => events.closings.length === 1, 'the end');
  assert.equal(events.chunks.at(-1)?.toString('utf8').slice(-2), 'xz');
});

test('end() sends what waits', async () => {
  const { client, server } = await makePair();
  const events = new Recorder();
  while (client.write(Buffer.alloc(65536, 'a')) < 1_000_000);
  client.end();
  client.write(Buffer.from('too late'));
  server.start(events);
  await until(() => events.ends === 1, 'the end');
  assert.ok(events.length > 1_000_000);
  assert.ok(!events.text.includes('too late'));
  server.close();
});

test('end() does not wait forever for a peer that does not read', async (context) => {
  const { client, server } = await makePair();
  const before = openDescriptors();
  while (client.write(Buffer.alloc(65536)) === 0);
  context.mock.timers.enable({ apis: ['setTimeout'] });
  client.end();
  context.mock.timers.tick(5_000);
  assert.equal(openDescriptors(), before);
  context.mock.timers.tick(10_000);
  assert.ok(openDescriptors() < before);
  server.close();
});

test('a peer that goes away: its last words are read, replies to it are dropped', async () => {
  const { client, server } = await makePair();
  const events = new Recorder();
  client.write(Buffer.from('last words'));
  client.close();
  assert.equal(server.write(Buffer.from('reply')), 0);
  server.start(events);
  await until(() => events.closings.length === 1, 'the close');
  assert.deepEqual([events.text, events.ends, events.closings], ['last words', 1, [undefined]]);
});

test('a paused stream whose peer is gone does not spin, and finds out when it resumes', async () => {
  const { client, server } = await makePair();
  const events = new Recorder();
  server.start(events);
  server.pause();
  client.write(Buffer.from('unread'));
  client.close();
  const { user, system } = process.cpuUsage();
  await delay(300);
  const used = process.cpuUsage({ user, system });
  assert.ok(used.user + used.system < 100_000, `${used.user + used.system} µs of CPU while paused`);
  assert.equal(events.length, 0);
  server.resume();
  await until(() => events.closings.length === 1, 'the close');
  assert.equal(events.text, 'unread');
});

test('a paused stream makes its peer wait', async () => {
  const { client, server } = await makePair();
  const events = new Recorder();
  server.start({
    data: (bytes, fds) => {
      events.data(bytes, fds);
      server.pause();
    },
    end: () => {},
    closed: () => {},
  });
  client.start(new Recorder());
  while (client.write(Buffer.alloc(65536)) === 0);
  await delay(50);
  assert.equal(events.chunks.length, 1);
  server.resume();
  await until(() => events.chunks.length === 2, 'one more');
  client.close();
  server.close();
});

test('an event that closes its own stream gets no other', async () => {
  const before = openDescriptors();
  const { client, server } = await makePair();
  let events = 0;
  server.start({
    data: () => {
      events++;
      server.close();
      assert.equal(server.write(Buffer.from('x')), 0);
    },
    end: () => events++,
    closed: () => events++,
  });
  for (let count = 0; count < 50; count++) client.write(Buffer.alloc(65536));
  await until(() => events > 0, 'data');
  await delay(20);
  assert.equal(events, 1);
  client.close();
  assert.equal(openDescriptors(), before);
});

test('starting twice is a mistake', async () => {
  const { client, server } = await makePair();
  client.start(new Recorder());
  assert.throws(() => client.start(new Recorder()), /already/);
  client.close();
  server.close();
});

test('a thousand clients at once, through a small backlog', async () => {
  const before = openDescriptors();
  const address = newPath();
  const streams: ByteStream[] = [];
  {
    using listener = serve(address, (stream) => {
      streams.push(stream);
      stream.start({ data: (bytes) => void stream.write(bytes), end: () => stream.close(), closed: () => {} });
    }, { backlog: 64 });
    const clients = await Promise.all(Array.from({ length: 1000 }, () => connectUnix(listener.path)));
    const answers = clients.map((client, index) => {
      const events = new Recorder();
      client.start(events);
      client.write(Buffer.from(`client ${index}`));
      return events;
    });
    await until(() => answers.every((events, index) => events.text === `client ${index}`), 'all answers');
    for (const client of clients) client.close();
    for (const stream of streams) stream.close();
  }
  assert.equal(openDescriptors(), before);
});

test('abstract names', async () => {
  const address = `@machined-test-${process.pid}`;
  const accepted = promiseOfStream();
  using listener = serve(address, accepted.resolve);
  assert.equal(listener.path, address);
  (await connectUnix(address)).close();
  (await accepted.promise).close();
  assert.throws(() => serve(address, () => {}), hasCode('EADDRINUSE'));
});

test('names that cannot be', async () => {
  await assert.rejects(connectUnix(''), hasCode('EINVAL'));
  await assert.rejects(connectUnix('a\0b'), hasCode('EINVAL'));
  await assert.rejects(connectUnix(`/${'x'.repeat(107)}`), hasCode('ENAMETOOLONG'));
  await assert.rejects(connectUnix(newPath()), hasCode('ENOENT'));
  assert.throws(() => serve('/nowhere/at/all', () => {}), hasCode('ENOENT'));
});

test('the permissions are as asked, whatever the umask, and the path goes with the listener', () => {
  for (const umask of [0o000, 0o022, 0o077]) {
    const previous = process.umask(umask);
    const address = newPath();
    {
      using listener = serve(address, () => {}, { mode: 0o666 });
      assert.equal(statSync(listener.path).mode & 0o777, 0o666);
    }
    process.umask(previous);
    assert.equal(statSync(address, { throwIfNoEntry: false }), undefined);
  }
});

test("a dead listener's socket is replaced, a living one's is not", async () => {
  const address = newPath();
  const dead = check(socket(1, 1, 0), 'socket');
  const encoded = encodeUnixAddress(address, 'bind');
  check(bindAddress(dead, encoded, encoded.length), 'bind');
  close(dead);
  const first = serve(address, (stream) => stream.close());
  assert.throws(() => serve(address, () => {}), hasCode('EADDRINUSE'));
  (await connectUnix(address)).close(); // still there
  rmSync(address);
  {
    using second = serve(address, (stream) => stream.close());
    first[Symbol.dispose](); // must leave the second's path alone
    (await connectUnix(second.path)).close();
  }
  await assert.rejects(connectUnix(address), hasCode('ENOENT'));
});

test('a listener whose backlog is full is alive', () => {
  const address = newPath();
  const busy = check(socket(1, 1, 0), 'socket');
  const encoded = encodeUnixAddress(address, 'bind');
  check(bindAddress(busy, encoded, encoded.length), 'bind');
  check(listen(busy, 0), 'listen');
  const clients: number[] = [];
  for (;;) {
    const client = check(socket(1, 1 | 0o4000, 0), 'socket');
    clients.push(client);
    if (connect(client, encoded, encoded.length) === 0) continue;
    assert.equal(errno(), errnos.EAGAIN);
    break;
  }
  assert.throws(() => serve(address, () => {}), hasCode('EADDRINUSE'));
  for (const fd of [busy, ...clients]) close(fd);
});

test('what is no socket is left alone', () => {
  const file = newPath();
  writeFileSync(file, 'precious');
  assert.throws(() => serve(file, () => {}), hasCode('EADDRINUSE'));
  const link = newPath();
  symlinkSync('/nowhere', link);
  assert.throws(() => serve(link, () => {}), hasCode('EADDRINUSE'));
});

test('an adopted listener serves, and leaves its path', async () => {
  const address = newPath();
  const fd = check(socket(1, 1, 0), 'socket');
  const encoded = encodeUnixAddress(address, 'bind');
  check(bindAddress(fd, encoded, encoded.length), 'bind');
  const options = { refuseDescriptors: false, onShortage: assert.fail, onConnection: (stream: ByteStream) => stream.close() };
  assert.throws(() => adoptListener(fd, options), hasCode('EINVAL'));
  check(listen(fd, 5), 'listen');
  {
    using listener = adoptListener(fd, options);
    assert.equal(listener.path, address);
    assert.equal(fileControl(fd, 1, 0) & 1, 1);
    (await connectUnix(address)).close();
  }
  assert.ok(statSync(address).isSocket());
  const file = openSync('/dev/null', 'r');
  assert.throws(() => adoptListener(file, options), hasCode('ENOTSOCK'));
  closeSync(file);
});

test("a child process's credentials", async () => {
  const address = newPath();
  const accepted = promiseOfStream();
  using listener = serve(address, accepted.resolve, { mode: 0o666 });
  const asRoot = process.getuid?.() === 0;
  const connector = `require('node:net').connect(process.argv[1]).on('connect', () => {})`;
  if (asRoot) spawnSync('chmod', ['755', directory]);
  const command = asRoot ? ['--reuid=12345', '--regid=23456', '--groups=1001,1002,1003'] : [];
  const child = spawn('setpriv', [...command, process.execPath, '-e', connector, listener.path], { stdio: 'inherit' });
  const stream = await accepted.promise;
  assert.equal(stream.peer.pid, child.pid); // setpriv(1) becomes the program
  if (asRoot) {
    assert.deepEqual([stream.peer.uid, stream.peer.gid], [12345, 23456]);
    assert.deepEqual(stream.peer.groups, [1001, 1002, 1003]);
  } else {
    assert.deepEqual([stream.peer.uid, stream.peer.gid], [process.getuid?.(), process.getgid?.()]);
  }
  if (stream.peer.pidfd !== undefined) {
    assert.ok(readdirSync('/proc/self/fd').includes(String(stream.peer.pidfd)));
  }
  child.kill();
  await once(child, 'exit');
  stream.close();
});

test('clients that may not send descriptors are told so, or cut off', async () => {
  const before = openDescriptors();
  const { client, server } = await makePair({ refuseDescriptors: true });
  const [atClient, atServer] = [new Recorder(), new Recorder()];
  server.start(atServer);
  client.start(atClient);
  client.write(Buffer.from('fine'));
  await until(() => atServer.text === 'fine', 'plain bytes');
  client.write(Buffer.from('not fine'), [0]);
  await until(() => atClient.closings.length + atServer.closings.length > 0, 'the refusal');
  const [error] = [...atClient.closings, ...atServer.closings];
  assert.ok(hasCode('EPERM')(error), String(error));
  assert.deepEqual(atServer.fds, []);
  client.close();
  server.close();
  assert.equal(openDescriptors(), before);
});

/** Runs the body in a process of its own that may have few descriptors. `kernel` and `until` are in scope. */
function runWithFewDescriptors(limit: number, body: string) {
  const kernel = new URL('../../src/host/kernel/', import.meta.url).href;
  const program = `
    const { listenUnix, connectUnix } = await import('${kernel}unix-socket.js');
    const { processLimit, check } = await import('${kernel}libc.js');
    const fs = await import('node:fs');
    const until = async (condition) => { while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2)); };
    const address = '${newPath()}';
    fs.readdirSync('/proc/self/fd');
    const limits = Buffer.alloc(16);
    check(processLimit(0, 7, null, limits), 'prlimit');
    limits.writeUInt32LE(fs.readdirSync('/proc/self/fd').length + ${limit}, 0); // the soft limit: node raises a child's own
    check(processLimit(0, 7, limits, null), 'prlimit');
    ${body}`;
  return spawnSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8', timeout: 30_000 });
}

// A client takes a descriptor for its socket and one for its pidfd: either may be the one that there is no room for.
for (const limit of [10, 11]) test(`with ${limit} descriptors, a listener rests instead of spinning, and serves everybody afterwards`, () => {
  const { status, stdout, stderr } = runWithFewDescriptors(limit, `
    const streams = [], shortages = [];
    const listener = listenUnix(address, {
      mode: 0o600, backlog: 100, refuseDescriptors: false,
      onConnection: (stream) => { streams.push(stream); stream.start({ data() {}, end() { stream.close(); }, closed() {} }); },
      onShortage: (error) => shortages.push(error.code),
    });
    const { spawn } = await import('node:child_process');
    const client = spawn(process.execPath, ['-e', \`
      const net = require('node:net');
      for (let i = 0; i < 20; i++) net.connect('\${address}');
      process.stdin.on('end', () => process.exit()).resume();\`], { stdio: ['pipe', 'inherit', 'inherit'] });
    await until(() => shortages.length >= 2);
    const before = process.cpuUsage(), count = shortages.length;
    await until(() => shortages.length >= count + 5);
    const cpu = process.cpuUsage(before);
    const accepted = streams.length;
    client.stdin.end();
    await until(() => streams.length === 20);
    console.log(JSON.stringify({ accepted, codes: [...new Set(shortages)], busy: cpu.user + cpu.system > 400000 }));
    listener[Symbol.dispose]();`);
  assert.equal(stderr, '');
  assert.equal(status, 0);
  const result = JSON.parse(stdout) as { accepted: number; codes: string[]; busy: boolean };
  assert.ok(result.accepted > 0 && result.accepted < 20);
  assert.deepEqual({ ...result, accepted: 0 }, { accepted: 0, codes: ['EMFILE'], busy: false });
});

test('descriptors that a peer sends beyond what may be open close its stream, and none stays open', () => {
  const { status, stdout, stderr } = runWithFewDescriptors(60, `
    const { setTimeout: delay } = await import('node:timers/promises');
    let server;
    const listener = listenUnix(address, {
      mode: 0o600, backlog: 100, refuseDescriptors: false, onConnection: (stream) => { server = stream; }, onShortage: console.error,
    });
    const client = await connectUnix(address);
    await until(() => server !== undefined);
    const before = fs.readdirSync('/proc/self/fd').length;
    let received = 0; const closings = [];
    server.start({ data: (bytes, fds) => { received += fds.length; }, end() {}, closed: (error) => closings.push(error.code) });
    client.write(Buffer.from('x'), new Array(200).fill(0));
    await until(() => closings.length === 1);
    console.log(JSON.stringify({ received, closings, fewer: before - fs.readdirSync('/proc/self/fd').length }));
    client.close(); listener[Symbol.dispose]();`);
  assert.equal(stderr, '');
  assert.equal(status, 0);
  const { fewer, ...rest } = JSON.parse(stdout) as { received: number; closings: string[]; fewer: number };
  assert.deepEqual(rest, { received: 0, closings: ['EMFILE'] });
  assert.ok(fewer === 1 || fewer === 2, `${fewer}: the socket, and the peer's pidfd if there is one`);
});

test("node's own sockets talk to it", async () => {
  const address = newPath();
  const server = createServer((socket) => socket.pipe(socket)).listen(address);
  await once(server, 'listening');
  const client = await connectUnix(address);
  const events = new Recorder();
  client.start(events);
  const payload = Buffer.alloc(3_000_000, 'x');
  client.write(payload);
  await until(() => events.length === payload.length, 'the echo');
  client.close();
  server.close();
});
