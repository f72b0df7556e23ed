// The server's side of Varlink connections, on streams in memory.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { FakeStream, someUser } from '../../src/ports/fakes/stream.js';
import { VarlinkServer } from '../../src/transport/varlink/server.js';
import type { Outcome, Peer } from '../../src/transport/varlink/server-connection.js';
import type { MethodCall } from '../../src/wire/varlink/call.js';

type Dispatch = (call: MethodCall, peer: Peer) => Outcome | Promise<Outcome>;

const ok: Outcome = { kind: 'reply', parameters: {} };
const echo: Dispatch = (call) => ({ kind: 'reply', parameters: { method: call.method } });
const frame = (message: object) => `${JSON.stringify(message)}\0`;
const named = (...methods: string[]) => methods.map((method) => frame({ method })).join('');
const echoed = (...methods: string[]) => methods.map((method) => frame({ parameters: { method } })).join('');

function serve(dispatch: Dispatch) {
  const closedDescriptors: number[] = [];
  const failures: unknown[] = [];
  const server = new VarlinkServer({
    dispatch,
    closeDescriptor: (fd) => void closedDescriptors.push(fd),
    failed: (_call, error) => void failures.push(error),
  });
  const connect = (peer = someUser) => {
    const stream = new FakeStream(peer);
    server.accept(stream);
    return stream;
  };
  return { server, closedDescriptors, failures, connect };
}

/** A promise and what settles it, for handlers that wait. */
function gate() {
  let open: (outcome: Outcome) => void = () => undefined;
  let fail: (error: Error) => void = () => undefined;
  const outcome = new Promise<Outcome>((resolve, reject) => {
    open = resolve;
    fail = reject;
  });
  return { outcome, open, fail };
}

/** A stream of events that tells whether it was let go of. */
function eventSource() {
  let wake: (() => void) | undefined;
  const waiting: object[] = [];
  const source = {
    started: 0,
    returned: 0,
    emit(event: object) {
      waiting.push(event);
      wake?.();
    },
    events: {
      [Symbol.asyncIterator]() {
        source.started++;
        let over = false;
        return {
          async next(): Promise<IteratorResult<object>> {
            while (waiting.length === 0 && !over) await new Promise<void>((resolve) => (wake = resolve));
            const value = waiting.shift();
            return over || value === undefined ? { done: true, value: undefined } : { done: false, value };
          },
          async return(): Promise<IteratorResult<object>> {
            source.returned++;
            over = true;
            wake?.();
            return { done: true, value: undefined };
          },
        };
      },
    },
  };
  return source;
}

test('calls that come together are answered in their order, at once and in one write', () => {
  const { connect } = serve(echo);
  const stream = connect();
  stream.send(named('a', 'b', 'c'));
  assert.equal(stream.takeText(), echoed('a', 'b', 'c'));
});

test('a call may come byte by byte', () => {
  const { connect } = serve(echo);
  const stream = connect();
  for (const byte of Buffer.from(named('a', 'b'))) stream.send(Uint8Array.of(byte));
  assert.equal(stream.takeText(), echoed('a', 'b'));
});

test('a call that has to wait holds up those behind it, and no other connection', async () => {
  const slow = gate();
  const { connect } = serve((call, peer) => (call.method === 'slow' ? slow.outcome : echo(call, peer)));
  const [one, other] = [connect(), connect()];
  one.send(named('a', 'slow', 'b'));
  other.send(named('c'));
  await turn();
  assert.equal(one.takeText(), echoed('a'));
  assert.equal(other.takeText(), echoed('c'));
  slow.open({ kind: 'reply', parameters: { method: 'slow' } });
  await turn();
  assert.equal(one.takeText(), echoed('slow', 'b'));
});

test('a oneway call gets no reply, not even an error, and the next one does', async () => {
  const { connect, failures } = serve(async (call) => {
    if (call.method === 'throws') throw new Error('bug');
    if (call.method === 'refused') return { kind: 'error', error: 'test.Refused', parameters: {} };
    return { kind: 'reply', parameters: { method: call.method } };
  });
  const stream = connect();
  for (const method of ['fine', 'refused', 'throws']) stream.send(frame({ method, oneway: true }));
  stream.send(named('last'));
  await turn();
  await turn();
  assert.equal(stream.takeText(), echoed('last'));
  assert.equal(failures.length, 1);
});

test('an error has its parameters', () => {
  const { connect } = serve(() => ({ kind: 'error', error: 'test.Wrong', parameters: { parameter: 'x' } }));
  const stream = connect();
  stream.send(named('a'));
  assert.equal(stream.takeText(), frame({ error: 'test.Wrong', parameters: { parameter: 'x' } }));
});

for (const [how, dispatch] of [
  ['throws', () => assert.fail('bug')],
  ['rejects', () => Promise.reject(new Error('bug'))],
  ['throws while it lists', () => ({ kind: 'replies', parameters: (function* () { yield {}; throw new Error('bug'); })() })],
] as const satisfies readonly (readonly [string, Dispatch])[]) {
  test(`a handler that ${how} is reported, answered with an error, and the connection goes on`, async () => {
    const { connect, failures } = serve((call, peer) => (call.method === 'bug' ? dispatch() : echo(call, peer)));
    const stream = connect();
    stream.send(named('bug', 'a'));
    await turn();
    assert.equal(failures.length, 1);
    const system = { error: 'io.systemd.System', parameters: { origin: 'linux', errno: 5, errnoName: 'EIO' } };
    assert.ok(stream.takeText().endsWith(frame(system) + echoed('a')));
    assert.equal(stream.state, 'open');
  });
}

test('many replies: all but the last continue', async () => {
  const { connect } = serve(() => ({ kind: 'replies', parameters: [{ n: 1 }, { n: 2 }, { n: 3 }] }));
  const stream = connect();
  stream.send(frame({ method: 'a', more: true }));
  await turn();
  const expected = frame({ parameters: { n: 1 }, continues: true }) + frame({ parameters: { n: 2 }, continues: true });
  assert.equal(stream.takeText(), expected + frame({ parameters: { n: 3 } }));
});

test('replies that cannot all be made end in an error, after those that were made', async () => {
  const items = async function* () {
    yield { n: 1 };
    yield { n: 2 };
    throw new Error('expected');
  };
  const failure = (error: unknown) => ({ kind: 'error', error: 'x.Failed', parameters: { why: (error as Error).message } }) as const;
  const { connect, failures } = serve(() => ({ kind: 'replies', parameters: items(), failure }));
  const stream = connect();
  stream.send(frame({ method: 'a', more: true }));
  for (let count = 0; count < 20; count++) await turn();
  assert.equal(
    stream.takeText(),
    frame({ parameters: { n: 1 }, continues: true }) + frame({ parameters: { n: 2 }, continues: true }) +
      frame({ error: 'x.Failed', parameters: { why: 'expected' } }),
  );
  assert.deepEqual(failures, []);
});

test('replies that are made one after the other go out as they come, the last of them when it is known to be it', async () => {
  const source = eventSource();
  const { connect } = serve((call, peer) => (call.method === 'a' ? { kind: 'replies', parameters: source.events } : echo(call, peer)));
  const stream = connect();
  stream.send(frame({ method: 'a', more: true }) + named('b'));
  source.emit({ n: 1 });
  await turn();
  assert.equal(stream.takeText(), '');
  source.emit({ n: 2 });
  await turn();
  assert.equal(stream.takeText(), frame({ parameters: { n: 1 }, continues: true }));
  stream.hangUp();
  await turn();
  await turn();
  assert.equal(source.returned, 1, 'whoever makes the replies is told that nobody wants them');
});

test('who lists waits for a client that does not read', async () => {
  let made = 0;
  const padding = 'x'.repeat(1000);
  const { connect } = serve(() => ({
    kind: 'replies',
    parameters: (function* () {
      for (; made < 5000; made++) yield { padding };
    })(),
  }));
  const stream = connect();
  stream.setReading(false);
  stream.send(frame({ method: 'a', more: true }));
  await turn();
  assert.ok(made > 0 && made < 1500, `${made} replies were made ahead`);
  let total = stream.takeText().length;
  for (let round = 0; made < 5000 && round < 100; round++) {
    stream.setReading(true);
    stream.setReading(false);
    await turn();
    assert.ok(stream.waiting < 2 << 20);
    total += stream.takeText().length;
  }
  stream.setReading(true);
  await turn();
  total += stream.takeText().length;
  assert.equal(made, 5000);
  assert.ok(total > 5000 * padding.length);
});

test('a listing ends when its client hangs up while it is waited for', async () => {
  let finished = false;
  const { server, connect } = serve(() => ({
    kind: 'replies',
    parameters: (function* () {
      try {
        for (;;) yield { padding: 'x'.repeat(10_000) };
      } finally {
        finished = true;
      }
    })(),
  }));
  const stream = connect();
  stream.setReading(false);
  stream.send(frame({ method: 'a', more: true }));
  await turn();
  assert.equal(finished, false);
  stream.hangUp();
  await turn();
  await turn();
  assert.equal(finished, true);
  assert.equal(server.connections, 0);
});

test('a stream of events goes on until the client hangs up, and is let go of then', async () => {
  const source = eventSource();
  const { server, connect } = serve(() => ({ kind: 'stream', parameters: source.events }));
  const stream = connect();
  stream.send(frame({ method: 'a', more: true }));
  for (const n of [1, 2]) {
    source.emit({ n });
    await turn();
    assert.equal(stream.takeText(), frame({ parameters: { n }, continues: true }));
  }
  stream.hangUp();
  await turn();
  await turn();
  assert.deepEqual([source.started, source.returned, server.connections], [1, 1, 0]);
});

/** A subscription that is asked for while an earlier call of its client has no answer yet. */
function subscribedBehindSlow() {
  const source = eventSource();
  const slow = gate();
  const { server, connect } = serve(async (call) => {
    if (call.method === 'slow') return slow.outcome;
    return { kind: 'stream', parameters: source.events };
  });
  const stream = connect();
  stream.send(named('slow') + frame({ method: 'a', more: true }));
  return { source, slow, server, stream };
}

test('a half-closed client gets events until it hangs up', async () => {
  for (const order of ['before', 'after'] as const) {
    const { source, slow, server, stream } = subscribedBehindSlow();
    if (order === 'before') stream.endInput();
    slow.open(ok);
    await turn();
    if (order === 'after') stream.endInput();
    await turn();
    stream.takeText();
    source.emit({ n: 1 });
    await turn();
    assert.equal(stream.takeText(), frame({ parameters: { n: 1 }, continues: true }), order);
    stream.hangUp();
    await turn();
    await turn();
    assert.deepEqual([source.started, source.returned, server.connections], [1, 1, 0], order);
  }
});

test('a client that sends what is no message gets no events: nobody would notice when it has gone', async () => {
  for (const order of ['before', 'after'] as const) {
    const { source, slow, server, stream } = subscribedBehindSlow();
    if (order === 'before') stream.send('garbage\0');
    slow.open(ok);
    await turn();
    if (order === 'after') stream.send('garbage\0');
    await turn();
    assert.equal(server.connections, 0, order);
    assert.equal(source.started, source.returned, order);
  }
});

test('events that turn up for a connection that is over are let go of', async () => {
  const source = eventSource();
  const slow = gate();
  const { connect } = serve(() => slow.outcome);
  const stream = connect();
  stream.send(frame({ method: 'a', more: true }));
  stream.hangUp();
  await turn();
  await turn();
  slow.open({ kind: 'stream', parameters: source.events });
  await turn();
  assert.equal(source.started, source.returned);
});

test('a client that goes on calling behind a stream of events is disconnected', async () => {
  for (const flood of [named('b').repeat(2000), frame({ method: 'b', parameters: { x: 'x'.repeat(2 << 20) } })]) {
    const source = eventSource();
    const { server, connect } = serve(() => ({ kind: 'stream', parameters: source.events }));
    const stream = connect();
    stream.send(frame({ method: 'a', more: true }));
    await turn();
    stream.send(flood);
    await turn();
    assert.deepEqual([server.connections, source.returned, stream.state], [0, 1, 'closed']);
  }
});

test('a client that calls far ahead is held back, and goes on when it has its answers', async () => {
  const slow = gate();
  const { connect } = serve((call, peer) => (call.method === 'slow' ? slow.outcome : echo(call, peer)));
  const stream = connect();
  stream.send(named('slow') + named('b').repeat(1025));
  stream.send(named('b'));
  assert.equal(stream.paused, true);
  stream.send(named('last'));
  slow.open(ok);
  await turn();
  await turn();
  assert.equal(stream.paused, false);
  const answers = stream.takeText().split('\0');
  assert.equal(answers.length - 1, 1 + 1026 + 1);
  assert.equal(`${answers.at(-2)}\0`, echoed('last'));
});

test('few but long calls hold a client back, too', async () => {
  const slow = gate();
  const { connect } = serve((call, peer) => (call.method === 'slow' ? slow.outcome : echo(call, peer)));
  const stream = connect();
  stream.send(named('slow'));
  stream.send(frame({ method: 'b', parameters: { x: 'x'.repeat(2 << 20) } }));
  assert.equal(stream.paused, true);
  slow.open(ok);
  await turn();
  assert.equal(stream.paused, false);
});

for (const [what, garbage] of [
  ['not JSON', 'hello\0'],
  ['no object', '[]\0'],
  ['no method', '{}\0'],
  ['an unknown field', '{"method":"a","frob":1}\0'],
  ['flags that contradict each other', '{"method":"a","more":true,"oneway":true}\0'],
  ['no UTF-8', Buffer.from([0x22, 0xff, 0])],
  ['an empty frame', '\0'],
] as const) {
  test(`${what}: what came before is answered, then the connection ends without another word`, async () => {
    const slow = gate();
    const methods: string[] = [];
    const { server, connect } = serve((call, peer) => {
      methods.push(call.method);
      return call.method === 'slow' ? slow.outcome : echo(call, peer);
    });
    const stream = connect();
    stream.send(Buffer.concat([Buffer.from(named('a', 'slow', 'b')), Buffer.from(garbage), Buffer.from(named('never'))]));
    await turn();
    assert.equal(stream.takeText(), echoed('a'));
    slow.open(ok);
    await turn();
    assert.equal(stream.takeText(), frame({}) + echoed('b'));
    assert.equal(stream.state, 'ended');
    assert.equal(server.connections, 0);
    assert.deepEqual(methods, ['a', 'slow', 'b']);
  });
}

test('a message of more than 16 MiB ends the connection, one of 16 MiB does not', () => {
  const { connect } = serve(() => ok);
  const around = frame({ method: 'a', parameters: { x: '' } }).length - 1;
  const call = (length: number) => frame({ method: 'a', parameters: { x: 'x'.repeat(length - around) } });
  const limit = 16 << 20;
  const stream = connect();
  stream.send(call(limit));
  assert.equal(stream.state, 'open');
  assert.equal(stream.takeText(), frame({}));
  stream.send(call(limit + 1));
  assert.equal(stream.state, 'ended');
  assert.equal(stream.takeText(), '');
  const endless = connect();
  endless.send('x'.repeat(limit + 1));
  assert.equal(endless.state, 'ended');
});

test('a half-closed client gets its answers, and then the end', async () => {
  const slow = gate();
  const { server, connect } = serve(() => slow.outcome);
  const stream = connect();
  stream.send(named('a'));
  stream.endInput();
  await turn();
  assert.equal(stream.state, 'open');
  slow.open(ok);
  await turn();
  assert.equal(stream.takeText(), frame({}));
  assert.equal(stream.state, 'ended');
  assert.equal(server.connections, 0);
});

test('a client that hangs up gets nothing more done, and its handlers can know', async () => {
  const slow = gate();
  const methods: string[] = [];
  let gone: AbortSignal | undefined;
  const { server, connect } = serve((call, peer) => {
    methods.push(call.method);
    gone = peer.gone;
    return slow.outcome;
  });
  const stream = connect();
  stream.send(named('a', 'b'));
  assert.equal(gone?.aborted, false);
  stream.hangUp(new Error('ECONNRESET'));
  await turn();
  await turn();
  assert.equal(gone?.aborted, true);
  assert.equal(server.connections, 0);
  slow.open(ok);
  await turn();
  assert.deepEqual(methods, ['a']);
  assert.equal(stream.takeText(), '');
});

test('descriptors that a client sends are closed', () => {
  const { connect, closedDescriptors } = serve(echo);
  const stream = connect();
  stream.send(named('a'), [11, 12]);
  stream.send('{"meth', [13]);
  stream.send('garbage\0', [14]);
  assert.deepEqual(closedDescriptors, [11, 12, 13, 14]);
});

test('descriptors of a reply go with its first byte', () => {
  const { connect } = serve((call, peer) => (call.method === 'fd' ? { ...ok, fds: [7] } : echo(call, peer)));
  const stream = connect();
  stream.send(named('a', 'fd', 'b'));
  assert.deepEqual(stream.sentDescriptors, [{ at: echoed('a').length, fds: [7] }]);
  assert.equal(stream.takeText(), echoed('a') + frame({}) + echoed('b'));
});

test('one user cannot have all connections', async () => {
  const { server, connect } = serve(echo);
  const streams = Array.from({ length: 1024 }, () => connect());
  assert.ok(streams.every(({ state }) => state === 'open'));
  assert.equal(connect().state, 'closed');
  const other = { ...someUser, uid: 1001 };
  assert.equal(connect(other).state, 'open');
  streams[0]?.hangUp();
  await turn();
  assert.equal(connect().state, 'open', 'there is room again');
  assert.equal(connect().state, 'closed');
  assert.equal(server.connections, 1025);
});

test('all users together cannot have more than 4096', () => {
  const { server, connect } = serve(echo);
  for (let index = 0; index < 4096; index++) connect({ ...someUser, uid: 1000 + (index % 5) });
  assert.equal(server.connections, 4096);
  assert.equal(connect({ ...someUser, uid: 2000 }).state, 'closed');
});

test('a peer whose process cannot be seen is turned away', () => {
  const { server, connect } = serve(echo);
  assert.equal(connect({ ...someUser, pid: 0 }).state, 'closed');
  assert.equal(server.connections, 0);
});

test('disposing of the server closes all connections, whatever is under way', async () => {
  const source = eventSource();
  const slow = gate();
  const { server, connect } = serve((call) =>
    call.method === 'stream' ? { kind: 'stream', parameters: source.events } : slow.outcome,
  );
  const streams = [connect(), connect(), connect()];
  streams[0]?.send(frame({ method: 'stream', more: true }));
  streams[1]?.send(named('slow'));
  await turn();
  server[Symbol.dispose]();
  assert.deepEqual(streams.map(({ state }) => state), ['closed', 'closed', 'closed']);
  assert.equal(server.connections, 0);
  assert.equal(source.returned, 1);
  slow.open(ok);
  await turn();
  assert.equal(streams[1]?.takeText(), '');
});
