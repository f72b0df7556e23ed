import { resolveHookVarlink } from '../../contract/varlink/resolve-hook.js';
import { invalidArgument, isFailure, systemFailure } from '../../domain/failure.js';
import { isMachineName } from '../../domain/name.js';
import { hostMachineName, type Machine } from '../../domain/machine.js';
import type { NetworkAddress } from '../../ports/guests.js';
import type { MachineInspector } from '../../service/inspector.js';
import type { Machines } from '../../service/machines.js';
import { addressRecord } from '../../wire/dns-record.js';
import type { Input, Output } from '../../wire/varlink/schema.js';
import { bindVarlink, Replies, type BoundVarlinkInterface } from './service.js';

type Methods = (typeof resolveHookVarlink)['methods'];
type Question = Input<Methods['ResolveRecord']>['question'][number];
type Answer = Output<Methods['ResolveRecord']>;

const classInternet = 1;
const recordTypes = new Map([[1, 2], [28, 10]]); // A asks for AF_INET, AAAA for AF_INET6

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

async function resolve(machines: Machines, inspector: MachineInspector, questions: readonly Question[]): Promise<Answer> {
  for (const { key } of questions) {
    if (key.name === hostMachineName || key.name === '') throw invalidArgument('question', 'Not a name to be looked up');
  }
  const answers: NonNullable<Answer['answer']>[number][] = [];
  let known = false;
  for (const { key } of questions) {
    const family = recordTypes.get(key.type);
    const machine = family !== undefined && isDomainName(key.name) ? machines.find(key.name) : undefined;
    if (family === undefined || machine === undefined || (key.class ?? classInternet) !== classInternet) continue;
    known = true;
    for (const address of await addressesOf(inspector, machine)) {
      if (address.family !== family) continue;
      const raw = Buffer.from(addressRecord(key.name, key.type, address.bytes)).toString('base64');
      answers.push({
        rr: { key: { class: classInternet, type: key.type, name: key.name }, address: [...address.bytes] },
        raw,
      });
    }
  }
  return known ? { rcode: 0, answer: answers } : {};
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

/** Machine names may have longer labels than DNS. Source: RFC 1035, section 2.3.4. */
function isDomainName(name: string): boolean {
  return isMachineName(name) && name.split('.').every((label) => label.length <= 63);
}
