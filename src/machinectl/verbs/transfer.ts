import { spawnSync } from 'node:child_process';
import type { Context } from '../context.js';
import { CommandFailure } from '../failure.js';
import type { Settings } from '../settings.js';
import { errnoText, errorCode } from '../system-errors.js';

const importctl = 'importctl';

/** Transfers of images are importctl's business, from systemd 256 on. */
export async function run({ settings, output, invokedAs }: Context, words: readonly string[]): Promise<number> {
  if (!settings.quiet) {
    output.log('notice', `The 'machinectl ${invokedAs}' command has been replaced by 'importctl -m ${invokedAs}'. Redirecting invocation.`);
  }
  output.flush();
  const { error, status } = spawnSync(importctl, ['-m', ...optionsOf(settings), invokedAs, '--', ...words], { stdio: 'inherit' });
  if (error !== undefined) {
    throw new CommandFailure(`Failed to invoke '${importctl}': ${errnoText(errorCode(error))}`);
  }
  return status ?? 1;
}

function optionsOf(settings: Settings): readonly string[] {
  return [
    ...(settings.scope === 'user' ? ['--user'] : []),
    ...(settings.pager ? [] : ['--no-pager']),
    ...(settings.legend ? [] : ['--no-legend']),
    ...(settings.askPassword ? [] : ['--no-ask-password']),
    ...(settings.readOnly ? ['--read-only'] : []),
    ...(settings.force ? ['--force'] : []),
    ...(settings.quiet ? ['--quiet'] : []),
    ...(settings.verify === undefined ? [] : [`--verify=${settings.verify}`]),
    ...(settings.format === undefined ? [] : [`--format=${settings.format}`]),
    ...(settings.json === 'off' ? [] : [`--json=${settings.json}`]),
  ];
}
