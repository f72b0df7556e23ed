import assert from 'node:assert/strict';
import { closeSync, fstatSync, readdirSync } from 'node:fs';
import { suite, test } from 'node:test';
import { isFailure } from '../../src/domain/failure.js';
import type { ProcessIdentity } from '../../src/domain/machine.js';
import type { Progress } from '../../src/domain/operations.js';
import type { CopyRequest, GuestFiles } from '../../src/ports/guest-files.js';

export interface GuestFilesSetup extends AsyncDisposable {
  readonly files: GuestFiles;
  /** A guest that has a directory /etc. */
  readonly leader: ProcessIdentity;
  /** Ends it. */
  end(): Promise<void>;
  /** A copy that takes so long that it can be cancelled. */
  readonly longCopy: CopyRequest;
  /** Where a copy of a file that is there can go. */
  readonly shortCopy: CopyRequest;
}

/** What every binding of guests' files keeps to. */
export function guestFilesCompliance(name: string, setUp: () => Promise<GuestFilesSetup>, options: { readonly skip?: string | false } = {}): void {
  suite(`${name} are GuestFiles`, { skip: options.skip ?? false }, () => {
    test('a root directory is opened for whoever asks', async () => {
      await using setup = await setUp();
      closeSync(await setup.files.openRoot(setup.leader)); // whatever is kept for the next time is there
      const before = readdirSync('/proc/self/fd').length;
      const opened = [await setup.files.openRoot(setup.leader), await setup.files.openRoot(setup.leader)];
      assert.notEqual(opened[0], opened[1]);
      for (const fd of opened) {
        assert.ok(fstatSync(fd).isDirectory());
        assert.ok(readdirSync(`/proc/self/fd/${fd}`).includes('etc'));
        closeSync(fd);
      }
      assert.equal(readdirSync('/proc/self/fd').length, before);
    });

    test('a copy tells how far it has come', async () => {
      await using setup = await setUp();
      const reports: Progress[] = [];
      const report = (progress: Progress) => void reports.push(progress);
      await setup.files.copy(setup.leader, setup.shortCopy, { report, canceled: new AbortController().signal });
      const { filesDone, filesTotal } = reports.at(-1) ?? {};
      assert.deepEqual([filesDone, filesTotal], [1, 1]);
    });

    test('a copy is done, and too late to be cancelled then', async () => {
      await using setup = await setUp();
      const canceler = new AbortController();
      const copy = setup.files.copy(setup.leader, setup.shortCopy, { report: () => undefined, canceled: canceler.signal });
      assert.equal(await copy, undefined);
      canceler.abort();
      assert.equal(await copy, undefined);
    });

    test('a copy is cancelled, and others are not', async () => {
      await using setup = await setUp();
      const canceler = new AbortController();
      const copy = setup.files.copy(setup.leader, setup.longCopy, { report: () => undefined, canceled: canceler.signal });
      const other = setup.files.copy(setup.leader, setup.shortCopy);
      canceler.abort();
      canceler.abort();
      await assert.rejects(copy, failsWith('ECANCELED'));
      await other;
    });

    test('a mount is taken away again, and nothing else', async () => {
      await using setup = await setUp();
      const { files, leader } = setup;
      await assert.rejects(files.unbind(leader, '/etc'), failsWith('EINVAL'));
      const bind = { source: '/etc', destination: '/etc', readOnly: true, makeDestination: false };
      await files.bind(leader, bind);
      await files.bind(leader, bind);
      await files.unbind(leader, '/etc');
      await files.unbind(leader, '/etc');
      await assert.rejects(files.unbind(leader, '/etc'), failsWith('EINVAL'));
      files.forget(leader);
    });

    test('a leader that has ended has none', async () => {
      await using setup = await setUp();
      const { files, leader } = setup;
      await setup.end();
      await assert.rejects(files.openRoot(leader), failsWith('ESRCH'));
      await assert.rejects(files.copy(leader, setup.shortCopy), failsWith('ESRCH'));
      const bind = { source: '/etc', destination: '/etc', readOnly: true, makeDestination: false };
      await assert.rejects(files.bind(leader, bind), failsWith('ESRCH'));
      await assert.rejects(files.unbind(leader, '/etc'), failsWith('ESRCH'));
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
