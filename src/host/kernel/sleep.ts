/** Keeps the whole process waiting, for so many milliseconds: for helpers, which do one thing at a time. */
export function sleep(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}
