import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, fstatSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { isFailure } from '../../src/domain/failure.js';
import { eventHub } from '../../src/host/kernel/event-loop.js';
import { encodeJournalEntry, journalSink, ServiceLog } from '../../src/host/kernel/journal.js';
import { bindAddress, check, close, fileControl, socket } from '../../src/host/kernel/libc.js';
import { Notifier, openNotifier, startWatchdog, takeWatchdogInterval } from '../../src/host/kernel/notify.js';
import { takePassedDescriptors } from '../../src/host/kernel/socket-activation.js';
import { receiveWithDescriptors } from '../../src/host/kernel/socket-message.js';
import { SystemError } from '../../src/host/kernel/system-error.js';
import { encodeUnixAddress } from '../../src/host/kernel/unix-address.js';
import { logTargets } from '../../src/ports/log.js';

const directory = mkdtempSync('/tmp/machined-test-');
after(() => rmSync(directory, { recursive: true }));
let lastPath = 0;
const newPath = () => path.join(directory, `socket${++lastPath}`);
const moduleAt = (name: string) => new URL(`../../src/host/kernel/${name}`, import.meta.url).href;
eventHub(); // its epoll descriptor stays open: it is no leak
const openDescriptors = () => readdirSync('/proc/self/fd').length;
const isInvalid = (error: unknown) => isFailure(error, 'invalid-argument');

/** A datagram socket, as the service manager and the journal have one. */
class DatagramServer implements Disposable {
  readonly path: string;
  readonly #fd = check(socket(1, 2, 0), 'socket');

  constructor(address = newPath()) {
    this.path = address;
    const encoded = encodeUnixAddress(address, 'bind');
    check(bindAddress(this.#fd, encoded, encoded.length), 'bind');
  }

  /** What has come, or undefined. */
  receive(): { text: string; fds: readonly number[] } | undefined {
    const { length, bytes, fds } = receiveWithDescriptors(this.#fd);
    return length < 0 ? undefined : { text: bytes.toString(), fds };
  }

  text(): string | undefined {
    return this.receive()?.text;
  }

  [Symbol.dispose](): void {
    close(this.#fd);
  }
}

test('what the service manager is told', () => {
  using server = new DatagramServer();
  const environment = { NOTIFY_SOCKET: server.path };
  using notifier = openNotifier(environment) as Notifier;
  assert.deepEqual(environment, {});
  notifier.ready();
  notifier.status('17 machines\nREADY=0');
  notifier.watchdog();
  notifier.stopping();
  assert.equal(server.text(), 'READY=1');
  assert.equal(server.text(), 'STATUS=17 machines READY=0');
  assert.equal(server.text(), 'WATCHDOG=1');
  assert.equal(server.text(), 'STOPPING=1');
  notifier.reloading();
  const reloading = /^RELOADING=1\nMONOTONIC_USEC=([0-9]+)$/.exec(server.text() ?? '');
  assert.ok(Math.abs(Number(reloading?.[1]) - Number(process.hrtime.bigint() / 1000n)) < 1_000_000);
  assert.equal(server.text(), undefined);
});

test('an abstract notification socket', () => {
  using server = new DatagramServer(`@machined-test-notify-${process.pid}`);
  using notifier = openNotifier({ NOTIFY_SOCKET: server.path }) as Notifier;
  notifier.ready();
  assert.equal(server.text(), 'READY=1');
});

test('no notification socket, and those that cannot be used', () => {
  assert.equal(openNotifier({}), undefined);
  assert.equal(openNotifier({ NOTIFY_SOCKET: '' }), undefined);
  assert.throws(() => openNotifier({ NOTIFY_SOCKET: 'vsock:2:9999' }), (error) => isFailure(error, 'not-supported'));
  assert.throws(() => openNotifier({ NOTIFY_SOCKET: 'relative' }), isInvalid);
  assert.throws(() => openNotifier({ NOTIFY_SOCKET: '/' }), isInvalid);
  using notifier = openNotifier({ NOTIFY_SOCKET: newPath() }) as Notifier;
  assert.throws(() => notifier.ready(), (error) => error instanceof SystemError && error.code === 'ENOENT');
});

test('descriptors are stored and removed', () => {
  using server = new DatagramServer();
  using notifier = new Notifier(server.path);
  const file = openSync('/dev/null', 'r');
  notifier.storeDescriptor('machine-a', file);
  const message = server.receive();
  assert.equal(message?.text, 'FDSTORE=1\nFDNAME=machine-a');
  assert.equal(message?.fds.length, 1);
  assert.equal(fstatSync(message?.fds[0] as number).rdev, fstatSync(file).rdev);
  notifier.removeDescriptors('machine-a');
  assert.equal(server.text(), 'FDSTOREREMOVE=1\nFDNAME=machine-a');
  for (const name of ['', 'a:b', 'a\nREADY=1', 'ä', 'x'.repeat(256)]) {
    assert.throws(() => notifier.storeDescriptor(name, file), RangeError);
  }
  for (const fd of [file, ...(message?.fds ?? [])]) closeSync(fd);
});

test('a barrier waits until the service manager closes it', async () => {
  using server = new DatagramServer();
  using notifier = new Notifier(server.path);
  const before = openDescriptors();
  let passed = false;
  const barrier = notifier.barrier(10_000).then(() => (passed = true));
  const message = server.receive();
  assert.equal(message?.text, 'BARRIER=1');
  await delay(30);
  assert.equal(passed, false);
  closeSync(message?.fds[0] as number);
  await barrier;
  assert.equal(openDescriptors(), before);

  await assert.rejects(notifier.barrier(20), (error) => error instanceof SystemError && error.code === 'ETIMEDOUT');
  closeSync(server.receive()?.fds[0] as number);
  assert.equal(openDescriptors(), before);
});

test('a barrier that cannot be sent leaves nothing open', async () => {
  using notifier = new Notifier(newPath());
  const before = openDescriptors();
  await assert.rejects(notifier.barrier(1000), (error) => error instanceof SystemError && error.code === 'ENOENT');
  assert.equal(openDescriptors(), before);
});

test('the watchdog', async () => {
  assert.equal(takeWatchdogInterval({}), undefined);
  assert.equal(takeWatchdogInterval({ WATCHDOG_USEC: '3000000', WATCHDOG_PID: '1' }), undefined);
  for (const wrong of ['0', '', '-5', 'soon', '1e3']) assert.throws(() => takeWatchdogInterval({ WATCHDOG_USEC: wrong }), isInvalid);
  const environment = { WATCHDOG_USEC: '20000', WATCHDOG_PID: String(process.pid) };
  const interval = takeWatchdogInterval(environment);
  assert.equal(interval, 20);
  assert.deepEqual(environment, {});
  using server = new DatagramServer();
  using notifier = new Notifier(server.path);
  {
    using watchdog = startWatchdog(notifier, interval, (error) => assert.fail(String(error)));
    await delay(100);
    watchdog[Symbol.dispose]();
  }
  let pings = 0;
  while (server.text() === 'WATCHDOG=1') pings++;
  assert.ok(pings >= 4, `${pings} in five intervals`);
  await delay(30);
  assert.equal(server.text(), undefined);
  const failed = await new Promise<unknown>((resolve) => {
    rmSync(server.path);
    const timer = setTimeout(resolve, 5000, 'nothing was reported');
    const failing = startWatchdog(notifier, 10, (error) => {
      failing[Symbol.dispose]();
      clearTimeout(timer);
      resolve(error);
    });
  });
  assert.ok(failed instanceof SystemError && failed.code === 'ENOENT');
});

/** Runs a program that is started as a service manager starts one: with descriptors 3 and 4, and $variables. */
function runActivated(variables: string, body: string) {
  const program = `
    const { takePassedDescriptors } = await import('${moduleAt('socket-activation.js')}');
    const { fileControl } = await import('${moduleAt('libc.js')}');
    ${body}`;
  return spawnSync('sh', ['-c', `${variables} exec "$0" --input-type=module -e "$1"`, process.execPath, program], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe', openSync('/dev/null', 'r'), openSync('/dev/zero', 'r')],
  });
}

test('passed descriptors', () => {
  // Node sets close-on-exec on what it inherits; that is taken back here, to see who sets it again.
  const report = `
    for (const fd of [3, 4]) fileControl(fd, 2, 0);
    console.log(JSON.stringify(takePassedDescriptors(process.env)), fileControl(3, 1, 0), fileControl(4, 1, 0),
      Object.keys(process.env).filter((name) => name.startsWith('LISTEN_')).length,
      JSON.stringify(takePassedDescriptors(process.env)));`;
  const named = runActivated('LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=varlink:bus LISTEN_PIDFDID=12345', report);
  assert.equal(named.stderr, '');
  assert.equal(named.stdout, '[{"fd":3,"name":"varlink"},{"fd":4,"name":"bus"}] 1 1 0 []\n');
  const unnamed = runActivated('LISTEN_PID=$$ LISTEN_FDS=1', report);
  assert.match(unnamed.stdout, /^\[\{"fd":3,"name":"unknown"\}\] 1 0 0 /);
  const other = runActivated('LISTEN_PID=1 LISTEN_FDS=2', report);
  assert.match(other.stdout, /^\[\] 0 0 0 /);
});

test('variables about descriptors that make no sense', () => {
  const own = { LISTEN_PID: String(process.pid) };
  assert.deepEqual(takePassedDescriptors({ ...own, LISTEN_FDS: '0' }), []);
  assert.deepEqual(takePassedDescriptors({ LISTEN_FDS: '1' }), []);
  for (const count of ['', '-1', '1x', '99999999', '1.5']) {
    assert.throws(() => takePassedDescriptors({ ...own, LISTEN_FDS: count }), isInvalid);
  }
  assert.throws(() => takePassedDescriptors({ ...own, LISTEN_FDS: '2', LISTEN_FDNAMES: 'one' }), isInvalid);
  assert.throws(
    () => takePassedDescriptors({ ...own, LISTEN_FDS: '4000' }),
    (error) => error instanceof SystemError && error.code === 'EBADF',
  );
});

/** What a program that logs writes to its standard error. */
function logged(environment: Record<string, string>, body: string, stderrToFile = false): string {
  const file = path.join(directory, `log${++lastPath}`);
  const output = openSync(file, 'w+');
  const { dev, ino } = fstatSync(output, { bigint: true });
  const program = `
    const { ServiceLog } = await import('${moduleAt('journal.js')}');
    const log = (target, level = 6) => new ServiceLog({ identifier: 'test', level, target, environment: process.env });
    ${body}`;
  const stream = stderrToFile ? { JOURNAL_STREAM: `${dev}:${ino}` } : {};
  const { status } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    env: { ...environment, ...stream },
    stdio: ['ignore', 'inherit', output],
  });
  assert.equal(status, 0, readFileSync(file, 'utf8'));
  closeSync(output);
  return readFileSync(file, 'utf8');
}

test('log lines on standard error', () => {
  assert.equal(logged({}, `log('console').error('two\\nlines'); log('console').debug('no');`), 'two\nlines\n');
  assert.equal(logged({}, `log('console-prefixed', 7).debug('two\\nlines');`), '<7>two\n<7>lines\n');
  assert.equal(logged({}, `log('auto').warning('plain');`), 'plain\n');
  assert.equal(logged({ INVOCATION_ID: 'x' }, `log('auto').warning('by the service manager');`), '<4>by the service manager\n');
  assert.equal(logged({}, `log('null').error('nothing');`), '');
  assert.equal(logged({}, `const l = log('console', 7); l.debug('a'); l.info('b'); l.warning('c'); l.notice('d');`), 'a\nb\nc\nd\n');
  assert.equal(logged({}, `log('console').info('the last words'); process.exit(0);`), 'the last words\n');
  assert.equal(logged({}, `log('console').notice('\\x1b[31mevil\\x07\\ttab');`), '\ufffd[31mevil\ufffd\ttab\n');
  assert.equal(
    logged({}, `const l = log('console', 4); l.info('no'); l.level = 6; l.info('yes'); l.target = 'console-prefixed'; l.info('so');`),
    'yes\n<6>so\n',
  );
});

test('what the journal does not take goes to standard error', () => {
  // An entry larger than a datagram can be, whether or not a journal listens on this host.
  const output = logged({}, `log('journal').error('x'.repeat(50_000_000).slice(0, 5) + ' ' + 'y'.repeat(20_000_000));`);
  assert.ok(output.startsWith('<3>xxxxx yyy'));
  const asStream = logged({}, `log('auto').error('y'.repeat(20_000_000));`, true);
  assert.ok(asStream.startsWith('<3>yyy'));
});

test('targets', () => {
  const log = new ServiceLog({ identifier: 'test', level: 6, target: 'null', environment: {} });
  for (const target of logTargets) {
    log.target = target;
    assert.equal(log.target, target);
  }
});

test("the journal's datagrams", () => {
  using server = new DatagramServer();
  const send = journalSink('machined', server.path);
  send(4, 'one line', { MACHINE: 'fritz' });
  assert.equal(server.text(), 'MESSAGE=one line\nPRIORITY=4\nSYSLOG_IDENTIFIER=machined\nMACHINE=fritz\n');
  const entry = encodeJournalEntry({ MESSAGE: 'ä\nb' });
  assert.deepEqual(entry, Buffer.concat([Buffer.from('MESSAGE\n'), Buffer.from([4, 0, 0, 0, 0, 0, 0, 0]), Buffer.from('ä\nb\n')]));
  for (const name of ['', 'lower', '_TRUSTED', 'A=B', 'A\nB', 'X'.repeat(65)]) {
    assert.throws(() => encodeJournalEntry({ [name]: 'x' }), RangeError);
  }
  // A journal that does not read is not waited for.
  const started = performance.now();
  assert.throws(() => {
    for (;;) send(6, 'again', {});
  }, (error) => error instanceof SystemError && error.code === 'EAGAIN');
  assert.ok(performance.now() - started < 5000);
});

test('the socket is closed on exec', () => {
  const before = new Set(readdirSync('/proc/self/fd'));
  using notifier = new Notifier(newPath());
  const opened = readdirSync('/proc/self/fd').filter((fd) => !before.has(fd));
  assert.ok(notifier instanceof Notifier);
  assert.equal(fileControl(Number(opened[0]), 1, 0) & 1, 1);
});
