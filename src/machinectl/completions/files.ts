import { bashCompletion } from './bash.js';
import { fishCompletion } from './fish.js';
import { zshCompletion } from './zsh.js';

/** What share/completions holds, by file name. */
export function completionFiles(): ReadonlyMap<string, string> {
  return new Map([
    ['machinectl.bash', bashCompletion()],
    ['_machinectl', zshCompletion()],
    ['machinectl.fish', fishCompletion()],
  ]);
}
