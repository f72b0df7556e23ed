import type { Handlers } from '../../contract/dbus/declare.js';
import type { ownOperationsInterface } from '../../contract/dbus/own-operations.js';
import type { Operation } from '../../domain/operations.js';
import type { OperationDesk } from '../../service/operation-desk.js';
import type { Variant } from '../../wire/dbus/value.js';
import type { IncomingCall } from './incoming.js';

type Signals = keyof typeof ownOperationsInterface.signals;

/** What /io/machined has for operations. */
export function operationHandlers(operations: OperationDesk): Handlers<typeof ownOperationsInterface, IncomingCall, unknown> {
  return {
    ListOperations: () => ({ operations: operations.all().map((operation) => [...describeOperation(operation)]) }),
    CancelOperation: async (_, { id }, call) => {
      await operations.cancel(call, Number(id));
      return {};
    },
  };
}

/** Tells the bus what becomes of operations, until it is disposed of. */
export function announceOperations(
  operations: OperationDesk,
  emit: (member: Signals, signature: string, body: readonly unknown[]) => void,
): Disposable {
  return operations.observe({
    added: (operation) => emit('OperationNew', 'tsa{sv}', describeOperation(operation)),
    progressed: (operation) => emit('OperationProgress', 'tsa{sv}', describeOperation(operation)),
    ended: ({ id, kind }, { result, error }) => emit('OperationRemoved', 'tsss', [BigInt(id), kind, result, error ?? '']),
  });
}

function describeOperation(operation: Operation): [id: bigint, kind: string, details: ReadonlyMap<string, Variant>] {
  const { id, kind, subject, source, destination, owner, progress } = operation;
  const details = new Map<string, Variant>();
  const add = (name: string, signature: string, value: unknown) => {
    if (value !== undefined) details.set(name, { signature, value });
  };
  if (subject !== undefined) add(subject.type, 's', subject.name);
  add('source', 's', source);
  add('destination', 's', destination);
  add('uid', 'u', owner.uid);
  add('pid', 'u', owner.pid);
  for (const [name, count] of Object.entries(progress)) add(name, 't', BigInt(count as number));
  return [BigInt(id), kind, details];
}
