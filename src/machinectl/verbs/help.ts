import type { Context } from '../context.js';
import { formatHelp } from '../help.js';
import { optionTable } from '../options.js';
import { verbs } from '../verbs.js';

export function run({ output }: Context): Promise<void> {
  output.print(formatHelp(verbs, optionTable({ help: notApplied, version: notApplied }), output));
  return Promise.resolve();
}

function notApplied(): never {
  throw new Error('options are described here, not applied');
}
