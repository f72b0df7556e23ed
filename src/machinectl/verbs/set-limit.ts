import { parseBytes } from '../bytes.js';
import type { Context } from '../context.js';
import { CommandFailure } from '../failure.js';
import { unknownSize } from '../images.js';
import { failureOf } from '../registry.js';

/** With one word, it is the pool's. */
export async function run({ registry }: Context, words: readonly string[]): Promise<void> {
  const [name, text = ''] = words.length === 1 ? [undefined, words[0]] : words;
  const size = parseLimit(text);
  try {
    if (name === undefined) await registry.call('SetPoolLimit', { size }, { patient: true });
    else await registry.call('SetImageLimit', { name, size }, { patient: true });
  } catch (error) {
    throw failureOf('Could not set limit', error);
  }
}

function parseLimit(text: string): bigint {
  if (text === '-' || text === 'infinity') return unknownSize;
  const size = parseBytes(text);
  if (typeof size === 'string') throw new CommandFailure(`Failed to parse size: ${text}`);
  return size;
}
