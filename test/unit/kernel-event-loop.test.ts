import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readSync, writeSync } from 'node:fs';
import { test } from 'node:test';
import { EPOLLHUP, EPOLLIN, EPOLLOUT, eventHub } from '../../src/host/kernel/event-loop.js';
import { check, close, pipe } from '../../src/host/kernel/libc.js';
import { SystemError } from '../../src/host/kernel/system-error.js';

function makePipe(): { reader: number; writer: number } {
  const pair = new Int32Array(2);
  check(pipe(pair, 0o2004000), 'pipe2');
  return { reader: pair[0] as number, writer: pair[1] as number };
}

const turns = async (count: number) => {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve));
};

/** Runs a program of its own that has the hub as `hub` and a pipe; returns what became of it. */
function runProgram(body: string) {
  const kernel = new URL('../../src/host/kernel/', import.meta.url);
  const program = `
    import { eventHub } from '${new URL('event-loop.js', kernel).href}';
    import { pipe } from '${new URL('libc.js', kernel).href}';
    import { readSync, writeSync } from 'node:fs';
    const pair = new Int32Array(2); pipe(pair, 0o2004000);
    const hub = eventHub(), byte = Buffer.alloc(1), [reader, writer] = pair;
    ${body}`;
  return spawnSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8', timeout: 20_000 });
}

test('reports readiness while it lasts, and nothing after disposal', async () => {
  const { reader, writer } = makePipe();
  let calls = 0;
  const watch = eventHub().watch(reader, EPOLLIN, (events) => {
    assert.equal(events, EPOLLIN);
    calls++;
  });
  await turns(3);
  assert.equal(calls, 0);
  writeSync(writer, 'x');
  await turns(5);
  assert.ok(calls >= 3, `level-triggered, but called ${calls} times`);
  watch[Symbol.dispose]();
  watch[Symbol.dispose]();
  const before = calls;
  await turns(3);
  assert.equal(calls, before);
  assert.throws(() => watch.modify(EPOLLIN), /no longer watched/);
  close(reader);
  close(writer);
});

test('modify changes the events; with 0 not even HUP is reported', async () => {
  const { reader, writer } = makePipe();
  const seen: number[] = [];
  using watch = eventHub().watch(writer, 0, (events) => seen.push(events));
  await turns(3);
  assert.deepEqual(seen, []);
  watch.modify(EPOLLOUT);
  await turns(2);
  assert.equal(seen[0], EPOLLOUT);
  watch.modify(0);
  seen.length = 0;
  close(reader);
  await turns(3);
  assert.deepEqual(seen, []);
  watch.modify(EPOLLHUP);
  await turns(3);
  assert.ok(seen.length > 0);
  watch[Symbol.dispose]();
  close(writer);
});

test('a mistake is an errno', () => {
  const { reader, writer } = makePipe();
  const code = (expected: string) => (error: unknown) => error instanceof SystemError && error.code === expected;
  {
    using watch = eventHub().watch(reader, EPOLLIN, () => {});
    watch.modify(EPOLLIN);
    assert.throws(() => eventHub().watch(reader, EPOLLIN, () => {}), code('EEXIST'));
  }
  assert.throws(() => eventHub().watch(-1, EPOLLIN, () => {}), code('EBADF'));
  close(reader);
  close(writer);
});

test('a callback may dispose of another watch of the same turn, close its descriptor and reuse the number', async () => {
  const pipes = Array.from({ length: 20 }, makePipe);
  const stale: number[] = [];
  const fresh: number[] = [];
  let swapped = false;
  const watches = pipes.map(({ reader }, index) =>
    eventHub().watch(reader, EPOLLIN, () => {
      if (swapped) return void stale.push(index);
      swapped = true;
      for (const [other, { reader: descriptor, writer }] of pipes.entries()) {
        if (other === index) continue;
        watches[other]?.[Symbol.dispose]();
        close(descriptor);
        close(writer);
      }
      const again = makePipe();
      assert.ok(pipes.some((old) => old.reader === again.reader || old.writer === again.reader));
      pipes.push(again);
      watches.push(eventHub().watch(again.reader, EPOLLIN, () => fresh.push(again.reader)));
      watches[index]?.[Symbol.dispose]();
      close(pipes[index]!.reader);
      close(pipes[index]!.writer);
    }),
  );
  for (const { writer } of pipes) writeSync(writer, 'x');
  await turns(5);
  assert.ok(swapped);
  assert.deepEqual(stale, []);
  assert.deepEqual(fresh, []); // the new pipe has nothing to read
  watches.at(-1)?.[Symbol.dispose]();
  close(pipes.at(-1)!.reader);
  close(pipes.at(-1)!.writer);
});

test('one turn serves a bounded number, and everyone gets a turn', async () => {
  const pipes = Array.from({ length: 200 }, makePipe);
  const served = new Map<number, number>();
  const watches = pipes.map(({ reader }) =>
    eventHub().watch(reader, EPOLLIN, () => served.set(reader, (served.get(reader) ?? 0) + 1)),
  );
  for (const { writer } of pipes) writeSync(writer, 'x');
  await turns(30);
  assert.equal(served.size, 200);
  const counts = [...served.values()];
  assert.ok(Math.max(...counts) - Math.min(...counts) <= 2, 'fair');
  for (const watch of watches) watch[Symbol.dispose]();
  for (const { reader, writer } of pipes) {
    close(reader);
    close(writer);
  }
});

test('promises continue right after a callback', async () => {
  const { reader, writer } = makePipe();
  const order: string[] = [];
  for (let round = 0; round < 3; round++) {
    const arrived = new Promise<void>((resolve) => {
      const watch = eventHub().watch(reader, EPOLLIN, () => {
        readSync(reader, Buffer.alloc(1));
        watch[Symbol.dispose]();
        order.push('callback');
        setImmediate(() => order.push('next turn'));
        resolve();
      });
    });
    writeSync(writer, 'x');
    await arrived;
    order.push('promise');
    await turns(2);
  }
  assert.deepEqual(order.slice(0, 3), ['callback', 'promise', 'next turn']);
  assert.deepEqual(order.slice(6), ['callback', 'promise', 'next turn']);
  close(reader);
  close(writer);
});

test('an exception of a callback is an uncaught exception', () => {
  const { status, stderr } = runProgram(`
    hub.watch(reader, 1, () => { throw new Error('deliberate'); });
    writeSync(writer, byte);`);
  assert.equal(status, 1);
  assert.match(stderr, /Error: deliberate/);
});

test('the process lives as long as something is watched', () => {
  const watched = runProgram(`
    const watch = hub.watch(reader, 1, () => { readSync(reader, byte); watch[Symbol.dispose](); console.log('read'); });
    setTimeout(() => writeSync(writer, byte), 300).unref();
    setTimeout(() => { console.log('too late'); process.exit(2); }, 10000).unref();`);
  assert.deepEqual([watched.status, watched.stdout], [0, 'read\n']);
  const idle = runProgram(`hub.watch(reader, 1, () => {})[Symbol.dispose]();`);
  assert.deepEqual([idle.status, idle.stderr], [0, '']);
});
