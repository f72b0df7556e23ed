import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ValueError, WireError } from '../../src/wire/dbus/errors.js';
import { MessageReader } from '../../src/wire/dbus/message-reader.js';
import { marshal } from '../../src/wire/dbus/marshal.js';
import { encodeMessage } from '../../src/wire/dbus/message.js';
import type { Message } from '../../src/wire/dbus/message.js';
import {
  isBusName,
  isErrorName,
  isInterfaceName,
  isMemberName,
  isObjectPath,
  isUniqueName,
  isWellKnownName,
} from '../../src/wire/dbus/names.js';
import type { ReceivedMessage } from '../../src/wire/dbus/received.js';
import { variant } from '../../src/wire/dbus/value.js';
import type { Variant } from '../../src/wire/dbus/value.js';
import * as capture from './dbus-capture.js';

const call: Message = {
  messageType: 'call',
  serial: 7,
  destination: 'org.freedesktop.machine1',
  path: '/org/freedesktop/machine1',
  interface: 'org.freedesktop.machine1.Manager',
  member: 'GetMachine',
  signature: 's',
  body: ['container'],
};

function readAll(reader: MessageReader): ReceivedMessage[] {
  const messages: ReceivedMessage[] = [];
  for (let message = reader.next(); message !== undefined; message = reader.next()) messages.push(message);
  return messages;
}

function readOne(bytes: Uint8Array, fds: readonly number[] = []): ReceivedMessage {
  const reader = new MessageReader();
  reader.push(bytes, fds);
  const messages = readAll(reader);
  assert.equal(messages.length, 1);
  return messages[0]!;
}

/** The message's fields by name, without those that are not there. */
function describe(message: ReceivedMessage): Record<string, unknown> {
  const names = [
    'messageType', 'serial', 'replySerial', 'path', 'interface', 'member', 'errorName', 'destination', 'sender',
    'signature', 'noReply', 'noAutoStart', 'allowInteractive',
  ];
  const fields = names.map((name) => [name, (message as unknown as Record<string, unknown>)[name]] as const);
  const present = fields.filter(([, value]) => value !== undefined && value !== false && value !== '');
  return { ...Object.fromEntries(present), body: message.body() };
}

test('reads what sd-bus sends', () => {
  assert.deepEqual(describe(readOne(Buffer.from(capture.ownerCall, 'hex'))), {
    messageType: 'call',
    serial: 2,
    path: '/org/freedesktop/DBus',
    interface: 'org.freedesktop.DBus',
    member: 'GetNameOwner',
    destination: 'org.freedesktop.DBus',
    signature: 's',
    allowInteractive: true,
    body: ['no.such.name'],
  });
});

test('reads what dbus-daemon sends', () => {
  assert.deepEqual(describe(readOne(Buffer.from(capture.ownerError, 'hex'))), {
    messageType: 'error',
    serial: 3,
    replySerial: 2,
    errorName: 'org.freedesktop.DBus.Error.NameHasNoOwner',
    destination: ':1.0',
    sender: 'org.freedesktop.DBus',
    signature: 's',
    noReply: true,
    body: ["Could not get owner of name 'no.such.name': no such name"],
  });
  assert.deepEqual(readOne(Buffer.from(capture.getAllReply, 'hex')).body(), [
    new Map([
      ['Features', variant('as', ['ActivatableServicesChanged', 'HeaderFiltering'])],
      ['Interfaces', variant('as', ['org.freedesktop.DBus.Monitoring', 'org.freedesktop.DBus.Debug.Stats'])],
    ]),
  ]);
});

test('writes what sd-bus writes, but for the order of the header fields', () => {
  const hello: Message = {
    messageType: 'call',
    serial: 1,
    destination: 'org.freedesktop.DBus',
    path: '/org/freedesktop/DBus',
    interface: 'org.freedesktop.DBus',
    member: 'Hello',
  };
  const captured = Buffer.from(capture.helloCall, 'hex');
  const { bytes } = encodeMessage(hello);
  assert.deepEqual(bytes.subarray(0, 40), captured.subarray(0, 40));
  assert.equal(bytes.length, captured.length);
  assert.deepEqual(describe(readOne(bytes)), describe(readOne(captured)));
});

test('every type of message survives the way there and back, in both byte orders', () => {
  const messages: readonly Message[] = [
    call,
    { messageType: 'call', serial: 0xffffffff, path: '/', member: 'M', noReply: true, allowInteractive: true },
    { messageType: 'call', serial: 1, path: '/', member: 'M', noAutoStart: true },
    { messageType: 'return', serial: 1, replySerial: 0xffffffff, destination: ':1.5', sender: ':1.6' },
    { messageType: 'error', serial: 1, replySerial: 2, errorName: 'a.b', signature: 'sa{sv}', body: ['x', new Map()] },
    { messageType: 'signal', serial: 1, path: '/a', interface: 'a.b', member: 'C', signature: 'x', body: [1n] },
  ];
  for (const message of messages) {
    for (const littleEndian of [true, false]) {
      const read = describe(readOne(encodeMessage(message, littleEndian).bytes));
      assert.deepEqual(read, { body: [], ...message });
    }
  }
});

test('an encoded message is not overwritten by the next one', () => {
  const first = encodeMessage(call).bytes;
  const copy = Buffer.from(first);
  encodeMessage({ ...call, serial: 8, body: ['another one'] });
  assert.deepEqual(first, copy);
});

test('encoding works on after a failure, and after a huge message', () => {
  const before = encodeMessage(call).bytes;
  const wrong = ['x', { signature: 'v', value: 1 }];
  assert.throws(() => encodeMessage({ ...call, signature: 'sv', body: wrong }), ValueError);
  assert.deepEqual(encodeMessage(call).bytes, before);
  encodeMessage({ ...call, signature: 'v', body: [nest(64)] });
  encodeMessage({ ...call, body: ['x'.repeat(3_000_000)] });
  assert.deepEqual(encodeMessage(call).bytes, before);
});

test('refuses to encode what cannot be a message', () => {
  const impossible: readonly Message[] = [
    { ...call, serial: 0 },
    { ...call, serial: 2 ** 32 },
    { ...call, serial: 1.5 },
    { ...call, path: 'a' },
    { ...call, path: '/org/freedesktop/DBus/Local' },
    { ...call, interface: 'org.freedesktop.DBus.Local' },
    { ...call, interface: 'a' },
    { ...call, member: 'a.b' },
    { ...call, destination: 'a' },
    { ...call, sender: ':1' },
    { ...call, signature: 'u' },
    { ...call, signature: undefined },
    { ...call, body: [] },
    { messageType: 'return', serial: 1, replySerial: 0 },
    { messageType: 'error', serial: 1, replySerial: 1, errorName: 'x' },
    { ...call, signature: 'ayayay', body: [1, 2, 3].map(() => new Uint8Array(60 * 1024 * 1024)) },
  ];
  for (const message of impossible) assert.throws(() => encodeMessage(message), ValueError);
});

test('names are what the specification says', () => {
  const longest = (start: string): string => start + 'x'.repeat(255 - start.length);
  const cases: readonly (readonly [(text: string) => boolean, readonly string[], readonly string[]])[] = [
    [isInterfaceName, ['a.b', 'A_1._b', longest('a.')], ['', 'a', '.a', 'a.', 'a..b', 'a.1', `${longest('a.')}x`]],
    [isInterfaceName, [], ['a-b.c', 'a.b\n', 'é.b', 'a. b']],
    [isErrorName, ['a.b'], ['a']],
    [isMemberName, ['a', '_1', longest('a')], ['', '1', 'a.b', 'a-b', 'a\n', `${longest('a')}x`]],
    [isWellKnownName, ['a.b', 'a-b._c', longest('a.')], ['', 'a', ':1.2', 'a.1', 'a..b', '.a', `${longest('a.')}x`]],
    [isUniqueName, [':1.2', ':a.1-_', longest(':1.')], ['', ':1', '1.2', ':1.', ':.1', ':1..2', `${longest(':1.')}x`]],
    [isBusName, [':1.2', 'a.b'], ['', ':a', 'a']],
    [isObjectPath, ['/', '/a', '/a/_1/B'], ['', 'a', '/a/', '//', '/a//b', '/a-b', '/é', '/\n']],
  ];
  for (const [isValid, good, bad] of cases) {
    for (const name of good) assert.ok(isValid(name), name);
    for (const name of bad) assert.ok(!isValid(name), name);
  }
});

/** A byte in that many variants. */
function nest(levels: number): Variant {
  return levels === 1 ? variant('y', 1) : variant('v', nest(levels - 1));
}

/** A header by hand: [code, signature, value bytes in hexadecimal], aligned. */
function header(
  options: { mark?: string; type?: number; version?: number; serial?: number; body?: number },
  fields: readonly (readonly [number, string, Buffer])[],
): Buffer {
  let list = Buffer.alloc(0);
  for (const [code, signature, value] of fields) {
    const padding = Buffer.alloc(-list.length & 7);
    const type = Buffer.from([code, signature.length, ...Buffer.from(`${signature}\0`)]);
    list = Buffer.concat([list, padding, type, value]);
  }
  const start = Buffer.alloc(16);
  start.write(options.mark ?? 'l');
  start[1] = options.type ?? 1;
  start[3] = options.version ?? 1;
  start.writeUInt32LE(options.body ?? 0, 4);
  start.writeUInt32LE(options.serial ?? 1, 8);
  start.writeUInt32LE(list.length, 12);
  return Buffer.concat([start, list, Buffer.alloc(-list.length & 7), Buffer.alloc(options.body ?? 0)]);
}

function text(value: string): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(value.length);
  return Buffer.concat([length, Buffer.from(`${value}\0`)]);
}

const number = (value: number): Buffer => Buffer.from(Uint32Array.of(value).buffer);
const path = [1, 'o', text('/a')] as const;
const member = [3, 's', text('M')] as const;
const replySerial = [5, 'u', number(1)] as const;

test('a header by hand is understood', () => {
  assert.equal((readOne(header({}, [path, member])) as { member: string }).member, 'M');
});

test('unknown flags and unknown header fields are ignored', () => {
  const bytes = header({}, [path, [200, 'v', Buffer.from([1, 0x79, 0, 5])], member]);
  bytes[2] = 0xf8;
  assert.deepEqual(describe(readOne(bytes)), { messageType: 'call', serial: 1, path: '/a', member: 'M', body: [] });
});

test('an unknown header field may nest as deeply as any value', () => {
  const content = (levels: number): Buffer => marshal('v', [nest(levels)]).bytes;
  // Around the field's variant are an array and a structure; `content` is in the field's variant.
  assert.equal(readOne(header({}, [path, member, [200, 'v', content(61)]])).serial, 1);
  assert.throws(() => readOne(header({}, [path, member, [200, 'v', content(62)]])), /too deeply/);
});

test('refuses malformed headers', () => {
  const malformed: Record<string, Buffer> = {
    'byte order': header({ mark: 'x' }, [path, member]),
    'type 0': header({ type: 0 }, [path, member]),
    version: header({ version: 2 }, [path, member]),
    'serial 0': header({ serial: 0 }, [path, member]),
    'call without path': header({}, [member]),
    'call without member': header({}, [path]),
    'return without serial': header({ type: 2 }, []),
    'error without name': header({ type: 3 }, [replySerial]),
    'error without serial': header({ type: 3 }, [[4, 's', text('a.b')]]),
    'signal without interface': header({ type: 4 }, [path, member]),
    'reply to serial 0': header({ type: 2 }, [[5, 'u', number(0)]]),
    'field 0': header({}, [path, member, [0, 'y', Buffer.from([1])]]),
    'field twice': header({}, [path, member, member]),
    'wrong type of path': header({}, [[1, 's', text('/a')], member]),
    'wrong type of serial': header({ type: 2 }, [[5, 'i', number(1)]]),
    'malformed path': header({}, [[1, 'o', text('/a/')], member]),
    'reserved path': header({}, [[1, 'o', text('/org/freedesktop/DBus/Local')], member]),
    'reserved interface': header({}, [path, [2, 's', text('org.freedesktop.DBus.Local')], member]),
    'malformed interface': header({}, [path, [2, 's', text('a')], member]),
    'malformed member': header({}, [path, [3, 's', text('a.b')]]),
    'malformed sender': header({}, [path, member, [7, 's', text('x')]]),
    'malformed destination': header({}, [path, member, [6, 's', text('x')]]),
    'malformed signature': header({}, [path, member, [8, 'g', Buffer.from([1, 0x61, 0])]]),
    'body without signature': header({ body: 4 }, [path, member]),
    'descriptors that did not come': header({}, [path, member, [9, 'u', number(1)]]),
    'unknown field with no type': header({}, [path, member, [200, '', Buffer.alloc(0)]]),
    'unknown field with half a type': header({}, [path, member, [200, 'a', Buffer.alloc(0)]]),
  };
  for (const [problem, bytes] of Object.entries(malformed)) {
    const reader = new MessageReader();
    reader.push(bytes);
    assert.throws(() => reader.next(), WireError, problem);
  }
});

test('refuses bytes that are not zero in the padding of a header', () => {
  const { bytes } = encodeMessage(call);
  const fieldsEnd = 16 + bytes.readUInt32LE(12);
  assert.notEqual(fieldsEnd % 8, 0);
  bytes[fieldsEnd] = 1;
  const reader = new MessageReader();
  reader.push(bytes);
  assert.throws(() => reader.next(), /Padding/);
});

test('a malformed body spoils its message only', () => {
  const bad = encodeMessage(call).bytes;
  bad[bad.length - 1] = 1;
  const reader = new MessageReader();
  reader.push(Buffer.concat([bad, encodeMessage(call).bytes]));
  const first = reader.next()!;
  assert.throws(() => first.body(), WireError);
  assert.throws(() => first.body(), WireError);
  assert.deepEqual(reader.next()?.body(), ['container']);
});

test('a body is decoded once', () => {
  const message = readOne(encodeMessage(call).bytes);
  assert.equal(message.body(), message.body());
  assert.equal(message.bodyLength, 4 + 'container'.length + 1);
});
