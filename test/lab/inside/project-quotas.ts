// Runs as root where file systems have project quotas. Arguments: directories on such file systems.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { suite, test } from 'node:test';
import { isFailure } from '../../../src/domain/failure.js';
import type { Image } from '../../../src/domain/image.js';
import { changeImage } from '../../../src/host/images/change-image.js';
import type { ImageChange, ImageText } from '../../../src/host/images/image-change.js';
import { HostImages } from '../../../src/host/images/host-images.js';
import { ImagePool } from '../../../src/host/pool.js';
import { FakeLog } from '../../support/world.js';

const mebi = 1n << 20n;

const unheard = { expect: () => undefined, count: () => undefined, keepAlive: () => undefined };

class Scene {
  readonly root: string;
  readonly pool: string;
  readonly images: HostImages;

  constructor(fileSystem: string) {
    this.root = mkdtempSync(path.join(fileSystem, 'scene-'));
    this.pool = path.join(this.root, 'pool');
    mkdirSync(this.pool);
    this.images = new HostImages(new FakeLog(), [this.pool]);
  }

  change(change: ImageChange): void {
    const { root, pool } = this;
    const places = { directories: [pool], pool, settings: [path.join(root, 'settings')], locks: path.join(root, 'locks'), instance: 'test.1' };
    changeImage(change, places, unheard);
  }

  update(name: string, update: Partial<{ newName: string; readOnly: boolean; limit: bigint | 'none' }>): void {
    const { limit, ...others } = update;
    const text = limit === undefined ? {} : { limit: limit === 'none' ? null : String(limit) };
    this.change({ kind: 'update', image: this.text(name), ...others, ...text });
  }

  clone(name: string, newName: string): void {
    this.change({ kind: 'clone', image: this.text(name), newName, readOnly: false });
  }

  limitPool(limit: bigint | 'none'): void {
    this.change({ kind: 'limit-pool', limit: limit === 'none' ? null : String(limit) });
  }

  text(name: string): ImageText {
    const { path: file, type } = this.find(name);
    return { name, path: file, type };
  }

  add(name: string, bytes: bigint): Image {
    mkdirSync(path.join(this.pool, name, 'etc'), { recursive: true });
    this.write(`${name}/etc/data`, bytes);
    return this.find(name);
  }

  find(name: string): Image {
    const image = this.images.find(name);
    assert.ok(image !== undefined, name);
    return image;
  }

  /** As root in a container with a user namespace: other roots are exempted from the limits of ext4. */
  write(file: string, bytes: bigint): void {
    const output = ['if=/dev/zero', `of=${path.join(this.pool, file)}`, 'bs=64K', 'iflag=count_bytes', `count=${bytes}`, 'conv=fsync', 'status=none'];
    execFileSync('setpriv', ['--bounding-set=-sys_resource', 'dd', ...output], { stdio: 'pipe' });
  }
}

const isNoSpace = /quota exceeded|No space left/;

function refuses(work: () => void, errno: string, message: RegExp): void {
  assert.throws(work, (error) => isFailure(error, 'system') && error.errno === errno && message.test(error.message));
}

for (const fileSystem of process.argv.slice(2)) {
  suite(fileSystem, () => {
    test('an image has a limit of its own, and what it uses is known', () => {
      const scene = new Scene(fileSystem);
      const image = scene.add('one', mebi);
      scene.add('two', mebi);
      assert.deepEqual([image.usage, image.limit], [undefined, undefined]);
      scene.update('one', { limit: 4n * mebi });
      const { limit, usage = 0n } = scene.find('one');
      assert.equal(limit, 4n * mebi);
      assert.ok(usage >= mebi && usage < 2n * mebi, String(usage));
      assert.equal(scene.find('two').limit, undefined);

      scene.write('one/etc/more', mebi);
      assert.ok((scene.find('one').usage ?? 0n) >= 2n * mebi, 'it is read anew');
      mkdirSync(path.join(scene.pool, 'one/var'));
      assert.throws(() => scene.write('one/var/too-much', 4n * mebi), isNoSpace);
      scene.write('two/enough', 4n * mebi);

      scene.update('one', { newName: 'three', readOnly: true, limit: 8n * mebi });
      assert.deepEqual([scene.find('three').limit, scene.find('three').readOnly], [8n * mebi, true]);
      scene.update('three', { limit: 'none' });
      assert.deepEqual([scene.find('three').limit, scene.find('three').readOnly], [undefined, true]);
      assert.ok((scene.find('three').usage ?? 0n) >= 2n * mebi);
      scene.change({ kind: 'remove', image: scene.text('three') });
    });

    test('a clone has the limit of its source, for itself', () => {
      const scene = new Scene(fileSystem);
      scene.add('one', mebi);
      scene.update('one', { limit: 4n * mebi });
      scene.clone('one', 'two');
      assert.equal(scene.find('two').limit, 4n * mebi);
      scene.write('two/more', 2n * mebi);
      scene.write('one/more', 2n * mebi);
      assert.throws(() => scene.write('two/too-much', 2n * mebi), isNoSpace);
    });

    test('the pool is limited as a whole, or the images in it', () => {
      const scene = new Scene(fileSystem);
      const pool = new ImagePool(scene.pool);
      scene.add('one', mebi);
      assert.deepEqual([pool.usage(), pool.limit()], [undefined, undefined]);
      scene.update('one', { limit: 4n * mebi });
      refuses(() => scene.limitPool(6n * mebi), 'EOPNOTSUPP', /pool\/one has a limit of its own/);
      scene.update('one', { limit: 'none' });
      scene.limitPool(6n * mebi);
      assert.equal(pool.limit(), 6n * mebi);
      assert.ok((pool.usage() ?? 0n) >= mebi);
      assert.equal(scene.find('one').limit, undefined);
      refuses(() => scene.update('one', { limit: 4n * mebi }), 'EOPNOTSUPP', /pool is limited as a whole/);
      scene.clone('one', 'two');
      scene.update('two', { newName: 'three' });
      scene.write('three/more', 2n * mebi);
      assert.throws(() => scene.write('one/too-much', 4n * mebi), isNoSpace);
      refuses(() => scene.clone('three', 'four'), fileSystem.includes('xfs') ? 'ENOSPC' : 'EDQUOT', isNoSpace);
      scene.limitPool('none');
      assert.deepEqual([pool.limit(), scene.find('one').limit], [undefined, undefined]);
      writeFileSync(path.join(scene.pool, 'disk.raw'), '');
      scene.update('one', { newName: 'four', limit: 4n * mebi });
      assert.equal(scene.find('four').limit, 4n * mebi);
    });
  });
}
