import { isMachineName } from '../domain/name.js';
import { CommandFailure } from './failure.js';
import type { Registry } from './registry.js';
import { failureOf } from './registry.js';
import { isMachinedError } from '../client/error.js';
import type { Settings } from './settings.js';

export function checkMachineName(name: string): void {
  if (!isMachineName(name)) throw new CommandFailure(`Invalid machine name ${name}.`);
}

/** 'systemd-nspawn@my-image.service'. The characters of a machine's name are all allowed there, and mean themselves. */
export function serviceUnit(name: string, runner: Settings['runner']): string {
  return `systemd-${runner}@${name}.service`;
}

/** Throws CommandFailure if there is no such image. */
export async function checkImageExists(registry: Registry, name: string): Promise<void> {
  try {
    await registry.call('GetImage', { name });
  } catch (error) {
    if (isMachinedError(error, 'no-such-image')) throw new CommandFailure(`Machine image '${name}' does not exist.`);
    throw failureOf(`Failed to check whether image ${name} exists`, error);
  }
}
