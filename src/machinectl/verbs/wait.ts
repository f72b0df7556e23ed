import { closeSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { isMachinedError } from '../../client/error.js';
import type { Context } from '../context.js';
import { CommandFailure } from '../failure.js';
import { failureOf, reasonOf } from '../registry.js';

type Condition = 'running' | 'gone' | 'answering';

/** Between two looks, in milliseconds. */
const interval = 250;

/** Until the machine runs, is gone, or answers: that is when a command can be started in it. */
export async function run(context: Context, [name = '', wanted = 'running']: readonly string[]): Promise<void> {
  const condition = parseCondition(wanted);
  const deadline = performance.now() + (context.settings.timeout ?? Number.POSITIVE_INFINITY);
  for (;;) {
    const { holds, because } = await look(context, name, condition);
    if (holds) return;
    if (performance.now() >= deadline) throw new CommandFailure(`Machine '${name}' is not ${condition} yet${because === '' ? '' : `: ${because}`}`);
    await delay(Math.max(1, Math.min(interval, deadline - performance.now())));
  }
}

function parseCondition(text: string): Condition {
  if (text === 'running' || text === 'gone' || text === 'answering') return text;
  throw new CommandFailure(`Cannot wait for '${text}': it is one of running, gone, answering.`);
}

interface Look {
  readonly holds: boolean;
  /** Why not. */
  readonly because: string;
}

async function look(context: Context, name: string, condition: Condition): Promise<Look> {
  const state = await readState(context, name);
  if (condition === 'gone') return { holds: state === undefined, because: '' };
  if (state !== 'running') return { holds: false, because: state === undefined ? 'it is not registered' : `it is ${state}` };
  return condition === 'running' ? { holds: true, because: '' } : startsCommands(context, name);
}

/** undefined where there is no such machine. */
async function readState({ registry }: Context, name: string): Promise<string | undefined> {
  try {
    const { machine } = await registry.call('GetMachine', { name });
    return (await registry.machineProperties(machine)).State;
  } catch (error) {
    if (isMachinedError(error) && error.code === 'no-such-machine') return undefined;
    throw failureOf('Could not get path to machine', error);
  }
}

async function startsCommands({ registry }: Context, name: string): Promise<Look> {
  try {
    const { fds } = await registry.callForDescriptors('OpenMachineShell', { name, user: 'root', path: '/bin/true', args: ['true'], environment: [] });
    for (const fd of fds) closeSync(fd);
    return { holds: true, because: '' };
  } catch (error) {
    if (isMachinedError(error, 'access-denied')) throw failureOf('Failed to start a command', error);
    return { holds: false, because: reasonOf(error) };
  }
}
