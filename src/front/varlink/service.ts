import type { Authorization } from '../../contract/authorization.js';
import type { MethodExtra } from '../../contract/varlink/types.js';
import { varlinkServiceVarlink } from '../../contract/varlink/service.js';
import { invalidArgument, isFailure, systemFailure } from '../../domain/failure.js';
import type { Caller } from '../../ports/authority.js';
import type { Log } from '../../ports/log.js';
import type { Call } from '../../service/call.js';
import type { ErrorOutcome, Outcome, Peer } from '../../transport/varlink/server-connection.js';
import type { MethodCall } from '../../wire/varlink/call.js';
import { describe, printDescription } from '../../wire/varlink/idl.js';
import type { Input, Interface, Method, Output } from '../../wire/varlink/schema.js';
import { MethodTable } from '../../wire/varlink/validate.js';
import { varlinkError, type OwnErrors, type VarlinkError } from './errors.js';

/** A call on its way to a handler. */
export interface VarlinkCall extends Call {
  /** The caller accepts several replies. */
  readonly more: boolean;
  /** The caller wants to speak another protocol afterwards. */
  readonly upgrade: boolean;
  /** The same caller, authorized as another declaration says. */
  withAuthorization(authorization: Authorization): VarlinkCall;
  /** The descriptor goes with the reply, and is closed then, or when the call has failed. Returns its index in the reply. */
  passDescriptor(fd: number): number;
  /** The descriptor of this index that came with the call; it is closed when the handler is done. Throws Failure 'invalid-argument'. */
  descriptor(parameter: string, index: number): number;
}

/** Several replies to one call: all that there are, or whatever comes as long as the caller listens. */
export class Replies<T extends object> {
  readonly kind: 'replies' | 'stream';
  readonly items: Iterable<T> | AsyncIterable<T>;

  private constructor(kind: 'replies' | 'stream', items: Iterable<T> | AsyncIterable<T>) {
    this.kind = kind;
    this.items = items;
  }

  /** At least one. */
  static all<T extends object>(items: Iterable<T> | AsyncIterable<T>): Replies<T> {
    return new Replies('replies', items);
  }

  static stream<T extends object>(items: AsyncIterable<T>): Replies<T> {
    return new Replies('stream', items);
  }
}

/** A first reply at once, and the last one when what has been begun is over. For callers that accept several. */
export class Ongoing<T extends object> {
  readonly first: T;
  readonly last: Promise<T>;

  /** `last` must not reject. */
  constructor(first: T, last: Promise<T>) {
    this.first = first;
    this.last = last;
  }
}

/** An error of the interface's own that no Failure stands for. */
export class MethodError extends Error {
  override readonly name = 'MethodError';
  readonly error: string;
  readonly parameters: object;

  constructor(error: string, parameters: object = {}) {
    super(error);
    this.error = error;
    this.parameters = parameters;
  }
}

type Result<M extends Method> = Output<M> | Replies<Output<M>> | Ongoing<Output<M>>;

/** One handler per declared method. undefined: the method is described, but there is none, as with the original. */
export type VarlinkHandlers<D extends Interface> = {
  readonly [K in keyof D['methods']]:
    | ((input: Input<D['methods'][K]>, call: VarlinkCall) => Result<D['methods'][K]> | Promise<Result<D['methods'][K]>>)
    | undefined;
};

export interface BoundVarlinkInterface {
  readonly declaration: Interface;
  readonly handlers: Readonly<Record<string, ((input: never, call: VarlinkCall) => unknown) | undefined>>;
  /** The others are io.systemd.Machine's: the interfaces of the original share those. */
  readonly ownErrors: OwnErrors;
}

export function bindVarlink<D extends Interface>(
  declaration: D,
  handlers: VarlinkHandlers<D>,
  ownErrors: OwnErrors = {},
): BoundVarlinkInterface {
  return { declaration, handlers, ownErrors };
}

export interface ServiceInformation {
  readonly vendor: string;
  readonly product: string;
  readonly version: string;
  readonly url: string;
}

export interface VarlinkServicePorts {
  readonly log: Log;
  errnoNumber(name: string): number | undefined;
  closeDescriptor(fd: number): void;
}

interface BoundHandler {
  readonly handle: (input: never, call: VarlinkCall) => unknown;
  readonly ownErrors: OwnErrors;
}

/** The interfaces of one socket: finds the method that is called, checks the input, hands it over, and translates back. */
export class VarlinkService {
  /** Those that have a handler: the others are as if they were not there. */
  readonly #methods: MethodTable;
  readonly #handlers = new Map<Method, BoundHandler>();
  readonly #ports: VarlinkServicePorts;

  constructor(information: ServiceInformation, interfaces: readonly BoundVarlinkInterface[], ports: VarlinkServicePorts) {
    this.#ports = ports;
    const declarations = [...interfaces.map(({ declaration }) => declaration), varlinkServiceVarlink];
    const all = [...interfaces, bindVarlink(varlinkServiceVarlink, serviceHandlers(information, declarations))];
    this.#methods = new MethodTable(all.map((bound) => this.#served(bound)));
  }

  #served({ declaration, handlers, ownErrors }: BoundVarlinkInterface): Interface {
    const methods: Record<string, Method> = {};
    for (const [name, method] of Object.entries(declaration.methods)) {
      const handle = handlers[name];
      if (handle === undefined) continue;
      methods[name] = method;
      this.#handlers.set(method, { handle, ownErrors });
    }
    return { ...declaration, methods };
  }

  dispatch(call: MethodCall, peer: Peer, fds: readonly number[]): Outcome | Promise<Outcome> {
    const resolved = this.#methods.resolve(call);
    if (!resolved.ok) return errorOutcome(resolved);
    const { method } = resolved.entry;
    const { handle, ownErrors } = this.#handlers.get(method) as BoundHandler;
    const { authorization } = method.extra as MethodExtra;
    const passed: number[] = [];
    let result: unknown;
    try {
      result = handle(resolved.input as never, new PeerCall({ call, peer, fds, passed }, authorization));
    } catch (error) {
      return this.#failure(call, error, passed, ownErrors);
    }
    const failure = (error: unknown) => this.#errorOf(error, ownErrors);
    if (!(result instanceof Promise)) return outcomeOf(result, passed, failure);
    return result.then(
      (settled) => outcomeOf(settled, passed, failure),
      (error: unknown) => this.#failure(call, error, passed, ownErrors),
    );
  }

  /** A bug in a handler that showed only while its replies were made. */
  failed(call: MethodCall, error: unknown): void {
    const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
    this.#ports.log.error(`${call.method} failed unexpectedly: ${stack}`);
  }

  #failure(call: MethodCall, error: unknown, passed: readonly number[], ownErrors: OwnErrors): Outcome {
    for (const fd of passed) this.#ports.closeDescriptor(fd);
    const expected = this.#errorOf(error, ownErrors);
    if (expected !== undefined) return expected;
    this.failed(call, error);
    return errorOutcome(varlinkError(systemFailure('EIO', 'Internal error'), (name) => this.#ports.errnoNumber(name)));
  }

  /** Undefined if it was not expected. */
  #errorOf(error: unknown, ownErrors: OwnErrors): ErrorOutcome | undefined {
    if (error instanceof MethodError) return errorOutcome(error);
    if (!isFailure(error)) return undefined;
    return errorOutcome(varlinkError(error, (name) => this.#ports.errnoNumber(name), ownErrors));
  }
}

interface DispatchedCall {
  readonly call: MethodCall;
  readonly peer: Peer;
  /** What came with it. */
  readonly fds: readonly number[];
  /** What is to go with its reply. */
  readonly passed: number[];
}

class PeerCall implements VarlinkCall {
  readonly authorization: Authorization;
  readonly more: boolean;
  readonly upgrade: boolean;
  readonly interactive: boolean;
  readonly #dispatched: DispatchedCall;

  constructor(dispatched: DispatchedCall, authorization: Authorization) {
    const { call } = dispatched;
    this.#dispatched = dispatched;
    this.authorization = authorization;
    this.more = call.more;
    this.upgrade = call.upgrade;
    this.interactive = call.parameters['allowInteractiveAuthentication'] === true;
  }

  withAuthorization(authorization: Authorization): VarlinkCall {
    return new PeerCall(this.#dispatched, authorization);
  }

  passDescriptor(fd: number): number {
    return this.#dispatched.passed.push(fd) - 1;
  }

  descriptor(parameter: string, index: number): number {
    const fd = this.#dispatched.fds[index];
    if (fd === undefined) throw invalidArgument(parameter, `No descriptor ${index} has come with the call`);
    return fd;
  }

  async caller(): Promise<Caller> {
    const peer = this.#dispatched.peer;
    const { uid, pid, pidfd } = peer.credentials;
    return {
      uid, pid, busName: undefined, pidfd,
      get gone() {
        return peer.gone; // made when it is asked for, which is seldom
      },
    };
  }
}

function outcomeOf(result: unknown, passed: readonly number[], failure: (error: unknown) => ErrorOutcome | undefined): Outcome {
  if (result instanceof Replies) {
    return { kind: result.kind, parameters: result.items, failure } as Outcome;
  }
  if (result instanceof Ongoing) return { kind: 'ongoing', first: result.first as object, last: result.last as Promise<object> };
  return { kind: 'reply', parameters: result as object, fds: passed };
}

function errorOutcome({ error, parameters }: VarlinkError): ErrorOutcome {
  return { kind: 'error', error, parameters };
}

function serviceHandlers(
  information: ServiceInformation,
  declarations: readonly Interface[],
): VarlinkHandlers<typeof varlinkServiceVarlink> {
  const descriptions = new Map<string, string>();
  return {
    GetInfo: () => ({ ...information, interfaces: declarations.map(({ name }) => name).sort() }),
    GetInterfaceDescription: ({ interface: name }) => {
      const found = declarations.find((declaration) => declaration.name === name);
      if (found === undefined) throw new MethodError('org.varlink.service.InterfaceNotFound', { interface: name });
      const description = descriptions.get(name) ?? printDescription(describe(found));
      descriptions.set(name, description);
      return { description };
    },
  };
}
