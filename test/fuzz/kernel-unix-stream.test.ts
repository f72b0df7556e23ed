import assert from 'node:assert/strict';
import { closeSync, fstatSync, mkdtempSync, openSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { eventHub } from '../../src/host/kernel/event-loop.js';
import { connectUnix, listenUnix } from '../../src/host/kernel/unix-socket.js';
import type { ByteStream } from '../../src/ports/stream.js';

const directory = mkdtempSync('/tmp/machined-test-');
after(() => rmSync(directory, { recursive: true }));
eventHub(); // its epoll descriptor stays open: it is no leak

/** Numbers below `limit` that depend on the seed alone (mulberry32). */
function makeRandom(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
  };
}

async function makePair(address: string): Promise<[ByteStream, ByteStream]> {
  const accepted: ByteStream[] = [];
  using listener = listenUnix(address, {
    mode: 0o600, backlog: 1, refuseDescriptors: false, onConnection: (stream) => accepted.push(stream), onShortage: assert.fail,
  });
  const client = await connectUnix(listener.path);
  while (accepted.length === 0) await turn();
  return [client, accepted[0] as ByteStream];
}

/** The byte at an offset of the endless test pattern. */
const patternAt = (offset: number) => (offset * 31 + (offset >>> 8)) & 0xff;

async function runSeed(seed: number, files: readonly number[], inodes: readonly number[]): Promise<void> {
  const random = makeRandom(seed);
  const [writer, reader] = await makePair(path.join(directory, `s${seed}`));
  const expected: { offset: number; inode: number }[] = [];
  let sent = 0;
  let received = 0;
  let ended = false;
  reader.start({
    data: (bytes, fds) => {
      for (let index = 0; index < bytes.length; index++) {
        if (bytes[index] !== patternAt(received + index)) assert.fail(`seed ${seed}: byte ${received + index} is wrong`);
      }
      for (const fd of fds) {
        const next = expected.shift();
        assert.ok(next !== undefined && next.offset >= received && next.offset < received + bytes.length, 'with its first byte');
        assert.equal(fstatSync(fd).ino, next.inode);
        closeSync(fd);
      }
      received += bytes.length;
      if (random(4) === 0) reader.pause();
    },
    end: () => (ended = true),
    closed: () => {},
  });
  writer.start({ data: () => assert.fail(), end: () => assert.fail(), closed: () => assert.fail() });
  for (let step = 0; step < 300; step++) {
    const length = 1 + random([10, 300, 5000, 200_000][random(4)] as number);
    const bytes = new Uint8Array(length).map((_, index) => patternAt(sent + index));
    const chosen = random(3) === 0 ? Array.from({ length: 1 + random(3) }, () => random(files.length)) : [];
    writer.write(bytes, chosen.map((file) => files[file] as number));
    bytes.fill(0);
    for (const file of chosen) expected.push({ offset: sent, inode: inodes[file] as number });
    sent += length;
    if (random(3) === 0) reader.resume();
    if (random(5) === 0) await turn();
  }
  writer.end();
  while (!ended) {
    reader.resume();
    await turn();
  }
  assert.deepEqual([received, expected.length], [sent, 0]);
  reader.close();
}

test('whatever is written arrives once, in order, with its descriptors', async () => {
  const names = Array.from({ length: 4 }, (_, index) => path.join(directory, `file${index}`));
  for (const name of names) writeFileSync(name, '');
  const files = names.map((name) => openSync(name, 'r'));
  const inodes = files.map((file) => fstatSync(file).ino);
  const before = readdirSync('/proc/self/fd').length;
  for (let seed = 1; seed <= 12; seed++) await runSeed(seed, files, inodes);
  assert.equal(readdirSync('/proc/self/fd').length, before);
  for (const file of files) closeSync(file);
});
