import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { connectUnix, listenUnix } from '../../src/host/kernel/unix-socket.js';
import type { ByteStream } from '../../src/ports/stream.js';

test('who waits for room is woken when the peer is gone, and what was queued is dropped', { timeout: 10_000 }, async () => {
  const directory = mkdtempSync(path.join(tmpdir(), 'machined-hangup-'));
  let resolveAccepted: (stream: ByteStream) => void = () => undefined;
  const server = new Promise<ByteStream>((resolve) => (resolveAccepted = resolve));
  const listener = listenUnix(path.join(directory, 'socket'), {
    mode: 0o600, backlog: 1, refuseDescriptors: true,
    onConnection: (stream) => resolveAccepted(stream),
    onShortage: (error) => assert.fail(error),
  });
  try {
    const client = await connectUnix(path.join(directory, 'socket'));
    const stream = await server;
    const drained = new Promise<void>((resolve) => {
      stream.start({ data: () => undefined, end: () => undefined, closed: () => resolve(), drained: () => resolve() });
    });
    stream.pause();
    assert.ok(stream.write(new Uint8Array(8 << 20)) > 0, 'more than the kernel takes at once has to wait');
    client.close();
    await drained;
    stream.close();
  } finally {
    listener[Symbol.dispose]();
    rmSync(directory, { recursive: true });
  }
});
