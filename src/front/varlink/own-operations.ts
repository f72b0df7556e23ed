import { ownOperationsVarlink } from '../../contract/varlink/own-operations.js';
import type { FailureKind } from '../../domain/failure.js';
import type { Operation } from '../../domain/operations.js';
import type { OperationDesk } from '../../service/operation-desk.js';
import type { OperationEvent } from '../../service/operation-events.js';
import type { Output } from '../../wire/varlink/schema.js';
import { bindVarlink, Replies, type BoundVarlinkInterface } from './service.js';
import { withoutAbsent } from './without-absent.js';

export interface OwnOperationsServices {
  readonly operations: OperationDesk;
}

type EventOutput = Output<(typeof ownOperationsVarlink)['methods']['List']>;

type OwnError = `io.machined.Operations.${keyof (typeof ownOperationsVarlink)['errors']}`;

const ownErrors: Readonly<Partial<Record<FailureKind, OwnError>>> = {
  'no-such-operation': 'io.machined.Operations.NoSuchOperation',
  'not-supported': 'io.machined.Operations.NotCancelable',
};

/** io.machined.Operations. */
export function ownOperationsInterface({ operations }: OwnOperationsServices): BoundVarlinkInterface {
  return bindVarlink(
    ownOperationsVarlink,
    {
      List: () => Replies.stream(eventsOf(operations)),
      Cancel: async ({ id }, call) => {
        await operations.cancel(call, id);
        return {};
      },
    },
    ownErrors,
  );
}

function eventsOf(operations: OperationDesk): AsyncIterable<EventOutput> {
  return {
    [Symbol.asyncIterator]() {
      const events = operations.events();
      return {
        async next() {
          const { done, value } = await events.next();
          return done === true ? { done, value: undefined } : { done: false, value: describeEvent(value) };
        },
        async return() {
          await events.return();
          return { done: true, value: undefined };
        },
      };
    },
  };
}

function describeEvent(event: OperationEvent): EventOutput {
  switch (event.kind) {
    case 'ready':
      return { event: 'ready' };
    case 'ended':
      return { event: 'ended', operation: withoutAbsent({ ...describeOperation(event.operation), ...event.end }) };
    default:
      return { event: event.kind, operation: describeOperation(event.operation) };
  }
}

function describeOperation({ id, kind, subject, source, destination, owner, progress }: Operation) {
  return withoutAbsent({
    id,
    kind,
    machine: subject?.type === 'machine' ? subject.name : undefined,
    image: subject?.type === 'image' ? subject.name : undefined,
    source,
    destination,
    uid: owner.uid,
    pid: owner.pid,
    ...progress,
  });
}
