import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { suite, test } from 'node:test';
import type { CommandRequest } from '../../src/domain/command.js';
import { isFailure } from '../../src/domain/failure.js';
import type { ProcessIdentity } from '../../src/domain/machine.js';
import type { Commands, CommandStreams } from '../../src/ports/commands.js';

export interface CommandsSetup extends AsyncDisposable {
  readonly commands: Commands;
  /** A guest with the user root, the directory /tmp, and the programs true, false and /bin/wait-for-a-signal. */
  readonly leader: ProcessIdentity;
  /** A program that runs until it gets a signal. */
  readonly waiting: CommandRequest['words'];
  /** Ends the guest. */
  end(): Promise<void>;
}

export const noStreams: CommandStreams = { input: undefined, output: undefined, error: undefined };

export function command(words: CommandRequest['words'], request: Partial<CommandRequest> = {}): CommandRequest {
  return { user: 'root', words, environment: [], workingDirectory: undefined, ...request };
}

export function failsWith(errno: string): (error: unknown) => boolean {
  return (error) => {
    assert.ok(isFailure(error, 'system'), String(error));
    assert.equal(error.errno, errno, error.message);
    return true;
  };
}

/** What every binding of commands keeps to. */
export function commandsCompliance(name: string, setUp: () => Promise<CommandsSetup>, options: { readonly skip?: string | false } = {}): void {
  suite(`${name} are Commands`, { skip: options.skip ?? false }, () => {
    test('a command tells how it has ended', async () => {
      await using setup = await setUp();
      const { commands, leader } = setup;
      const endOf = async (words: CommandRequest['words']) => (await commands.run(leader, command(words), noStreams)).ended;
      assert.deepEqual(await endOf(['true']), { kind: 'exited', status: 0 });
      assert.deepEqual(await endOf(['false']), { kind: 'exited', status: 1 });
    });

    test('a command gets signals, and ends by them', async () => {
      await using setup = await setUp();
      const { commands, leader, waiting } = setup;
      const ends: ((running: Awaited<ReturnType<Commands['run']>>) => void)[] = [
        (running) => running.signal(2), (running) => running.terminate(), (running) => running.kill(),
      ];
      const signals: unknown[] = [];
      for (const end of ends) {
        const running = await commands.run(leader, command(waiting), noStreams);
        assert.ok(running.pid > 1);
        end(running);
        signals.push(await running.ended);
        end(running); // too late, and no error
      }
      assert.deepEqual(signals, [2, 15, 9].map((signal) => ({ kind: 'signaled', signal })));
    });

    test('what is not there is an error, and leaves nothing open', async () => {
      await using setup = await setUp();
      const { commands, leader } = setup;
      await (await commands.run(leader, command(['true'], { workingDirectory: '/tmp' }), noStreams)).ended; // what is kept for the next time is there
      const before = readdirSync('/proc/self/fd').length;
      const refused = (request: CommandRequest) => commands.run(leader, request, noStreams);
      await assert.rejects(refused(command(['true'], { user: 'nobody-of-that-name' })), (error) => isFailure(error, 'no-such-user'));
      await assert.rejects(refused(command(['no-such-program'])), failsWith('ENOENT'));
      await assert.rejects(refused(command(['/no/such/program'])), failsWith('ENOENT'));
      await assert.rejects(refused(command(['true'], { workingDirectory: '/no/such/directory' })), failsWith('ENOENT'));
      assert.equal(readdirSync('/proc/self/fd').length, before);
    });

    test('a guest that has ended runs nothing', async () => {
      await using setup = await setUp();
      const { commands, leader } = setup;
      await setup.end();
      await assert.rejects(commands.run(leader, command(['true']), noStreams), failsWith('ESRCH'));
    });
  });
}
