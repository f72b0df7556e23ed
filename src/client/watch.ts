import { ownMachineVarlink } from '../contract/varlink/own-machine.js';
import type { CallSettings, Machine, MachineEvent } from './model.js';
import type { Notices } from './notice.js';
import { readMachine } from './varlink-backend.js';
import type { VarlinkClient } from './varlink.js';

/** By subscription: every single change, in its order. `not-offered` or `unreachable` before the first event where there is none. */
export async function* subscribedEvents(own: VarlinkClient, settings: CallSettings): AsyncGenerator<MachineEvent, void, undefined> {
  for await (const { event, machine } of own.callMany(ownMachineVarlink, 'Subscribe', {}, { signal: settings.signal })) {
    if (event === 'ready') yield { type: 'ready' };
    else if (machine !== undefined) yield { type: event, machine: { ...readMachine(machine), state: machine.state } };
  }
}

/**
 * By looking again whenever something may have changed: what came and went between two looks is not told. Owns the
 * notices, which have begun before the first look.
 */
export async function* comparedEvents(
  notices: Notices,
  list: () => Promise<readonly Machine[]>,
  settings: CallSettings,
): AsyncGenerator<MachineEvent, void, undefined> {
  using _owned = notices;
  let known = byName(await list());
  for (const machine of known.values()) yield { type: 'present', machine };
  yield { type: 'ready' };
  for (;;) {
    await notices.next(settings.signal);
    const now = byName(await list());
    yield* differences(known, now);
    known = now;
  }
}

/** What makes one list of machines out of another. */
export function differences(before: ReadonlyMap<string, Machine>, now: ReadonlyMap<string, Machine>): readonly MachineEvent[] {
  const events: MachineEvent[] = [];
  for (const [name, machine] of before) {
    const successor = now.get(name);
    if (successor === undefined || !isSame(machine, successor)) events.push({ type: 'removed', machine });
  }
  for (const [name, machine] of now) {
    const predecessor = before.get(name);
    if (predecessor === undefined || !isSame(predecessor, machine)) events.push({ type: 'added', machine });
    else if (textOf(predecessor) !== textOf(machine)) events.push({ type: 'changed', machine });
  }
  return events;
}

function byName(machines: readonly Machine[]): ReadonlyMap<string, Machine> {
  return new Map(machines.map((machine) => [machine.name, machine]));
}

/** A machine that is registered again under the same name is another one. */
function isSame(one: Machine, other: Machine): boolean {
  return (
    one.leader?.pid === other.leader?.pid &&
    one.leader?.pidfdId === other.leader?.pidfdId &&
    one.timestamp?.monotonic === other.timestamp?.monotonic
  );
}

function textOf(machine: Machine): string {
  return JSON.stringify(machine, (_key, value: unknown) => (typeof value === 'bigint' ? value.toString() : value));
}
