import { setTimeout as delay } from 'node:timers/promises';
import type { Context } from '../context.js';
import { LiveScreen } from '../live-screen.js';
import { followMachines } from '../machine-events.js';
import { formatTimestamp } from '../time.js';
import { run as list } from './list.js';

/** Addresses change without a word from the registry. In milliseconds. */
const interval = 2000;

/** The list of machines, again whenever it is another. Not on a terminal: one list after the other, an empty line between. */
export async function run(context: Context): Promise<void> {
  const { registry, output } = context;
  let changed: () => void = () => undefined;
  const failed = followMachines(registry, () => changed(), () => undefined);
  using screen = output.onTerminal ? new LiveScreen(output, () => changed()) : undefined;
  let ended = false;
  void Promise.race([output.unread, ...(screen === undefined ? [] : [screen.ended])]).then(() => (ended = true));
  for (let shown = ''; !ended; ) {
    const event = new Promise<void>((resolve) => (changed = resolve));
    const text = await listing(context);
    if (screen !== undefined) screen.draw(`${formatTimestamp(BigInt(Date.now()) * 1000n)}, q to leave\n\n${text}`);
    else if (text !== shown) print(context, shown === '' ? text : `\n${text}`);
    shown = text;
    await Promise.race([event, delay(interval), failed, ...(screen === undefined ? [] : [screen.ended])]);
  }
}

async function listing(context: Context): Promise<string> {
  await list({ ...context, settings: { ...context.settings, pager: false } });
  return context.output.take();
}

function print({ output }: Context, text: string): void {
  output.print(text);
  output.flush();
}
