import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { Images } from '../../src/ports/images.js';

export interface ImagesSetup extends Disposable {
  readonly images: Images;
  add(name: string, type: 'directory' | 'raw'): void;
  remove(name: string): void;
}

/** What every Images keeps to. */
export function imagesCompliance(name: string, setUp: () => ImagesSetup): void {
  suite(`${name} is Images`, () => {
    test('the host is always there, and cannot be changed', async () => {
      using setup = setUp();
      const [host, ...others] = await setup.images.list();
      assert.deepEqual(others, []);
      assert.deepEqual([host?.name, host?.path, host?.readOnly], ['.host', '/', true]);
      assert.equal(setup.images.find('.host')?.path, '/');
    });

    test('images are listed once, in the order of their names, and are found as they are listed', async () => {
      using setup = setUp();
      const names = ['b', 'a', '.hidden', 'img bad', 'ümlaut', '9', 'Z'];
      for (const one of names) setup.add(one, one === 'a' ? 'raw' : 'directory');
      const listed = await setup.images.list();
      assert.deepEqual(listed.map((image) => image.name), ['.hidden', '.host', '9', 'Z', 'a', 'b', 'img bad', 'ümlaut']);
      for (const image of listed) assert.deepEqual(setup.images.find(image.name), image);
      assert.deepEqual(listed.filter(({ type }) => type === 'raw').map((image) => image.name), ['a']);
      assert.deepEqual(listed.filter(({ readOnly }) => readOnly).map((image) => image.name), ['.hidden', '.host']);
    });

    test('an image that was removed is gone, one that was added is there', async () => {
      using setup = setUp();
      setup.add('one', 'directory');
      await setup.images.list();
      setup.remove('one');
      setup.add('two', 'raw');
      assert.deepEqual((await setup.images.list()).map((image) => image.name), ['.host', 'two']);
      assert.equal(setup.images.find('one'), undefined);
      assert.equal(setup.images.find('two')?.type, 'raw');
    });

    test('what is no name is not found', () => {
      using setup = setUp();
      setup.add('one', 'directory');
      for (const bad of ['', '.', '..', '/', 'one/', './one', 'a/b', '../one', '.#one', 'one\0', 'x'.repeat(300), 'nope', '\ud800']) {
        assert.equal(setup.images.find(bad), undefined, bad);
      }
    });
  });
}
