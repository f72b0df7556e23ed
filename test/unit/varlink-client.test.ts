// The client's end of a Varlink connection, against a server that is scripted here.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeStream } from '../../src/ports/fakes/stream.js';
import { ClientConnection } from '../../src/transport/varlink/client-connection.js';
import { localErrors, VarlinkError } from '../../src/transport/varlink/varlink-error.js';
import { readReply } from '../../src/wire/varlink/reply.js';
import { arrayOf, enumeration, integer, method, nullable, required, string, structure, varlinkInterface } from '../../src/wire/varlink/schema.js';
import { parseJson, type JsonObject } from '../../src/wire/varlink/json.js';

function setUp() {
  const stream = new FakeStream();
  const closed: number[] = [];
  const connection = new ClientConnection(stream, { closeDescriptor: (fd) => closed.push(fd) });
  const send = (message: object, fds: readonly number[] = []) => stream.send(`${JSON.stringify(message)}\0`, fds);
  const sent = () => stream.takeText().split('\0').filter((text) => text !== '').map((text) => JSON.parse(text) as unknown);
  return { stream, connection, closed, send, sent };
}

const isError = (name: string) => (error: unknown) => error instanceof VarlinkError && error.varlinkName === name;
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

test('calls are sent ahead, and answered in their order', async () => {
  const { connection, send, sent } = setUp();
  const answers = Promise.all([connection.call('a.b.C', { x: 1 }), connection.call('a.b.D')]);
  assert.deepEqual(sent(), [{ method: 'a.b.C', parameters: { x: 1 } }, { method: 'a.b.D' }]);
  assert.equal(connection.pendingCalls, 2);
  send({ parameters: { n: 1 } });
  send({});
  assert.deepEqual(await answers, [{ n: 1 }, {}]);
  assert.equal(connection.pendingCalls, 0);
});

test('an error is an answer like any other', async () => {
  const { connection, send } = setUp();
  const wrong = connection.call('a.b.C');
  const right = connection.call('a.b.C');
  send({ error: 'a.b.NoSuch', parameters: { name: 'x', list: [1] } });
  send({ parameters: { fine: true } });
  await assert.rejects(wrong, (error) => {
    assert.ok(error instanceof VarlinkError);
    assert.deepEqual([error.varlinkName, error.parameters, error.message], ['a.b.NoSuch', { name: 'x', list: [1] }, 'a.b.NoSuch (name: x)']);
    return true;
  });
  assert.deepEqual(await right, { fine: true });
});

test('several replies come as they are taken', async () => {
  const { connection, send, sent } = setUp();
  const replies = connection.callMany('a.b.Many', { y: 2 });
  const first = replies.next();
  assert.deepEqual(sent(), [{ method: 'a.b.Many', parameters: { y: 2 }, more: true }]);
  send({ parameters: { n: 1 }, continues: true });
  send({ parameters: { n: 2 }, continues: true });
  send({ parameters: { n: 3 } });
  assert.deepEqual((await first).value?.parameters, { n: 1 });
  const rest: JsonObject[] = [];
  for await (const { parameters } of replies) rest.push(parameters);
  assert.deepEqual(rest, [{ n: 2 }, { n: 3 }]);
});

test('a server that sends faster than its replies are taken is made to wait', async () => {
  const { connection, stream, send } = setUp();
  const replies = connection.callMany('a.b.Many');
  const first = replies.next();
  const text = 'x'.repeat(300_000);
  for (let round = 0; round < 5; round++) send({ parameters: { text }, continues: true });
  await first;
  assert.equal(stream.paused, true);
  for (let round = 0; round < 4; round++) await replies.next();
  assert.equal(stream.paused, false);
  await replies.return();
  // nobody wants them any more: they are dropped as they come
  for (let round = 0; round < 20; round++) send({ parameters: { text }, continues: true });
  assert.equal(stream.paused, false);
  assert.equal(connection.isObstructed, true);
  send({});
  assert.equal(connection.isObstructed, false);
});

test('descriptors are for who asked for them, and closed otherwise', async () => {
  const { connection, closed, send } = setUp();
  const wanted = connection.callForDescriptors('a.b.Open');
  const unwanted = connection.call('a.b.Open');
  const refused = connection.callForDescriptors('a.b.Open');
  send({}, [7, 8]);
  send({}, [9]);
  send({ error: 'a.b.No' }, [10]);
  assert.deepEqual((await wanted).fds, [7, 8]);
  await unwanted;
  await assert.rejects(refused, isError('a.b.No'));
  assert.deepEqual(closed.sort((one, other) => one - other), [9, 10]);
});

test('descriptors go with the call that they belong to', async () => {
  const { connection, stream, send } = setUp();
  const plain = connection.call('a.b.C');
  const before = Buffer.byteLength('{"method":"a.b.C"}\0');
  const passing = connection.callMany('a.b.Exec', {}, { descriptors: [4, 5] }).next();
  assert.deepEqual(stream.sentDescriptors, [{ at: before, fds: [4, 5] }]);
  send({});
  send({ parameters: { pid: 1 }, continues: true });
  await plain;
  assert.deepEqual((await passing).value?.parameters, { pid: 1 });
});

test('a call that is given up rejects at once; its reply and descriptors are dropped when they come', async () => {
  const { connection, closed, send, sent } = setUp();
  const reason = new Error('enough');
  await assert.rejects(connection.call('a.b.C', {}, { signal: AbortSignal.abort(reason) }), reason);
  assert.deepEqual(sent(), []);
  const stop = new AbortController();
  const given = connection.callForDescriptors('a.b.C', {}, { signal: stop.signal });
  const many = connection.callMany('a.b.D', {}, { signal: stop.signal }).next();
  const next = connection.call('a.b.E');
  stop.abort(reason);
  await assert.rejects(given, reason);
  await assert.rejects(many, reason);
  assert.equal(connection.isObstructed, true);
  send({ parameters: { late: 1 } }, [5]);
  send({ parameters: { late: 2 }, continues: true });
  send({ error: 'a.b.Late' });
  send({ parameters: { n: 1 } });
  assert.deepEqual(await next, { n: 1 });
  assert.deepEqual(closed, [5]);
  assert.equal(connection.isObstructed, false);
});

test('nobody waits for ever', async () => {
  const { connection, send } = setUp();
  await assert.rejects(connection.call('a.b.C', {}, { timeout: 10 }), isError(localErrors.timedOut));
  const replies = connection.callMany('a.b.D', {}, { timeout: 10 });
  await assert.rejects(replies.next(), isError(localErrors.timedOut));

  // nor while replies keep coming
  const { connection: busy, send: keepSending } = setUp();
  const drip = setInterval(() => keepSending({ continues: true }), 1);
  await assert.rejects(async () => {
    for await (const reply of busy.callMany('a.b.D', {}, { timeout: 50 })) assert.ok(reply);
  }, isError(localErrors.timedOut));
  clearInterval(drip);
  send({});
});

test('when the connection breaks, every call says so', async () => {
  for (const breakIt of [(stream: FakeStream) => stream.endInput(), (stream: FakeStream) => stream.hangUp(new Error('cut'))]) {
    const { connection, stream } = setUp();
    const waiting = connection.call('a.b.C');
    const many = connection.callMany('a.b.D').next();
    breakIt(stream);
    await assert.rejects(waiting, isError(localErrors.disconnected));
    await assert.rejects(many, isError(localErrors.disconnected));
    await assert.rejects(connection.call('a.b.E'), isError(localErrors.disconnected));
    assert.ok((await connection.closed) instanceof VarlinkError);
    assert.equal(connection.isOpen, false);
  }
  const { connection, stream } = setUp();
  const waiting = connection.call('a.b.C');
  connection.close();
  await assert.rejects(waiting, isError(localErrors.disconnected));
  assert.equal(await connection.closed, undefined);
  assert.equal(stream.state, 'closed');
});

for (const [what, text] of [
  ['no JSON', 'nonsense'],
  ['no object', '[]'],
  ['an unknown field', '{"reply":{}}'],
  ['a call', '{"method":"a.b.C"}'],
  ['an error that goes on', '{"error":"a.b.C","continues":true}'],
  ['several replies to one call', '{"continues":true}'],
  ['parameters that are none', '{"parameters":5}'],
] as const) {
  test(`a server that sends ${what} is disconnected`, async () => {
    const { connection, stream, closed } = setUp();
    const waiting = connection.call('a.b.C');
    stream.send(`${text}\0`, [3]);
    await assert.rejects(waiting, isError(localErrors.protocol));
    assert.equal(stream.state, 'closed');
    assert.deepEqual(closed, [3]);
  });
}

test('a reply to nothing, a message without end and a flood of descriptors end the connection', async () => {
  const unasked = setUp();
  unasked.send({}, [4]);
  assert.ok(isError(localErrors.protocol)(await unasked.connection.closed));
  assert.deepEqual(unasked.closed, [4]);

  const endless = setUp();
  const waiting = endless.connection.call('a.b.C');
  const chunk = Buffer.alloc(1 << 20, 'x');
  for (let sent = 0; sent < 17 && endless.stream.state === 'open'; sent++) endless.stream.send(chunk);
  await assert.rejects(waiting, isError(localErrors.protocol));

  const flood = setUp();
  const opening = flood.connection.callForDescriptors('a.b.C');
  for (let fd = 0; fd < 300 && flood.stream.state === 'open'; fd++) flood.stream.send('x', [1000 + fd]);
  await assert.rejects(opening, isError(localErrors.protocol));
  assert.deepEqual(flood.closed, Array.from({ length: 254 }, (_, index) => 1000 + index));
});

test('what is told needs no answer', async () => {
  const { connection, sent } = setUp();
  connection.tell('a.b.C', { x: 1 });
  assert.deepEqual(sent(), [{ method: 'a.b.C', parameters: { x: 1 }, oneway: true }]);
  assert.equal(connection.pendingCalls, 0);
  connection.close();
  connection.tell('a.b.C');
  await turn();
  assert.deepEqual(sent(), []);
});

const color = enumeration('Color', 'A color.', { red: '', green: '' });
const part = structure('Part', 'A part.', { size: required(integer()), color: nullable(color) });
const sample = varlinkInterface({
  name: 'org.example.Sample',
  types: [color, part],
  methods: { Get: method({ input: {}, output: { name: required(string), parts: nullable(arrayOf(part)), main: nullable(part) } }) },
  errors: {},
});
const read = (text: string) => readReply(sample, sample.methods.Get, parseJson(text) as JsonObject);

test('a reply is read as it was declared; what a younger server adds is passed over', () => {
  assert.deepEqual(read('{"name":"x","new":{"a":1},"parts":[{"size":1,"color":"red","weight":2}],"main":{"size":3,"more":[]}}'), {
    ok: true, values: { name: 'x', parts: [{ size: 1, color: 'red' }], main: { size: 3 } },
  });
  assert.deepEqual(read('{"name":"x","parts":null,"main":{"size":1,"color":null}}'), { ok: true, values: { name: 'x', main: { size: 1 } } });
});

test('a reply that lacks something, or has something else in its place, names it', () => {
  assert.deepEqual(read('{}'), { ok: false, parameter: 'name' });
  assert.deepEqual(read('{"name":5}'), { ok: false, parameter: 'name' });
  assert.deepEqual(read('{"name":"x","parts":[{"size":1},{}]}'), { ok: false, parameter: 'parts' });
  assert.deepEqual(read('{"name":"x","main":{"size":1,"color":"blue"}}'), { ok: false, parameter: 'main' });
});
