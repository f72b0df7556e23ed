/** Programs that are started without Node's help. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { StartedProgram, type ProcessEnd } from '../../src/host/kernel/child-process.js';
import { SystemError } from '../../src/host/kernel/system-error.js';

function end(script: string): Promise<ProcessEnd> {
  const given = { program: '/bin/sh', words: ['sh', '-c', script, 'sh'], environment: ['A=one'], descriptors: [undefined, undefined, 2] };
  return new Promise((resolve) => void new StartedProgram({ ...given, leadsSession: true, isWaitedFor: true }, resolve));
}

test('a program tells how it has ended, also by a signal without a name', async () => {
  assert.deepEqual(await end('exit 7'), { status: 7, signal: undefined });
  for (const signal of [9, 15, 34, 40, 64]) assert.deepEqual(await end(`kill -${signal} $$`), { status: undefined, signal });
});

test('a program has the descriptors and the variables that it is given, no signal blocked, and the root directory', async () => {
  const look = 'test "$A$B" = one && test "$PWD" = / && test /proc/self/fd/0 -ef /dev/null && test ! -e /proc/self/fd/3 && grep -q "^SigBlk:.0*$" /proc/self/status';
  assert.deepEqual(await end(look), { status: 0, signal: undefined });
});

test('a program that cannot be started is an error', () => {
  const given = { program: '/no/such/program', words: ['x'], environment: [], descriptors: [], leadsSession: false, isWaitedFor: true };
  const start = (other: object) => () => new StartedProgram({ ...given, ...other }, () => assert.fail('it has ended'));
  const failsWith = (code: string) => (error: unknown) => error instanceof SystemError && error.code === code;
  assert.throws(start({}), failsWith('ENOENT'));
  assert.throws(start({ program: '/bin/sh', words: ['sh', 'x'.repeat(200_000)] }), failsWith('E2BIG'));
  assert.throws(start({ program: '/bin/sh', words: ['sh', '-c', 'exit 1\0exit 2'] }), failsWith('EINVAL'));
});

test('a process that waits for nothing else ends as ever, also if a program ends in its last moment', () => {
  const module = new URL('../../src/host/kernel/child-process.js', import.meta.url).href;
  const script = `
    import { StartedProgram } from '${module}';
    const given = { program: '/bin/sh', words: ['sh', '-c', 'exec sleep 30'], environment: ['PATH=/usr/bin:/bin'], descriptors: [undefined], leadsSession: false, isWaitedFor: false };
    const { pid } = new StartedProgram(given, () => undefined);
    process.on('exit', () => {
      process.kill(pid, 'SIGKILL');
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 500);
    });`;
  const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', script], { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
});
