// Runs inside a host of the lab, as root: the real polkit, and callers that are really an ordinary user.
import assert from 'node:assert/strict';
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, rmSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { connectSystemBus } from '../../../src/host/bus.js';
import { openPidfd } from '../../../src/host/kernel/pidfd.js';
import { PolkitAuthority } from '../../../src/host/polkit.js';
import type { Caller, Verdict } from '../../../src/ports/authority.js';
import { authorityCompliance, manageMachines, type AuthoritySetup } from '../../compliance/authority.js';

const testUser = Number(execFileSync('id', ['--user', 'testuser'], { encoding: 'utf8' }));
const rules = '/etc/polkit-1/rules.d/00-test.rules';
const request = { action: manageMachines, details: { machine: 'm', verb: 'test' }, interactive: false };

if (process.argv[2] === 'caller') await beCaller();
else runTests();

/** Is on the bus until standard input ends, and says under which name. */
async function beCaller(): Promise<void> {
  using connection = await connectSystemBus();
  process.stdout.write(connection.uniqueName);
  process.stdin.resume();
  await once(process.stdin, 'end');
}

function runTests(): void {
  authorityCompliance('polkit', setUp);

  test('details reach the rules', async () => {
    await using setup = await setUp();
    writeRules(`polkit.addRule(function (action, subject) {
      return action.lookup('machine') === 'm' && action.lookup('verb') === 'test' ? polkit.Result.YES : polkit.Result.NO;
    });`);
    for (const user of setup.users) {
      assert.equal(await setup.authority.check(user, request), 'allowed');
      const another = { ...request, details: { machine: 'other', verb: 'test' } };
      assert.equal(await setup.authority.check(user, another), 'denied');
    }
  });

  test('polkit sees the user', async () => {
    await using setup = await setUp();
    writeRules(`polkit.addRule(function (action, subject) {
      return subject.user === 'testuser' ? polkit.Result.YES : polkit.Result.NO;
    });`);
    for (const user of setup.users) assert.equal(await setup.authority.check(user, request), 'allowed');
  });

  test('an action that polkit does not know is denied', async () => {
    await using setup = await setUp();
    for (const user of setup.users) {
      const unknown = { ...request, action: 'org.freedesktop.machine1.no-such-action' };
      assert.equal(await setup.authority.check(user, unknown), 'denied');
    }
  });

  test('a process that has ended, and a name that is off the bus, are denied', async () => {
    await using setup = await setUp();
    await setup.decide(manageMachines, 'allowed');
    const users = [...setup.users];
    await setup.end();
    for (const user of users) assert.equal(await setup.authority.check(user, request), 'denied');
  });

  test("that polkit cannot be started is the caller's to see", async () => {
    await using setup = await setUp();
    const [user] = setup.users as [Caller];
    run('systemctl', 'mask', '--runtime', '--now', 'polkit.service');
    try {
      const busError = 'org.freedesktop.systemd1.UnitMasked';
      await assert.rejects(setup.authority.check(user, request), { kind: 'system', busError, errno: 'ERFKILL' });
      assert.equal(await setup.authority.check({ ...user, uid: 0 }, request), 'allowed');
    } finally {
      run('systemctl', 'unmask', '--runtime', 'polkit.service');
    }
  });
}

interface RealSetup extends AuthoritySetup {
  /** Ends the callers. */
  end(): Promise<void>;
}

async function setUp(): Promise<RealSetup> {
  writeRules('');
  const connection = await connectSystemBus();
  const onBus = spawnAsUser(process.execPath, fileURLToPath(import.meta.url), 'caller');
  const sleeping = spawnAsUser('sleep', 'infinity');
  const [busName] = (await once(onBus.stdout, 'data')) as [Buffer];
  const pid = sleeping.pid as number;
  const pidfd = openPidfd(pid);
  const decisions = new Map<string, Verdict>();

  const end = async (): Promise<void> => {
    for (const child of [onBus, sleeping]) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
  };
  return {
    authority: new PolkitAuthority(connection),
    users: [
      { uid: testUser, pid: onBus.pid, busName: busName.toString() },
      { uid: testUser, pid, busName: undefined },
      { uid: testUser, pid, busName: undefined, pidfd },
    ],
    decide: async (action, verdict) => {
      decisions.set(action, verdict);
      writeRules(ruleFor(decisions));
    },
    end,
    [Symbol.asyncDispose]: async () => {
      await end();
      closeSync(pidfd);
      connection.close();
      rmSync(rules, { force: true });
    },
  };
}

function spawnAsUser(...command: [string, ...string[]]): ChildProcess & { stdout: NodeJS.ReadableStream } {
  const [program, ...parameters] = command;
  const stdio: ['pipe', 'pipe', 'inherit'] = ['pipe', 'pipe', 'inherit'];
  return spawn(program, parameters, { uid: testUser, gid: testUser, stdio });
}

/** Decisions as polkit(8) has them; what is left out is up to the action's defaults, an administrator's password. */
function ruleFor(decisions: ReadonlyMap<string, Verdict>): string {
  const results = { allowed: 'YES', denied: 'NO', 'interactive-authentication-required': 'NOT_HANDLED' };
  const cases = [...decisions].map(([action, verdict]) => `case '${action}': return polkit.Result.${results[verdict]};`);
  return `polkit.addRule(function (action, subject) { switch (action.id) { ${cases.join('\n')} } });`;
}

/** polkit looks at its rules again some time after they have changed; a fresh one has seen them. */
function writeRules(text: string): void {
  writeFileSync(rules, text, { mode: 0o644 });
  // the first fails if polkit has not run yet; without it, systemd refuses too many starts in a row
  run('sh', '-c', 'systemctl reset-failed polkit.service; systemctl restart polkit.service');
}

function run(program: string, ...parameters: string[]): void {
  execFileSync(program, parameters, { stdio: 'pipe' });
}
