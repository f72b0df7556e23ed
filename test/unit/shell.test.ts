import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { isFailure } from '../../src/domain/failure.js';
import { checkCommand, checkEnvironment, checkShellUser, commandOf, isEnvironment } from '../../src/domain/shell.js';
import { findGroups, findUser } from '../../src/wire/user-files.js';

const isInvalid = (parameter: string) => (error: unknown) => isFailure(error, 'invalid-argument') && error.parameter === parameter;

test('a user is a name or an id, and root if nobody is named', () => {
  assert.equal(checkShellUser(''), 'root');
  for (const user of ['root', 'a.b-c_d', '-x', '0', '1000', '4294967294', 'ünal', 'with blank', '\u00a0', 'x'.repeat(300)]) assert.equal(checkShellUser(user), user);
  for (const user of ['a:b', 'a/b', '..', '4294967295', '65535', '-1', '-', '00', ' a', 'a ', 'a\n', 'a\0b']) {
    assert.throws(() => checkShellUser(user), isInvalid('user'), user);
  }
});

test('a program is an absolute path, and its own first argument if there is none', () => {
  assert.equal(checkCommand('', ['echo']), undefined);
  assert.deepEqual(checkCommand('/bin/echo', []), { program: '/bin/echo', arguments: ['/bin/echo'] });
  assert.deepEqual(checkCommand('/bin/../x', ['a b', '']), { program: '/bin/../x', arguments: ['a b', ''] });
  assert.throws(() => checkCommand('bin/echo', []), isInvalid('path'));
  assert.throws(() => checkCommand('/bin/a\0b', []), isInvalid('path'));
  assert.throws(() => checkCommand('/bin/a', ['a\0b']), isInvalid('args'));
});

test('an environment is KEY=value, each key once', () => {
  const good = ['A=one', '_b2=', 'C==', 'D=two words\nand a line'];
  assert.deepEqual(checkEnvironment(good), good);
  for (const bad of [['A'], ['=1'], ['1A=1'], ['A-B=1'], ['A =1'], ['A=1', 'A=2'], ['A=\0'], ['']]) {
    assert.equal(isEnvironment(bad), false, bad.join());
    assert.throws(() => checkEnvironment(bad), isInvalid('environment'));
  }
});

test('without a program, the login shell is found in the user database', () => {
  const { program, arguments: words } = commandOf({ user: 'root', command: undefined, environment: [] });
  assert.equal(program, '/bin/sh');
  assert.deepEqual([words[0], words[1], words.at(-1)], ['sh', '-c', 'root']);
  assert.ok(!words.join(' ').includes('${'), 'systemd would take it for a variable of its own');
});

test('the login shell is the one of the user database, as a login shell', () => {
  const [, ...words] = commandOf({ user: 'somebody', command: undefined, environment: [] }).arguments;
  const getent = 'getent() { echo "somebody:x:1:1::/:/bin/echo"; }\n';
  const script = words.map((word, index) => (index === 1 ? getent + word : word));
  assert.equal(execFileSync('/bin/sh', script, { encoding: 'utf8' }), '-l\n');
});

test('users and their groups are found in the files of a guest', () => {
  const passwd = 'root:x:0:0:root:/root:/bin/sh\n# comment\nbad:x:no:0::/:/bin/sh\n+::::::\nbob:x:1000:100:Bob:/home/bob:/bin/ash\n';
  const bob = { name: 'bob', uid: 1000, gid: 100, home: '/home/bob', shell: '/bin/ash' };
  assert.deepEqual(findUser(passwd, 'bob'), bob);
  assert.deepEqual(findUser(passwd, '1000'), bob);
  for (const nobody of ['bad', '', '+', 'no', 'bo', '100']) assert.equal(findUser(passwd, nobody), undefined, nobody);
  assert.deepEqual(findGroups('root:x:0:\nwheel:x:10:root,bob\nusers:x:100:bobby\nx:y\ntail:x:7:bob', 'bob'), [10, 7]);
});
