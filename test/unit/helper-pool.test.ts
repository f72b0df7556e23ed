/** Tasks that each get a process of their own, many at once. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { suite, test } from 'node:test';
import { isFailure } from '../../src/domain/failure.js';
import { unwatched } from '../../src/domain/operations.js';
import { HelperPool, ordinaryLimits, type HelperResult } from '../../src/host/guests/helper-pool.js';

/** An empty pool of images, in which there is nothing to be tidied up. */
class Setup implements Disposable {
  readonly helpers = new HelperPool(ordinaryLimits);
  readonly #directory = mkdtempSync(path.join(tmpdir(), 'machined-helpers-'));

  task(canceled = new AbortController().signal): Promise<HelperResult<'change-image'>> {
    const [pool, locks] = ['pool', 'locks'].map((name) => path.join(this.#directory, name)) as [string, string];
    for (const directory of [pool, locks]) mkdirSync(directory, { recursive: true });
    const places = { directories: [pool], pool, settings: [], locks, instance: 'test.1' };
    return this.helpers.dedicated('change-image', { change: { kind: 'sweep', failed: null }, places }, [], { ...unwatched, canceled });
  }

  [Symbol.dispose](): void {
    this.helpers[Symbol.dispose]();
    rmSync(this.#directory, { recursive: true });
  }
}

const isCanceled = (error: unknown) => isFailure(error, 'system') && error.errno === 'ECANCELED';

suite('tasks with a process of their own', () => {
  test('are all done, however many there are', async () => {
    using setup = new Setup();
    const results = await Promise.all(Array.from({ length: 40 }, () => setup.task()));
    assert.deepEqual(results.map(({ output }) => output), Array.from({ length: 40 }, () => null));
    assert.equal((await setup.task()).output, null, 'and again');
  });

  test('are canceled at once while they wait for one', async () => {
    using setup = new Setup();
    const first = setup.task();
    const controller = new AbortController();
    const second = setup.task(controller.signal);
    const third = setup.task();
    controller.abort();
    await assert.rejects(second, isCanceled);
    assert.deepEqual((await Promise.all([first, third])).map(({ output }) => output), [null, null]);
  });

  test('end with the pool, whether they wait or not', async () => {
    using setup = new Setup();
    const tasks = [setup.task(), setup.task(), setup.task()];
    setup.helpers[Symbol.dispose]();
    const outcomes = await Promise.allSettled(tasks);
    assert.ok(outcomes.every((outcome) => outcome.status === 'rejected' && isCanceled(outcome.reason)));
  });
});
