/**
 * What arrives while `work` goes on, one after the other, until it ends; it throws what the work fails with. The work begins
 * when the first of it is asked for, and goes on when nobody asks for more.
 */
export async function* arrivals<T>(work: (arrive: (item: T) => void) => Promise<void>): AsyncGenerator<T> {
  const waiting: T[] = [];
  let wake: () => void = () => undefined;
  let isOver = false;
  const over = work((item) => {
    waiting.push(item);
    wake();
  }).finally(() => {
    isOver = true;
    wake();
  });
  over.catch(() => undefined); // whoever takes what arrives learns of it below
  for (;;) {
    yield* waiting.splice(0);
    if (waiting.length > 0) continue;
    if (isOver) break;
    await new Promise<void>((resolve) => (wake = resolve));
  }
  await over;
}
