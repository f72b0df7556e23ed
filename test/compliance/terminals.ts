import assert from 'node:assert/strict';
import { closeSync, readdirSync } from 'node:fs';
import { suite, test } from 'node:test';
import { isFailure } from '../../src/domain/failure.js';
import type { ProcessIdentity } from '../../src/domain/machine.js';
import type { ShellRequest } from '../../src/domain/shell.js';
import type { Terminals } from '../../src/ports/terminals.js';

export interface TerminalsSetup extends AsyncDisposable {
  readonly terminals: Terminals;
  /** A guest with the user root, and the program /bin/echo. */
  readonly leader: ProcessIdentity;
  /** Ends it. */
  end(): Promise<void>;
}

export function shell(request: Partial<ShellRequest> = {}): ShellRequest {
  return { user: 'root', command: { program: '/bin/echo', arguments: ['echo', 'hello'] }, environment: [], ...request };
}

/** What every binding of terminals keeps to. */
export function terminalsCompliance(name: string, setUp: () => Promise<TerminalsSetup>, options: { readonly skip?: string | false } = {}): void {
  suite(`${name} are Terminals`, { skip: options.skip ?? false }, () => {
    test('each is another, and belongs to whoever asked for it', async () => {
      await using setup = await setUp();
      const { terminals, leader } = setup;
      const opened = [await terminals.open(leader), await terminals.open(leader), await terminals.shell(leader, shell())];
      assert.equal(new Set(opened.map(({ fd }) => fd)).size, 3);
      assert.equal(new Set(opened.map(({ path }) => path)).size, 3);
      for (const { fd, path } of opened) {
        assert.match(path, /^\/dev\/pts\/[0-9]+$/);
        closeSync(fd);
      }
    });

    test('a user or program that is not there is an error, and leaves nothing open', async () => {
      await using setup = await setUp();
      const { terminals, leader } = setup;
      closeSync((await terminals.open(leader)).fd); // whatever is kept for the next time is there
      const before = readdirSync('/proc/self/fd').length;
      await assert.rejects(terminals.shell(leader, shell({ user: 'nobody-of-that-name' })), (error) => isFailure(error, 'no-such-user'));
      const command = { program: '/bin/no-such-program', arguments: ['x'] };
      await assert.rejects(terminals.shell(leader, shell({ command })), failsWith('ENOENT'));
      assert.equal(readdirSync('/proc/self/fd').length, before);
    });

    test('a leader that has ended has none', async () => {
      await using setup = await setUp();
      const { terminals, leader } = setup;
      await setup.end();
      await assert.rejects(terminals.open(leader), failsWith('ESRCH'));
      await assert.rejects(terminals.login(leader), failsWith('ESRCH'));
      await assert.rejects(terminals.shell(leader, shell()), failsWith('ESRCH'));
    });
  });
}

function failsWith(errno: string): (error: unknown) => boolean {
  return (error) => {
    assert.ok(isFailure(error, 'system'), String(error));
    assert.equal(error.errno, errno, error.message);
    return true;
  };
}
