/**
 * What bin/machined and bin/machinectl run: loads the bundle of the program together with what V8 made of it when it was
 * built (v8.Script's cachedData), which saves a sixth of the time that the daemon takes to start. V8 itself refuses what another
 * version or other flags have made; a bundle that is not the one of the build has another first line. Then, as without a
 * cache, the bundle is compiled anew.
 *
 * No flag of V8's may be set before all is loaded, neither in the first line of bin/ nor here: Node comes with compiled code of
 * its own modules, which is refused then, too, and takes 4 to 8 ms more to load.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { Script } from 'node:vm';

interface Bundle {
  /** @returns the exit status, if the program is to end with its promise. */
  main(words: readonly string[]): Promise<number | void>;
}

interface Loaded {
  readonly bundle: Bundle;
  readonly script: Script;
  /** Whether the cache was of use. */
  readonly cached: boolean;
}

/**
 * Writes the cache for a bundle. A rehearsal is a command line to run first: functions that loading and it have compiled are
 * in the cache, the others are not. Rejects if it fails.
 */
export async function saveCache(file: string, rehearsal?: readonly string[]): Promise<void> {
  const { bundle, script } = load(file);
  const status = rehearsal === undefined ? 0 : ((await bundle.main(rehearsal)) ?? 0);
  if (status !== 0) throw new Error(`the rehearsal of ${file} ends with status ${status}`);
  const firstLine = Buffer.from(firstLineOf(readFileSync(file, 'utf8')));
  writeFileSync(cacheOf(file), Buffer.concat([firstLine, script.createCachedData()]));
}

/** Loads a bundle, and runs nothing of it but its modules. */
export function load(file: string): Loaded {
  const source = readFileSync(file, 'utf8');
  const cachedData = readCache(cacheOf(file), firstLineOf(source));
  const script = new Script(`(function (exports, require, module, __filename, __dirname) {${source}\n})`, {
    filename: file,
    ...(cachedData !== undefined && { cachedData }),
  });
  const module = { exports: {} as Bundle };
  const body = script.runInThisContext() as (...parameters: unknown[]) => void;
  body(module.exports, createRequire(file), module, file, path.dirname(file));
  return { bundle: module.exports, script, cached: cachedData !== undefined && script.cachedDataRejected === false };
}

/** With its end. The build puts a digest of the bundle there. */
function firstLineOf(source: string): string {
  return source.slice(0, source.indexOf('\n') + 1);
}

function cacheOf(file: string): string {
  return `${file}.cache`;
}

function readCache(file: string, firstLine: string): Buffer | undefined {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch {
    return undefined; // nobody has made one, or it cannot be read: the bundle will do
  }
  return bytes.subarray(0, firstLine.length).equals(Buffer.from(firstLine)) ? bytes.subarray(firstLine.length) : undefined;
}
