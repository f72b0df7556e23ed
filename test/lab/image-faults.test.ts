/** Changes of images that are killed at every step: the old state is there, or the new one, and nothing else. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, suite, test } from 'node:test';
import { addDisk, addProtectedTree, addSubvolume, addTree, killEverywhere, killSettlingEverywhere, type MakeChange, type Scene } from '../support/kill-everywhere.js';

suite('on any file system', () => {
  const cases: readonly [string, (scene: Scene) => void, MakeChange, number][] = [
    ['rename a disk', addDisk, (scene) => ({ kind: 'update', image: scene.image('one', 'raw'), newName: 'two' }), 8],
    ['rename a protected tree', addProtectedTree, (scene) => ({ kind: 'update', image: scene.image('one', 'directory'), newName: 'two' }), 8],
    ['rename and unprotect', addProtectedTree, (scene) => ({ kind: 'update', image: scene.image('one', 'directory'), newName: 'two', readOnly: false }), 8],
    ['rename and protect', addTree, (scene) => ({ kind: 'update', image: scene.image('one', 'directory'), newName: 'two', readOnly: true }), 8],
    ['rename and protect a disk', addDisk, (scene) => ({ kind: 'update', image: scene.image('one', 'raw'), newName: 'two', readOnly: true }), 8],
    ['protect', addTree, (scene) => ({ kind: 'update', image: scene.image('one', 'directory'), readOnly: true }), 3],
    ['remove a disk', addDisk, (scene) => ({ kind: 'remove', image: scene.image('one', 'raw') }), 10],
    ['remove a protected tree', addProtectedTree, (scene) => ({ kind: 'remove', image: scene.image('one', 'directory') }), 10],
    ['clone a disk', addDisk, (scene) => ({ kind: 'clone', image: scene.image('one', 'raw'), newName: 'two', readOnly: true }), 20],
    ['clone a tree', addTree, (scene) => ({ kind: 'clone', image: scene.image('one', 'directory'), newName: 'two', readOnly: true }), 20],
  ];
  for (const [name, prepare, change, leastSteps] of cases) {
    test(name, () => {
      const kills = killEverywhere(prepare, change);
      assert.ok(kills >= leastSteps, `only ${kills} steps were seen`);
    });
  }
});

test('what settles a change is killed, too', () => {
  const kills = killSettlingEverywhere(addDisk, (scene) => ({ kind: 'update', image: scene.image('one', 'raw'), newName: 'two', readOnly: true }));
  assert.ok(kills >= 10, `only ${kills} kills`);
});

suite('on btrfs', () => {
  const root = mkdtempSync(path.join(tmpdir(), 'machined-btrfs-'));
  before(() => {
    const disk = path.join(root, 'disk');
    writeFileSync(disk, '');
    truncateSync(disk, 256 << 20);
    execFileSync('mkfs.btrfs', ['-q', disk]);
    execFileSync('mount', ['-o', 'loop', disk, '--mkdir', `${root}/mounted`]);
    execFileSync('btrfs', ['quota', 'enable', `${root}/mounted`]);
  });
  after(() => {
    execFileSync('umount', [`${root}/mounted`]);
    rmSync(root, { recursive: true });
  });

  const cases: readonly [string, MakeChange, number][] = [
    ['clone a subvolume', (scene) => ({ kind: 'clone', image: scene.image('one', 'subvolume'), newName: 'two', readOnly: true }), 20],
    ['remove a subvolume', (scene) => ({ kind: 'remove', image: scene.image('one', 'subvolume') }), 10],
    [
      'rename, protect and limit a subvolume',
      (scene) => ({ kind: 'update', image: scene.image('one', 'subvolume'), newName: 'two', readOnly: true, limit: '50000000' }),
      10,
    ],
  ];
  for (const [name, change, leastSteps] of cases) {
    test(name, () => {
      const kills = killEverywhere(addSubvolume, change, `${root}/mounted`);
      assert.ok(kills >= leastSteps, `only ${kills} steps were seen`);
    });
  }
});
