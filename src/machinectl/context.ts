import type { Output } from './output.js';
import type { Registry } from './registry.js';
import type { Settings } from './settings.js';

/** What a verb has to work with. */
export interface Context {
  readonly settings: Settings;
  readonly output: Output;
  /** The registry that the options name; connects when it is first asked. */
  readonly registry: Registry;
  /** The name that the verb was called by: 'stop' for 'poweroff'. */
  readonly invokedAs: string;
}
