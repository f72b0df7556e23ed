// V8 as the daemon wants it. Its flags are set when everything is loaded: see load.ts.
import { setFlagsFromString } from 'node:v8';

/**
 * Has the nursery stay as small as it begins, 1 MiB, instead of growing to 16: a registry makes little garbage, and without
 * this it is half as large again after a load.
 */
export function keepNurserySmall(): void {
  setFlagsFromString('--semi-space-growth-factor=1');
}

/** Nothing that runs while the daemon starts runs for long: to optimize it takes more time than it saves, and memory. */
export async function withoutOptimizer<T>(run: () => Promise<T>): Promise<T> {
  setFlagsFromString('--no-turbofan');
  try {
    return await run();
  } finally {
    setFlagsFromString('--turbofan');
  }
}
