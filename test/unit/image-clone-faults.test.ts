/** Clones of images that are killed at every step: the old state is there, or the new one, and nothing else. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { addDisk, addTree, killEverywhere, type MakeChange, type Scene } from '../support/kill-everywhere.js';

const isRoot = process.geteuid?.() === 0;

suite('killed at every step', { skip: isRoot ? false : 'only root marks directories' }, () => {
  const cases: readonly [string, (scene: Scene) => void, MakeChange, number][] = [
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
