import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { Authority, Caller, Verdict } from '../../src/ports/authority.js';

export const manageMachines = 'org.freedesktop.machine1.manage-machines';
const registerMachine = 'org.freedesktop.machine1.register-machine';

export interface AuthoritySetup extends AsyncDisposable {
  readonly authority: Authority;
  /** Callers of an ordinary user, of every kind that there is here: on the bus, by a process. */
  readonly users: readonly Caller[];
  /** Makes this the decision for an action from now on. */
  decide(action: string, verdict: Verdict): Promise<void>;
}

/** What every Authority that decides for ordinary users keeps to. */
export function authorityCompliance(name: string, setUp: () => Promise<AuthoritySetup>): void {
  suite(`${name} is an Authority`, () => {
    test('root is allowed, whatever is decided for users', async () => {
      await using setup = await setUp();
      await setup.decide(manageMachines, 'denied');
      assert.equal(await setup.authority.check(caller(0), request(manageMachines)), 'allowed');
      assert.equal(setup.authority.isPrivileged(0), true);
    });

    test('a caller whom the transport does not know is denied, whatever is decided for users', async () => {
      await using setup = await setUp();
      await setup.decide(manageMachines, 'allowed');
      assert.equal(await setup.authority.check(caller(undefined), request(manageMachines)), 'denied');
      assert.equal(setup.authority.isPrivileged(undefined), false);
    });

    test('a user is not privileged, whatever is decided', async () => {
      await using setup = await setUp();
      await setup.decide(manageMachines, 'allowed');
      for (const { uid } of setup.users) assert.equal(setup.authority.isPrivileged(uid), false);
    });

    test('an undecided action needs authentication', async () => {
      await using setup = await setUp();
      for (const user of setup.users) {
        for (const interactive of [false, true]) {
          const verdict = await setup.authority.check(user, { ...request(manageMachines), interactive });
          assert.equal(verdict, 'interactive-authentication-required');
        }
      }
    });

    test('what is decided for an action is the verdict, and only for that action', async () => {
      await using setup = await setUp();
      await setup.decide(manageMachines, 'allowed');
      await setup.decide(registerMachine, 'denied');
      for (const user of setup.users) {
        for (const interactive of [false, true]) {
          assert.equal(await setup.authority.check(user, { ...request(manageMachines), interactive }), 'allowed');
          assert.equal(await setup.authority.check(user, { ...request(registerMachine), interactive }), 'denied');
        }
      }
    });

    test('a verdict is not remembered', async () => {
      await using setup = await setUp();
      const [user] = setup.users as [Caller];
      for (const verdict of ['allowed', 'denied', 'allowed'] as const) {
        await setup.decide(manageMachines, verdict);
        assert.equal(await setup.authority.check(user, request(manageMachines)), verdict);
      }
    });

    test('many may be asked about at once', async () => {
      await using setup = await setUp();
      await setup.decide(manageMachines, 'allowed');
      const checks = Array.from({ length: 40 }, (_, index) =>
        setup.authority.check(setup.users[index % setup.users.length] as Caller, request(manageMachines)),
      );
      assert.deepEqual([...new Set(await Promise.all(checks))], ['allowed']);
    });
  });
}

function caller(uid: number | undefined): Caller {
  return { uid, pid: process.pid, busName: undefined };
}

function request(action: string) {
  return { action, details: { machine: 'm', verb: 'test' }, interactive: false };
}
