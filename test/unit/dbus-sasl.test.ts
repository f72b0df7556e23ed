import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WireError } from '../../src/wire/dbus/errors.js';
import { SaslClient } from '../../src/wire/dbus/sasl.js';
import type { SaslProgress } from '../../src/wire/dbus/sasl.js';
import * as capture from './dbus-capture.js';

const guid = 'e168983363de596abc7df0b06b016d2d';

function push(client: SaslClient, text: string): SaslProgress {
  return client.push(Buffer.from(text, 'latin1'));
}

test('a whole handshake', () => {
  const client = new SaslClient(1000);
  assert.equal(client.start().toString(), '\0AUTH EXTERNAL 31303030\r\n');
  const authenticated = push(client, `OK ${guid}\r\n`);
  assert.ok(authenticated.state === 'continuing');
  assert.equal(authenticated.send.toString(), 'NEGOTIATE_UNIX_FD\r\n');
  const done = push(client, 'AGREE_UNIX_FD\r\nlater');
  assert.ok(done.state === 'done');
  assert.equal(done.send.toString(), 'BEGIN\r\n');
  assert.equal(done.leftover.toString(), 'later');
  assert.equal(done.serverGuid, guid);
  assert.equal(done.fdsNegotiated, true);
});

test("dbus-daemon's answers, byte by byte", () => {
  const client = new SaslClient(0);
  let sent = '';
  let last: SaslProgress | undefined;
  for (const byte of Buffer.from(capture.serverHandshake, 'hex')) {
    last = client.push(Uint8Array.of(byte));
    assert.ok(last.state !== 'rejected');
    sent += last.send.toString();
  }
  assert.equal(sent, 'DATA\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n');
  assert.ok(last?.state === 'done');
  assert.equal(last.leftover.length, 0);
});

test('a server that passes no descriptors', () => {
  const client = new SaslClient(0);
  push(client, `OK ${guid}\r\n`);
  const done = push(client, 'ERROR not here\r\n');
  assert.ok(done.state === 'done');
  assert.equal(done.fdsNegotiated, false);
});

test('a rejection is an answer', () => {
  for (const answer of ['REJECTED EXTERNAL DBUS_COOKIE_SHA1\r\n', 'REJECTED\r\n', 'ERROR\r\n']) {
    const progress = push(new SaslClient(0), answer);
    assert.equal(progress.state, 'rejected', answer);
  }
});

test('a server that does not speak the protocol', () => {
  for (const answer of [
    `OK ${guid}.\n`, 'OK\r\n', 'OK xyz\r\n', 'HELLO\r\n', '\r\n', 'DATA 00\r\n', 'OK\n', 'O\rK', '\0', 'é', 'AGREE_UNIX_FD\r\n',
  ]) {
    assert.throws(() => push(new SaslClient(0), answer), WireError, JSON.stringify(answer));
  }
  const client = new SaslClient(0);
  push(client, `OK ${guid}\r\n`);
  assert.throws(() => push(client, `OK ${guid}\r\n`), WireError);
});

test('a line has an end', () => {
  const client = new SaslClient(0);
  assert.throws(() => {
    for (let kilobytes = 0; kilobytes < 1024; kilobytes++) push(client, 'x'.repeat(1024));
  }, /endless/);
});

test('nothing can be pushed after the handshake', () => {
  const client = new SaslClient(0);
  push(client, 'REJECTED\r\n');
  assert.throws(() => push(client, `OK ${guid}\r\n`), WireError);
});
