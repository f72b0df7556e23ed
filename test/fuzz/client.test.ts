// The client against servers that say anything: every call ends, in a value of its type or in an error that it may have;
// what is held stays within bounds, and every descriptor is somebody's or closed.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { connect, MachinedError } from '../../src/client/index.js';
import { FakeStream } from '../../src/ports/fakes/stream.js';
import { ClientConnection } from '../../src/transport/varlink/client-connection.js';
import { VarlinkError } from '../../src/transport/varlink/varlink-error.js';

const field = fc.constantFrom('parameters', 'error', 'continues', 'method', 'x');
const value = fc.oneof(
  fc.constantFrom(true, false, null, 0, 'a.b.C', 'io.systemd.Machine.NoSuchMachine', '.', ''),
  fc.record({
    name: fc.oneof(fc.string(), fc.integer()), class: fc.constantFrom('container', 'vm', 'other', 5), leader: fc.oneof(fc.integer(), fc.record({ pid: fc.integer() })),
    addresses: fc.array(fc.record({ family: fc.constantFrom(2, 10, 99), address: fc.array(fc.integer({ min: -1, max: 300 }), { maxLength: 17 }) }), { maxLength: 3 }),
  }, { requiredKeys: [] }),
);
const message = fc.oneof(
  { arbitrary: fc.dictionary(field, value, { maxKeys: 3, noNullPrototype: true }).map((object) => JSON.stringify(object)), weight: 6 },
  { arbitrary: fc.string(), weight: 1 },
  { arbitrary: fc.constantFrom('{}', '{"continues":true}', '{"parameters":{},"continues":true}'), weight: 4 },
);
/** What a server sends at a time, and how many descriptors with it. */
const chunk = fc.tuple(fc.oneof({ arbitrary: message.map((text) => `${text}\0`), weight: 5 }, { arbitrary: message, weight: 1 }), fc.nat({ max: 3 }));

suite('a client, with a server that says anything', () => {
  test('every call ends with the connection, and every descriptor is accounted for', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(chunk, { maxLength: 20 }), fc.array(fc.constantFrom('one', 'open', 'many'), { maxLength: 8 }), async (chunks, calls) => {
        const stream = new FakeStream();
        const returned: number[] = [];
        const connection = new ClientConnection(stream, { closeDescriptor: (fd) => returned.push(fd) });
        const mayFail = (error: unknown): void => assert.ok(error instanceof VarlinkError, String(error));
        const under = calls.map(async (kind) => {
          if (kind === 'one') await connection.call('a.b.C');
          if (kind === 'open') returned.push(...(await connection.callForDescriptors('a.b.C')).fds);
          if (kind === 'many') for await (const reply of connection.callMany('a.b.C')) assert.equal(typeof reply.parameters, 'object');
        });
        let sent = 0;
        for (const [text, count] of chunks) {
          if (stream.state !== 'open') break;
          const fds = Array.from({ length: count }, () => ++sent);
          if (Buffer.byteLength(text) > 0) stream.send(text, fds);
          else sent -= count;
        }
        if (stream.state === 'open') stream.endInput();
        await Promise.all(under.map((call) => call.catch(mayFail)));
        assert.deepEqual(returned.sort((one, other) => one - other), Array.from({ length: sent }, (_, index) => index + 1));
        assert.equal(connection.pendingCalls, 0);
      }),
      { numRuns: 1500, interruptAfterTimeLimit: 20_000 },
    );
  });

  test('the library ends every call in time', { timeout: 100_000 }, async () => {
    const directory = mkdtempSync(path.join(tmpdir(), 'machined-fuzz-'));
    const socket = path.join(directory, 'socket');
    const connections = new Set<Socket>();
    let answer: readonly string[] = [];
    let hangsUp = false;
    const server = createServer((connection) => {
      connections.add(connection);
      connection.on('error', () => undefined);
      connection.on('data', () => {
        for (const text of answer) connection.write(text);
        if (hangsUp) connection.end();
      });
    });
    await new Promise<void>((resolve) => server.listen(socket, resolve));
    const mayFail = (error: unknown): undefined => void assert.ok(error instanceof MachinedError, String(error));
    await fc.assert(
      fc.asyncProperty(fc.array(chunk.map(([text]) => text), { maxLength: 10 }), fc.boolean(), async (texts, ends) => {
        answer = texts;
        hangsUp = ends;
        await using client = await connect({ transport: 'varlink', socket, ownSocket: socket, imageSocket: socket, stateDirectory: directory, timeout: 100 });
        const machine = await client.get('web').catch(mayFail);
        if (machine !== undefined) assert.equal(typeof machine.name, 'string');
        await client.list({ metadata: true }).catch(mayFail);
        await client.addresses('web').catch(mayFail);
        await client.images.list().catch(mayFail);
        await client.copyTo('web', '/a', '/b', { timeout: 100 }).catch(mayFail);
        for (const connection of connections) connection.destroy();
        connections.clear();
      }),
      { numRuns: 60, interruptAfterTimeLimit: 40_000 },
    );
    await new Promise((resolve) => server.close(resolve));
    rmSync(directory, { recursive: true });
  });

  test('an answer without end is cut off', { timeout: 100_000 }, async () => {
    const directory = mkdtempSync(path.join(tmpdir(), 'machined-fuzz-'));
    const socket = path.join(directory, 'socket');
    const reply = `${JSON.stringify({ parameters: { name: 'x'.repeat(1 << 20), class: 'vm' }, continues: true })}\0`;
    let written = 0;
    const server = createServer((connection) => {
      connection.on('error', () => undefined);
      const send = (): void => {
        written++;
      if (!connection.destroyed) connection.write(reply);
      };
      connection.once('data', send);
      connection.on('drain', send);
    });
    await new Promise<void>((resolve) => server.listen(socket, resolve));
    const client = await connect({ transport: 'varlink', socket });
    await assert.rejects(client.list({ timeout: 0 }), (error) => error instanceof MachinedError && error.code === 'protocol');
    assert.ok(written < 200, `${written} MiB were taken`);
    client.close();
    await new Promise((resolve) => server.close(resolve));
    rmSync(directory, { recursive: true });
  });
});
