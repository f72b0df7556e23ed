/** Calls that are measured even if they take longer than the time that was given. */
const fewestCalls = 5;

/** @returns the microseconds of every call. `depth` of them are under way at any time. */
export async function repeat(run: () => Promise<unknown>, depth: number, milliseconds: number): Promise<readonly number[]> {
  const latencies: number[] = [];
  const end = performance.now() + milliseconds;
  const worker = async () => {
    while (performance.now() < end || latencies.length < fewestCalls) latencies.push(await timed(run));
  };
  await Promise.all(Array.from({ length: depth }, worker));
  return latencies;
}

/** In microseconds. */
export async function timed(run: () => Promise<unknown>): Promise<number> {
  const begin = performance.now();
  await run();
  return (performance.now() - begin) * 1000;
}
