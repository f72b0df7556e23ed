/** Renamings and removals of images that are killed at every step: the old state is there, or the new one, and nothing else. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { addDisk, addProtectedTree, addTree, killEverywhere, type MakeChange, type Scene } from '../support/kill-everywhere.js';

const isRoot = process.geteuid?.() === 0;

suite('killed at every step', { skip: isRoot ? false : 'only root marks directories' }, () => {
  const cases: readonly [string, (scene: Scene) => void, MakeChange, number][] = [
    ['rename a disk', addDisk, (scene) => ({ kind: 'update', image: scene.image('one', 'raw'), newName: 'two' }), 8],
    ['rename a protected tree', addProtectedTree, (scene) => ({ kind: 'update', image: scene.image('one', 'directory'), newName: 'two' }), 8],
    ['rename and unprotect', addProtectedTree, (scene) => ({ kind: 'update', image: scene.image('one', 'directory'), newName: 'two', readOnly: false }), 8],
    ['rename and protect', addTree, (scene) => ({ kind: 'update', image: scene.image('one', 'directory'), newName: 'two', readOnly: true }), 8],
    ['rename and protect a disk', addDisk, (scene) => ({ kind: 'update', image: scene.image('one', 'raw'), newName: 'two', readOnly: true }), 8],
    ['protect', addTree, (scene) => ({ kind: 'update', image: scene.image('one', 'directory'), readOnly: true }), 3],
    ['remove a disk', addDisk, (scene) => ({ kind: 'remove', image: scene.image('one', 'raw') }), 10],
    ['remove a protected tree', addProtectedTree, (scene) => ({ kind: 'remove', image: scene.image('one', 'directory') }), 10],
  ];
  for (const [name, prepare, change, leastSteps] of cases) {
    test(name, () => {
      const kills = killEverywhere(prepare, change);
      assert.ok(kills >= leastSteps, `only ${kills} steps were seen`);
    });
  }
});
