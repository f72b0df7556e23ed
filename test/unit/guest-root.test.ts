/** Walking the paths of a root directory that is not our own. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, fstatSync, mkdirSync, mkdtempSync, openSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { closeLocated, locateInRoot } from '../../src/host/kernel/guest-root.js';

test('a path with .. is found while others rename their files', async () => {
  const directory = mkdtempSync(path.join(tmpdir(), 'machined-root-'));
  mkdirSync(path.join(directory, 'sub'));
  writeFileSync(path.join(directory, 'file'), '');
  const script = `
    const { renameSync } = require('node:fs');
    console.log('begun');
    for (;;) { renameSync('sub', 'other'); renameSync('other', 'sub'); }`;
  mkdirSync(path.join(directory, 'busy/sub'), { recursive: true });
  const busy = spawn(process.execPath, ['-e', script], { cwd: path.join(directory, 'busy'), stdio: ['ignore', 'pipe', 'inherit'] });
  const root = openSync(directory, 'r');
  try {
    await once(busy.stdout, 'data');
    const { ino } = statSync(path.join(directory, 'file'));
    for (let time = 0; time < 20_000; time++) {
      const located = locateInRoot(root, 'sub/../sub/../sub/../file');
      try {
        assert.equal(fstatSync(located).ino, ino);
      } finally {
        closeLocated(located);
      }
    }
  } finally {
    closeSync(root);
    busy.kill('SIGKILL');
    await once(busy, 'close');
    rmSync(directory, { recursive: true });
  }
});
