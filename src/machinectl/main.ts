// bin/machinectl: reads the command line, and has a verb carry it out.
import { CommandFailure, Finished } from './failure.js';
import { readCommandLine } from './command-line.js';
import type { Context } from './context.js';
import { optionTable } from './options.js';
import { Output } from './output.js';
import { Registry } from './registry.js';
import { defaultSettings, type Settings } from './settings.js';
import { defaultVerb, endOptions, findVerb, similarVerb, verbs, type Verb } from './verbs.js';

/** @returns the exit status. */
export async function main(line: readonly string[]): Promise<number> {
  const output = new Output();
  try {
    return await runLine(line, output);
  } catch (error) {
    output.log('error', error instanceof CommandFailure ? error.message : internalError(error));
    return 1;
  }
}

async function runLine(line: readonly string[], output: Output): Promise<number> {
  const settings = defaultSettings();
  try {
    const words = await readLine(line, settings, output);
    return await carryOut(words, settings, output);
  } catch (error) {
    if (!(error instanceof Finished)) throw error;
    output.flush();
    return 0;
  }
}

/** A bug: what its reporter can tell of it. */
function internalError(error: unknown): string {
  const details = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return `This is a bug of machinectl, please report it: ${details}`;
}

/** Throws Finished after --help and the like. */
async function readLine(line: readonly string[], settings: Settings, output: Output): Promise<readonly string[]> {
  let wanted: 'help' | 'version' | undefined;
  const options = optionTable({
    help: () => {
      wanted = 'help';
      throw new Finished();
    },
    version: () => {
      wanted = 'version';
      throw new Finished();
    },
  });
  try {
    return readCommandLine('machinectl', options, line, {
      option: (option, argument) => option.apply(settings, argument ?? '', output),
      endsOptions: endOptions,
    });
  } catch (error) {
    if (error instanceof Finished && wanted === 'help') {
      const { formatHelp } = await import('./help.js');
      output.print(formatHelp(verbs, options, output));
    }
    if (error instanceof Finished && wanted === 'version') {
      const { versionText } = await import('./version.js');
      output.print(versionText());
    }
    throw error;
  }
}

async function carryOut([name = defaultVerb, ...words]: readonly string[], settings: Settings, output: Output): Promise<number> {
  const verb = chooseVerb(name, words.length);
  const { run } = await verb.load();
  using registry = new Registry(settings);
  const context: Context = { settings, output, registry, invokedAs: name };
  try {
    return (await run(context, words)) ?? 0;
  } finally {
    if (settings.pager) await output.page();
    else output.flush();
  }
}

function chooseVerb(name: string, count: number): Verb {
  const verb = findVerb(name);
  if (verb === undefined) {
    const similar = similarVerb(name);
    throw new CommandFailure(`Unknown command verb '${name}'${similar === undefined ? '.' : `, did you mean '${similar}'?`}`);
  }
  if (count < verb.minimum) throw new CommandFailure('Too few arguments.');
  if (count > verb.maximum) throw new CommandFailure('Too many arguments.');
  return verb;
}
