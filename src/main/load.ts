/**
 * What bin/machined and bin/machinectl run: loads the bundle of the program together with what V8 made of it when it was
 * built (v8.Script's cachedData), which saves a sixth of the time that the daemon takes to start. V8 itself refuses what another
 * version or other flags have made; a bundle that is not the one of the build has another first line. Then, as without a
 * cache, the bundle is compiled anew.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { setFlagsFromString } from 'node:v8';
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

/** Runs the program; `words` is the command line without the program's name. */
export async function run(file: string, words: readonly string[]): Promise<number | void> {
  // Nothing that runs while it starts runs for long: to optimize it takes more time than it saves, and memory.
  setFlagsFromString('--no-turbofan');
  try {
    return await load(file).bundle.main(words);
  } finally {
    setFlagsFromString('--turbofan');
  }
}

/**
 * Writes the cache for a bundle. To be called with the flags that the bundle will run with. A rehearsal is a command line
 * to run first: functions that loading and it have compiled are in the cache, the others are not.
 */
export async function saveCache(file: string, rehearsal?: readonly string[]): Promise<void> {
  setFlagsFromString('--no-turbofan');
  const { bundle, script } = load(file);
  if (rehearsal !== undefined) await bundle.main(rehearsal);
  const firstLine = Buffer.from(firstLineOf(readFileSync(file, 'utf8')));
  writeFileSync(cacheOf(file), Buffer.concat([firstLine, script.createCachedData()]));
}

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
