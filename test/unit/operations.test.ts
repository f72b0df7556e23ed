// What is under way: begun, told, canceled, ended.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Failure, systemFailure } from '../../src/domain/failure.js';
import { Operations, type OperationFacts, type WorkControl } from '../../src/domain/operations.js';
import { OperationEvents } from '../../src/service/operation-events.js';

const clone: OperationFacts = {
  kind: 'clone', subject: { type: 'image', name: 'one' }, source: 'one', destination: 'two', owner: { uid: 0, pid: 1 },
};

/** Work that ends when it is told to. */
class Work {
  control: WorkControl | undefined;
  readonly #finished: Promise<void>;
  finish: () => void = () => undefined;
  fail: (error: unknown) => void = () => undefined;

  constructor() {
    this.#finished = new Promise((resolve, reject) => {
      this.finish = resolve;
      this.fail = reject;
    });
  }

  begin(operations: Operations, facts = clone): Promise<void> {
    const done = operations.carryOut(facts, (control) => {
      this.control = control;
      return this.#finished;
    });
    done.catch(() => undefined);
    return done;
  }
}

function record(operations: Operations): string[] {
  const seen: string[] = [];
  operations.observe({
    added: ({ id }) => seen.push(`+${id}`),
    progressed: ({ id, progress }) => seen.push(`${id}: ${progress.filesDone}`),
    ended: ({ id }, { result, error }) => seen.push(`-${id} ${result}${error === undefined ? '' : `: ${error}`}`),
  });
  return seen;
}

test('operations are there until they end, and observers learn how', async () => {
  const operations = new Operations();
  const seen = record(operations);
  const works = [new Work(), new Work(), new Work(), new Work()] as const;
  const results = works.map((work) => work.begin(operations));
  works[0].control?.report({ filesDone: 7 });
  assert.deepEqual(operations.all().map(({ id, progress }) => [id, progress.filesDone]), [[1, 7], [2, undefined], [3, undefined], [4, undefined]]);
  works[0].finish();
  works[1].fail(systemFailure('ENOSPC', 'No space left on device'));
  works[2].fail(systemFailure('ECANCELED', 'Operation canceled'));
  works[3].fail(new Error('a bug'));
  assert.deepEqual((await Promise.allSettled(results)).map(({ status }) => status), ['fulfilled', 'rejected', 'rejected', 'rejected']);
  assert.deepEqual(operations.all(), []);
  assert.deepEqual(seen, [
    '+1', '+2', '+3', '+4', '1: 7', '-1 done', '-2 failed: No space left on device', '-3 canceled: Operation canceled', '-4 failed: Internal error',
  ]);
  works[0].control?.report({ filesDone: 8 });
  assert.equal(seen.length, 9, 'what has ended goes no further');
});

test('there are 64 at most', async () => {
  const operations = new Operations();
  const works = Array.from({ length: 64 }, () => new Work());
  const results = works.map((work) => work.begin(operations));
  const copy: OperationFacts = { ...clone, kind: 'copy-to', subject: { type: 'machine', name: 'one' } };
  await assert.rejects(new Work().begin(operations), { kind: 'too-many-operations', message: 'Too many ongoing operations.' });
  await assert.rejects(new Work().begin(operations, copy), { kind: 'too-many-operations', message: 'Too many ongoing copies.' });
  works[0]?.finish();
  await results[0];
  const another = new Work();
  const last = another.begin(operations);
  assert.equal(operations.all().at(-1)?.id, 65);
  for (const work of [...works, another]) work.finish();
  await Promise.all([...results, last]);
});

test('to cancel one is to ask for its end; a removal has no way back', async () => {
  const operations = new Operations();
  const work = new Work();
  const done = work.begin(operations);
  const removal = new Work();
  const removed = removal.begin(operations, { ...clone, kind: 'remove' });
  operations.cancel(1);
  operations.cancel(1);
  assert.equal(work.control?.canceled.aborted, true);
  assert.equal(operations.all().length, 2, 'it goes on until it is given up');
  assert.throws(() => operations.cancel(2), { kind: 'not-supported' });
  assert.throws(() => operations.cancel(3), { kind: 'no-such-operation' });
  work.finish();
  removal.finish();
  await Promise.all([done, removed]);
  assert.throws(() => operations.cancel(1), (error) => error instanceof Failure && error.kind === 'no-such-operation');
});

/** What is to be had without waiting. */
async function take(events: OperationEvents, count: number): Promise<string[]> {
  const taken: string[] = [];
  for (let index = 0; index < count; index++) {
    const { value } = await events.next();
    assert.ok(value !== undefined);
    if (value.kind === 'ready') taken.push('ready');
    else taken.push(`${value.kind} ${value.operation.id} ${value.operation.progress.filesDone ?? '-'}${value.kind === 'ended' ? ` ${value.end.result}` : ''}`);
  }
  return taken;
}

test('events begin with what is under way; of each operation, the latest state is told', async () => {
  const operations = new Operations();
  const [first, second] = [new Work(), new Work()];
  const results = [first.begin(operations)];
  const events = new OperationEvents(operations);
  results.push(second.begin(operations));
  first.control?.report({ filesDone: 1 });
  second.control?.report({ filesDone: 2 });
  assert.deepEqual(await take(events, 3), ['present 1 1', 'ready', 'added 2 2']);
  for (let files = 3; files < 100; files++) first.control?.report({ filesDone: files });
  assert.deepEqual(await take(events, 1), ['progress 1 99']);
  first.control?.report({ filesDone: 100 });
  first.finish();
  second.fail(systemFailure('ECANCELED', 'Operation canceled'));
  await Promise.allSettled(results);
  assert.deepEqual(await take(events, 2), ['ended 1 100 done', 'ended 2 2 canceled']);
  const waiting = events.next();
  await events.return();
  assert.deepEqual(await waiting, { done: true, value: undefined });
});

test('of what comes and goes while nobody takes events, only so much is kept', async () => {
  const operations = new Operations();
  const known = new Work();
  const done = known.begin(operations);
  const events = new OperationEvents(operations);
  assert.deepEqual(await take(events, 2), ['present 1 -', 'ready']);
  for (let count = 0; count < 1000; count++) await operations.carryOut(clone, async () => undefined);
  known.finish();
  await done;
  const told = await take(events, 257);
  assert.equal(told.at(-1), 'ended 1 - done', 'what was told to be there is told to be gone');
  const next = events.next();
  const last = new Work();
  void last.begin(operations);
  const { value } = await next;
  assert.equal(value?.kind === 'added' && value.operation.id, 1002);
  await events.return();
  last.finish();
});
