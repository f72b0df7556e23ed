import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { isFailure } from '../../src/domain/failure.js';
import type { Image } from '../../src/domain/image.js';
import type { Progress } from '../../src/domain/operations.js';
import type { ImageChanges, Images } from '../../src/ports/images.js';

export interface ImageChangesSetup extends AsyncDisposable {
  readonly images: Images;
  readonly changes: ImageChanges;
  add(name: string, type: 'directory' | 'raw'): void;
  /** From now on, or until what is returned is disposed of, something runs from the image. */
  use(name: string): Disposable;
}

export async function failsWith(change: Promise<void>, errno: string): Promise<void> {
  await assert.rejects(change, (error) => isFailure(error, 'system') && error.errno === errno);
}

/** What every ImageChanges keeps to. */
export function imageChangesCompliance(name: string, setUp: () => ImageChangesSetup): void {
  suite(`${name} is ImageChanges`, () => {
    const find = ({ images }: ImageChangesSetup, wanted: string): Image => {
      const image = images.find(wanted);
      assert.ok(image !== undefined, wanted);
      return image;
    };
    const names = async ({ images }: ImageChangesSetup) => (await images.list()).map((image) => image.name);

    for (const type of ['directory', 'raw'] as const) {
      test(`a ${type} is cloned, renamed, protected, and removed`, async () => {
        await using setup = setUp();
        const { changes } = setup;
        setup.add('one', type);
        await changes.clone(find(setup, 'one'), 'two ü', false);
        assert.deepEqual([find(setup, 'two ü').readOnly, find(setup, 'one').readOnly], [false, false]);
        await changes.update(find(setup, 'two ü'), { newName: 'three' });
        assert.deepEqual(await names(setup), ['.host', 'one', 'three']);
        await changes.update(find(setup, 'three'), { readOnly: true });
        await changes.update(find(setup, 'three'), { readOnly: true });
        assert.equal(find(setup, 'three').readOnly, true);
        await changes.update(find(setup, 'three'), { newName: 'four' });
        assert.equal(find(setup, 'four').readOnly, true, 'a new name changes nothing of this');
        await changes.clone(find(setup, 'four'), 'five', false);
        assert.equal(find(setup, 'five').readOnly, false, 'the clone is what was asked for');
        await changes.update(find(setup, 'four'), { readOnly: false });
        await changes.clone(find(setup, 'four'), 'six', true);
        assert.equal(find(setup, 'six').readOnly, true);
        for (const gone of ['one', 'four', 'five', 'six']) await changes.remove(find(setup, gone));
        assert.deepEqual(await names(setup), ['.host']);
      });
    }

    test('a clone tells how far it has come; one that is canceled is not made', async () => {
      await using setup = setUp();
      const { changes } = setup;
      setup.add('one', 'directory');
      const reports: Progress[] = [];
      const report = (progress: Progress) => void reports.push(progress);
      await changes.clone(find(setup, 'one'), 'two', false, { report, canceled: new AbortController().signal });
      await changes.remove(find(setup, 'two'), { report });
      assert.deepEqual(reports.map(({ filesDone }) => filesDone), [1, 1]);
      const canceled = changes.clone(find(setup, 'one'), 'two', false, { report, canceled: AbortSignal.abort() });
      await failsWith(canceled, 'ECANCELED');
      assert.deepEqual(await names(setup), ['.host', 'one']);
    });

    test('the host stays as it is, and nothing else gets its name', async () => {
      await using setup = setUp();
      const { changes } = setup;
      setup.add('one', 'directory');
      const host = find(setup, '.host');
      await failsWith(changes.remove(host), 'EROFS');
      await failsWith(changes.update(host, { newName: 'x' }), 'EROFS');
      await failsWith(changes.update(host, { readOnly: true }), 'EROFS');
      await failsWith(changes.update(host, { limit: 1n }), 'EROFS');
      await failsWith(changes.update(find(setup, 'one'), { newName: '.host' }), 'EBUSY');
      await failsWith(changes.clone(find(setup, 'one'), '.host', false), 'EBUSY');
      assert.deepEqual(await names(setup), ['.host', 'one']);
    });

    test('no image takes the place of another', async () => {
      await using setup = setUp();
      const { changes } = setup;
      setup.add('one', 'directory');
      setup.add('two', 'raw');
      await failsWith(changes.update(find(setup, 'one'), { newName: 'two' }), 'EEXIST');
      await failsWith(changes.update(find(setup, 'one'), { newName: 'one' }), 'EEXIST');
      await failsWith(changes.clone(find(setup, 'one'), 'two', true), 'EEXIST');
      assert.deepEqual(await names(setup), ['.host', 'one', 'two']);
      assert.deepEqual([find(setup, 'one').type, find(setup, 'two').type], ['directory', 'raw']);
    });

    test('several changes are made together, or none of them', async () => {
      await using setup = setUp();
      const { changes } = setup;
      setup.add('one', 'directory');
      setup.add('two', 'raw');
      await failsWith(changes.update(find(setup, 'one'), { newName: 'two', readOnly: true }), 'EEXIST');
      await failsWith(changes.update(find(setup, 'two'), { newName: 'three', readOnly: true, limit: 1n }), 'EOPNOTSUPP');
      assert.deepEqual(await names(setup), ['.host', 'one', 'two']);
      assert.deepEqual([find(setup, 'one').readOnly, find(setup, 'two').readOnly], [false, false]);
      for (const [name, newName] of [['one', 'three'], ['two', 'four']] as const) {
        await changes.update(find(setup, name), { newName, readOnly: true });
        assert.equal(find(setup, newName).readOnly, true);
        await changes.update(find(setup, newName), { newName: name, readOnly: false });
        assert.equal(find(setup, name).readOnly, false);
      }
      await changes.update(find(setup, 'one'), {});
      assert.deepEqual(await names(setup), ['.host', 'one', 'two']);
    });

    test('one that is in use can only be cloned', async () => {
      await using setup = setUp();
      const { changes } = setup;
      setup.add('one', 'directory');
      const one = find(setup, 'one');
      {
        using _use = setup.use('one');
        await failsWith(changes.remove(one), 'EBUSY');
        await failsWith(changes.update(one, { newName: 'x' }), 'EBUSY');
        await failsWith(changes.update(one, { readOnly: true }), 'EBUSY');
        await changes.clone(one, 'two', false);
      }
      await changes.remove(one);
      assert.deepEqual(await names(setup), ['.host', 'two']);
    });

    test('one that has gone cannot be changed', async () => {
      await using setup = setUp();
      const { changes } = setup;
      setup.add('one', 'directory');
      const one = find(setup, 'one');
      await changes.remove(one);
      await failsWith(changes.remove(one), 'ENOENT');
      await failsWith(changes.update(one, { newName: 'two' }), 'ENOENT');
      await failsWith(changes.update(one, { readOnly: true }), 'ENOENT');
      assert.deepEqual(await names(setup), ['.host']);
    });

    test('only subvolumes have limits', async () => {
      await using setup = setUp();
      setup.add('one', 'raw');
      await failsWith(setup.changes.update(find(setup, 'one'), { limit: 1n }), 'EOPNOTSUPP');
    });
  });
}
