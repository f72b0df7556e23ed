import { resolveHookVarlink } from '../../contract/varlink/resolve-hook.js';
import { isFailure, systemFailure } from '../../domain/failure.js';
import type { Machine } from '../../domain/machine.js';
import type { NetworkAddress } from '../../ports/guests.js';
import type { MachineInspector } from '../../service/inspector.js';
import type { Machines } from '../../service/machines.js';
import { dnsLabels } from '../../wire/dns-name.js';
import { addressRecord } from '../../wire/dns-record.js';
import type { Input, Output } from '../../wire/varlink/schema.js';
import { bindVarlink, Replies, type BoundVarlinkInterface } from './service.js';

type Methods = (typeof resolveHookVarlink)['methods'];
type Question = Input<Methods['ResolveRecord']>['question'][number];
type Answer = Output<Methods['ResolveRecord']>;

const classInternet = 1;
const recordTypes = new Map([[1, 2], [28, 10]]); // A asks for AF_INET, AAAA for AF_INET6
/** Codes of answers: RFC 1035, section 4.1.1. */
const noError = 0;
const noSuchDomain = 3;

/** io.systemd.Resolve.Hook: machines by their name, for systemd-resolved. */
export function resolveHookInterface(machines: Machines, inspector: MachineInspector): BoundVarlinkInterface {
  return bindVarlink(resolveHookVarlink, {
    QueryFilter: (_input, call) => {
      if (!call.more) return filterOf(machines);
      return Replies.stream(filterChanges(machines));
    },
    ResolveRecord: ({ question }) => resolve(machines, inspector, question),
  });
}

function filterOf(machines: Machines): Output<Methods['QueryFilter']> {
  const names: string[] = [];
  for (const machine of machines.all()) if (machine.class !== 'host') names.push(machine.name);
  return { filterDomains: names };
}

/** The filter as it is, and again whenever machines have come or gone; changes in quick succession are told as one. */
function filterChanges(machines: Machines): AsyncIterable<Output<Methods['QueryFilter']>> {
  return {
    [Symbol.asyncIterator]() {
      let changed = true;
      let over = false;
      let wake: (() => void) | undefined;
      const note = () => {
        changed = true;
        wake?.();
      };
      const observation = machines.observe({ machineNew: note, machineRemoved: note });
      return {
        async next() {
          while (!changed && !over) await new Promise<void>((resolve) => (wake = resolve));
          changed = false;
          return over ? { done: true, value: undefined } : { done: false, value: filterOf(machines) };
        },
        // not a generator: its return() would wait for the next change before it lets go of the observation
        async return() {
          over = true;
          observation[Symbol.dispose]();
          wake?.();
          return { done: true, value: undefined };
        },
      };
    },
  };
}

/** Machines answer for their names; what is below those names does not exist. Everything else is left to others. */
async function resolve(machines: Machines, inspector: MachineInspector, questions: readonly Question[]): Promise<Answer> {
  const answers: NonNullable<Answer['answer']>[number][] = [];
  let isKnown = false;
  let isBelow = false;
  for (const { key } of withoutRepetitions(questions)) {
    const machine = machines.find(key.name);
    isBelow ||= machine === undefined && isBelowMachine(machines, key.name);
    isKnown ||= machine !== undefined;
    const family = recordTypes.get(key.type);
    if (machine === undefined || family === undefined || (key.class ?? classInternet) !== classInternet) continue;
    for (const address of await addressesOf(inspector, machine)) {
      if (address.family !== family) continue;
      const raw = Buffer.from(addressRecord(key.name, key.type, address.bytes)).toString('base64');
      answers.push({
        rr: { key: { class: classInternet, type: key.type, name: key.name }, address: [...address.bytes] },
        raw,
      });
    }
  }
  if (isKnown) return { rcode: noError, answer: answers };
  return isBelow ? { rcode: noSuchDomain } : {};
}

/** Capitals are as good as small letters, and a dot at the end says nothing. */
function withoutRepetitions(questions: readonly Question[]): Question[] {
  const first = new Map<string, Question>();
  for (const question of questions) {
    const { class: recordClass = classInternet, type, name } = question.key;
    const identity = `${recordClass} ${type} ${dnsLabels(name)?.join('.').replace(/[A-Z]/g, (letter) => letter.toLowerCase())}`;
    if (!first.has(identity)) first.set(identity, question);
  }
  return [...first.values()];
}

function isBelowMachine(machines: Machines, name: string): boolean {
  for (let dot = name.indexOf('.'); dot >= 0; dot = name.indexOf('.', dot + 1)) {
    if (machines.find(name.slice(dot + 1)) !== undefined) return true;
  }
  return false;
}

/** The original tells resolved of a machine without addresses by errno. */
async function addressesOf(inspector: MachineInspector, machine: Machine): Promise<readonly NetworkAddress[]> {
  try {
    return await inspector.addresses(machine);
  } catch (error) {
    if (isFailure(error, 'no-private-networking')) throw systemFailure('ENONET', error.message, error);
    if (isFailure(error, 'not-available')) throw systemFailure('EOPNOTSUPP', error.message, error);
    throw error;
  }
}
