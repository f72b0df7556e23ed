import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ValueError, WireError } from '../../src/wire/dbus/errors.js';
import { formatMatchRule, matches, parseMatchRule } from '../../src/wire/dbus/match-rule.js';
import type { MatchRule } from '../../src/wire/dbus/match-rule.js';
import { MessageReader } from '../../src/wire/dbus/message-reader.js';
import { encodeMessage } from '../../src/wire/dbus/message.js';
import type { Message } from '../../src/wire/dbus/message.js';
import type { ReceivedMessage } from '../../src/wire/dbus/received.js';

const full: MatchRule = {
  type: 'signal',
  sender: 'org.freedesktop.systemd1',
  interface: 'org.freedesktop.systemd1.Manager',
  member: 'UnitRemoved',
  path: '/org/freedesktop/systemd1',
  destination: ':1.7',
  args: new Map([[2, "it's, well"], [63, '']]),
  argPaths: new Map([[1, '/a/']]),
  arg0namespace: 'org',
};

test('writes a rule', () => {
  assert.equal(formatMatchRule({ type: 'call', member: 'M' }), "type='method_call',member='M'");
  assert.equal(formatMatchRule({ args: new Map([[1, "a'b"]]) }), String.raw`arg1='a'\''b'`);
  assert.equal(formatMatchRule({}), '');
});

test('reads what it writes', () => {
  assert.deepEqual(parseMatchRule(formatMatchRule(full)), full);
  assert.deepEqual(parseMatchRule(formatMatchRule({ pathNamespace: '/a' })), { pathNamespace: '/a' });
});

test('quoting is that of the specification', () => {
  // The four examples of "Match Rules": each pair means the same.
  for (const text of [
    String.raw`arg0=''\''',arg1='\',arg2=',',arg3='\\'`, String.raw`arg0=\',arg1=\,arg2=',',arg3=\\`,
  ]) {
    assert.deepEqual([...parseMatchRule(text).args!.values()], ["'", '\\', ',', '\\\\']);
  }
});

test('refuses malformed rules', () => {
  const malformed = [
    'x', 'type', 'type=', "type='x'", "type='signal", "foo='x'", "path='a'", "interface='a'", "member='a.b'",
    "sender=':1'", "arg64='x'", "arg0='a',arg0='b'", "type='signal',type='signal'", "path='/a',path_namespace='/a'",
    "arg0namespace='.'", "arg0='a',arg0namespace='a'", "arg1='a',arg1path='a'", ',', "type='signal',,",
  ];
  for (const text of malformed) assert.throws(() => parseMatchRule(text), WireError, text);
  assert.throws(() => formatMatchRule({ interface: 'x' }), ValueError);
  assert.throws(() => formatMatchRule({ args: new Map([[64, 'x']]) }), ValueError);
});

function received(message: Message): ReceivedMessage {
  const reader = new MessageReader();
  reader.push(encodeMessage(message).bytes);
  return reader.next()!;
}

const signal: Message = {
  messageType: 'signal',
  serial: 1,
  sender: ':1.5',
  destination: ':1.7',
  path: '/org/freedesktop/systemd1',
  interface: 'org.freedesktop.systemd1.Manager',
  member: 'UnitRemoved',
  signature: 'soas',
  body: ['a.scope', '/a/b', ['x']],
};
const owners = (name: string): string | undefined => (name === 'org.freedesktop.systemd1' ? ':1.5' : undefined);

test('matches what it should, and nothing else', () => {
  const message = received(signal);
  const matching: readonly MatchRule[] = [
    {},
    { type: 'signal', interface: 'org.freedesktop.systemd1.Manager', member: 'UnitRemoved' },
    { sender: ':1.5', destination: ':1.7' },
    { sender: 'org.freedesktop.systemd1' },
    { path: '/org/freedesktop/systemd1' },
    { pathNamespace: '/org/freedesktop/systemd1' },
    { pathNamespace: '/org/freedesktop' },
    { pathNamespace: '/' },
    { args: new Map([[0, 'a.scope']]) },
    { argPaths: new Map([[1, '/a/b']]) },
    { argPaths: new Map([[1, '/a/']]) },
    { argPaths: new Map([[0, 'a.scope']]) },
    { arg0namespace: 'a' },
    { arg0namespace: 'a.scope' },
  ];
  for (const rule of matching) assert.ok(matches(rule, message, owners), formatMatchRule(rule));
  const others: readonly MatchRule[] = [
    { type: 'call' },
    { sender: ':1.6' },
    { sender: 'org.freedesktop.login1' },
    { destination: ':1.8' },
    { interface: 'org.freedesktop.systemd1.Unit' },
    { member: 'UnitNew' },
    { path: '/org/freedesktop' },
    { pathNamespace: '/org/freedesktop/sys' },
    { args: new Map([[0, 'a']]) },
    { args: new Map([[1, '/a/b']]) },
    { args: new Map([[2, 'x']]) },
    { args: new Map([[3, 'x']]) },
    { argPaths: new Map([[1, '/a']]) },
    { argPaths: new Map([[1, '/a/b/']]) },
    { argPaths: new Map([[2, 'x']]) },
    { arg0namespace: 'a.sc' },
    { arg0namespace: 'scope' },
  ];
  for (const rule of others) assert.ok(!matches(rule, message, owners), formatMatchRule(rule));
});

test('an argument that ends with a slash matches paths below it', () => {
  const message = received({ ...signal, body: ['a', '/', []] });
  assert.ok(matches({ argPaths: new Map([[1, '/a/b']]) }, message, owners));
});

test('replies have no path', () => {
  const message = received({ messageType: 'return', serial: 1, replySerial: 1 });
  assert.ok(matches({ type: 'return' }, message, owners));
  assert.ok(!matches({ pathNamespace: '/' }, message, owners));
  assert.ok(!matches({ arg0namespace: 'a' }, message, owners));
});
