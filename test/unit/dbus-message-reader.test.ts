import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WireError } from '../../src/wire/dbus/errors.js';
import { maximumArrayLength, maximumMessageFds, maximumMessageLength } from '../../src/wire/dbus/limits.js';
import { MessageReader } from '../../src/wire/dbus/message-reader.js';
import { encodeMessage } from '../../src/wire/dbus/message.js';
import type { ReceivedMessage } from '../../src/wire/dbus/received.js';
import * as capture from './dbus-capture.js';

function reply(serial: number, signature: string, body: readonly unknown[]): Buffer {
  return encodeMessage({ messageType: 'return', serial, replySerial: 1, signature, body }).bytes;
}

function readAll(reader: MessageReader): ReceivedMessage[] {
  const messages: ReceivedMessage[] = [];
  for (let message = reader.next(); message !== undefined; message = reader.next()) messages.push(message);
  return messages;
}

test('many messages in one chunk', () => {
  const reader = new MessageReader();
  reader.push(Buffer.from(capture.helloReplyAndSignal, 'hex'));
  const messages = readAll(reader);
  assert.deepEqual(messages.map((message) => message.messageType), ['return', 'signal']);
  assert.deepEqual(messages.map((message) => message.body()), [[':1.0'], [':1.0']]);
});

test('byte by byte, a message comes out with its last byte', () => {
  const reader = new MessageReader();
  const captured = Buffer.from(capture.helloReplyAndSignal, 'hex');
  const bytes = Buffer.concat([captured, reply(3, 'ay', [new Uint8Array(3000)])]);
  const received: (readonly [number, string])[] = [];
  for (const [index, byte] of bytes.entries()) {
    reader.push(Uint8Array.of(byte));
    for (const message of readAll(reader)) received.push([index + 1, message.messageType]);
  }
  assert.deepEqual(received.map(([, type]) => type), ['return', 'signal', 'return']);
  assert.equal(received.at(-1)?.[0], bytes.length);
});

test('chunks are copied: their owner may write over them, and later ones do not disturb earlier messages', () => {
  const reader = new MessageReader();
  const kept: ReceivedMessage[] = [];
  const texts = Array.from({ length: 50 }, (_, index) => `value ${index}`);
  const stream = Buffer.concat(texts.map((text, index) => reply(index + 1, 's', [text])));
  const chunk = Buffer.alloc(37);
  for (let position = 0; position < stream.length; position += chunk.length) {
    const length = stream.copy(chunk, 0, position, position + chunk.length);
    reader.push(chunk.subarray(0, length));
    kept.push(...readAll(reader));
    chunk.fill(0xff);
  }
  assert.deepEqual(kept.map((message) => message.body()[0]), texts);
});

test('a message that would be too long is refused by its first 16 bytes', () => {
  const lengths = [[8, maximumMessageLength], [maximumArrayLength + 1, 0], [0xffffffff, 0xffffffff]] as const;
  for (const [fields, body] of lengths) {
    const start = Buffer.from('6c01000100000000010000000000000000000000', 'hex').subarray(0, 16);
    start.writeUInt32LE(body, 4);
    start.writeUInt32LE(fields, 12);
    const reader = new MessageReader();
    reader.push(start.subarray(0, 15));
    assert.equal(reader.next(), undefined);
    reader.push(start.subarray(15));
    assert.throws(() => reader.next(), /too long/);
  }
});

test('an announced length takes no memory before the bytes come', () => {
  const start = Buffer.from('6c020001000000000100000008000000', 'hex');
  start.writeUInt32LE(100 * 1024 * 1024, 4);
  const before = process.memoryUsage().arrayBuffers;
  const readers = Array.from({ length: 100 }, () => new MessageReader());
  for (const reader of readers) {
    reader.push(start);
    assert.equal(reader.next(), undefined);
    reader.push(start);
    assert.equal(reader.next(), undefined);
  }
  assert.ok(process.memoryUsage().arrayBuffers - before < 10 * 1024 * 1024);
});

test('a long message in small chunks is not copied again and again', () => {
  const bytes = reply(1, 'ay', [new Uint8Array(32 * 1024 * 1024)]);
  const reader = new MessageReader();
  const begun = performance.now();
  let message: ReceivedMessage | undefined;
  for (let position = 0; position < bytes.length; position += 1000) {
    assert.equal(message, undefined);
    reader.push(bytes.subarray(position, position + 1000));
    message = reader.next();
  }
  assert.ok(message !== undefined);
  // 33,000 chunks; copying all that is there for each would be 500 GiB.
  assert.ok(performance.now() - begun < 5000);
});

function callWithFds(fds: readonly number[]): { bytes: Buffer; fds: readonly number[] } {
  return encodeMessage({ messageType: 'call', serial: 1, path: '/', member: 'M', signature: 'ah', body: [fds] });
}

test('descriptors go to the message that claims them', () => {
  const reader = new MessageReader();
  const first = callWithFds([10, 11]);
  const none = callWithFds([]);
  const second = callWithFds([12]);
  reader.push(Buffer.concat([none.bytes, first.bytes, second.bytes]), [10, 11, 12]);
  const messages = readAll(reader);
  assert.deepEqual(messages.map((message) => message.fds), [[], [10, 11], [12]]);
  assert.deepEqual(messages.map((message) => message.body()[0]), [[], [10, 11], [12]]);
  assert.deepEqual(reader.takeUnclaimedFds(), []);
});

test('descriptors that come in the middle of a message belong to it', () => {
  const reader = new MessageReader();
  const { bytes } = callWithFds([10, 11]);
  reader.push(bytes.subarray(0, 5), [10]);
  assert.equal(reader.next(), undefined);
  assert.deepEqual(reader.takeUnclaimedFds(), []);
  reader.push(bytes.subarray(5), [11]);
  assert.deepEqual(reader.next()?.fds, [10, 11]);
});

test('a message without its descriptors is a violation, and those that came are to be closed', () => {
  const reader = new MessageReader();
  reader.push(callWithFds([10, 11]).bytes, [10]);
  assert.throws(() => reader.next(), /file descriptors/);
  assert.deepEqual(reader.takeUnclaimedFds(), [10]);
});

test('descriptors that no message claims are a violation', () => {
  const reader = new MessageReader();
  reader.push(callWithFds([10]).bytes, [10, 11]);
  assert.deepEqual(reader.next()?.fds, [10]);
  assert.throws(() => reader.next(), WireError);
  assert.deepEqual(reader.takeUnclaimedFds(), [11]);
  assert.deepEqual(reader.takeUnclaimedFds(), []);
});

test('descriptors do not pile up while a message comes in small pieces', () => {
  const reader = new MessageReader();
  const { bytes } = callWithFds([10]);
  const many = Array.from({ length: maximumMessageFds }, (_, index) => index);
  reader.push(bytes.subarray(0, 1), many);
  assert.equal(reader.next(), undefined);
  reader.push(bytes.subarray(1, 2), [1000]);
  assert.throws(() => reader.next(), /Too many/);
  assert.equal(reader.takeUnclaimedFds().length, maximumMessageFds + 1);
});

test('messages of unknown types are passed over, and their descriptors are to be closed', () => {
  const reader = new MessageReader();
  const unknown = callWithFds([10]).bytes;
  unknown[1] = 77;
  reader.push(Buffer.concat([unknown, callWithFds([11]).bytes]), [10, 11]);
  assert.deepEqual(readAll(reader).map((message) => message.fds), [[11]]);
  assert.deepEqual(reader.takeUnclaimedFds(), [10]);
});

test('after a violation nothing more is read, and descriptors that still come are to be closed', () => {
  const reader = new MessageReader();
  reader.push(Buffer.alloc(16));
  assert.throws(() => reader.next(), WireError);
  assert.throws(() => reader.next(), WireError);
  assert.throws(() => reader.push(reply(1, 's', ['x']), [5]), WireError);
  assert.deepEqual(reader.takeUnclaimedFds(), [5]);
});

test('at the end, the descriptors of a message that never came are to be closed', () => {
  const reader = new MessageReader();
  reader.push(callWithFds([10]).bytes.subarray(0, 20), [10]);
  assert.equal(reader.next(), undefined);
  reader.end();
  assert.deepEqual(reader.takeUnclaimedFds(), [10]);
  assert.throws(() => reader.next(), /ended/);
});
