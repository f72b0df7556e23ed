import { anyone, type Authorization } from '../../contract/authorization.js';
import { isFailure } from '../../domain/failure.js';
import { authorize } from '../../service/call.js';
import type { Authority, Caller } from '../../ports/authority.js';
import type { Log } from '../../ports/log.js';
import { WireError } from '../../wire/dbus/errors.js';
import type { ReceivedCall } from '../../wire/dbus/received.js';
import type { Variant } from '../../wire/dbus/value.js';
import { CallError, errorReply, printable } from './errors.js';
import type { IncomingCall } from './incoming.js';
import { describeNode } from './introspection.js';
import type { BoundInterface, BoundMethod, BoundProperty, ObjectKind } from './objects.js';
import type { ObjectTree } from './object-tree.js';

/** What the server needs of the bus it is on. */
export interface ServerBus {
  reply(call: ReceivedCall, signature: string, body: readonly unknown[]): void;
  replyError(call: ReceivedCall, name: string, message: string): void;
  /** Who has this unique name; one round trip to the bus daemon. */
  callerOf(uniqueName: string): Promise<Caller>;
}

export interface ObjectServerPorts {
  readonly bus: ServerBus;
  readonly authority: Authority;
  readonly log: Log;
  /** For Peer.GetMachineId: 32 hexadecimal digits. */
  readonly hostId: string | undefined;
  closeDescriptor(fd: number): void;
}

interface Reply {
  readonly signature: string;
  readonly body: readonly unknown[];
}

/** Bytes. No method here has more to be told, and values can take many times the memory of their bytes. */
const bodyLimit = 4 << 20;

const noReply: Reply = { signature: '', body: [] };

/**
 * Answers the method calls that come in: finds the object and the method, checks the arguments against the declaration,
 * and hands them to the handler by name. The standard interfaces are answered here. Errors read as sd-bus words them,
 * because programs match on that.
 */
export class ObjectServer {
  readonly #tree: ObjectTree;
  readonly #ports: ObjectServerPorts;
  /** What goes with the replies to calls that are under way. */
  readonly #passed = new Map<ReceivedCall, number[]>();

  constructor(tree: ObjectTree, ports: ObjectServerPorts) {
    this.#tree = tree;
    this.#ports = ports;
  }

  handle(message: ReceivedCall): void {
    let answer: Reply | Promise<Reply>;
    try {
      answer = this.#answer(message);
    } catch (error) {
      this.#fail(message, error);
      return;
    }
    if (!(answer instanceof Promise)) {
      this.#reply(message, answer);
      return;
    }
    answer.then(
      (reply) => this.#reply(message, reply),
      (error: unknown) => this.#fail(message, error),
    );
  }

  /** Nothing has been sent if the values do not fit (a NUL in what a guest says of itself, for one): the caller still waits. */
  #reply(message: ReceivedCall, { signature, body }: Reply): void {
    try {
      this.#ports.bus.reply(message, signature, body);
    } catch (error) {
      this.#fail(message, error);
    }
    this.#closePassed(message);
  }

  #closePassed(message: ReceivedCall): void {
    for (const fd of this.#passed.get(message) ?? []) this.#ports.closeDescriptor(fd);
    this.#passed.delete(message);
  }

  #fail(message: ReceivedCall, error: unknown): void {
    this.#closePassed(message);
    if (error instanceof CallError) {
      this.#ports.bus.replyError(message, error.errorName, printable(error.message));
      return;
    }
    if (isFailure(error)) {
      const { name, message: text } = errorReply(error);
      this.#ports.bus.replyError(message, name, printable(text));
      return;
    }
    // A bug: the caller learns that it failed, the log learns why, and everybody else is served on.
    const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
    this.#ports.log.error(`${message.interface ?? ''}.${message.member} failed unexpectedly: ${stack}`);
    this.#ports.bus.replyError(message, 'org.freedesktop.DBus.Error.Failed', 'Internal error, see the log');
  }

  #answer(message: ReceivedCall): Reply | Promise<Reply> {
    if (message.interface === undefined) throw unknownObject(message.path); // as sd-bus answers whatever it names
    if (message.interface === 'org.freedesktop.DBus.Peer') return this.#answerPeer(message);
    checkStandardArguments(message);
    const call = this.#callOf(message, anyone);
    const node = this.#tree.node(message.path);
    if (node === undefined) throw unknownObject(message.path);
    if (message.interface === 'org.freedesktop.DBus.Introspectable' && message.member === 'Introspect') {
      return this.#introspect(message, call);
    }
    const target = node.kind === undefined ? undefined : node.kind.find(message.path, call);
    if (target instanceof Promise) return target.then((found) => this.#answerObject(message, node.kind, found));
    return this.#answerObject(message, node.kind, target);
  }

  #answerObject(message: ReceivedCall, kind: ObjectKind | undefined, target: unknown): Reply | Promise<Reply> {
    if (kind === undefined || target === undefined) throw unknownObject(message.path);
    if (message.interface === 'org.freedesktop.DBus.Properties') return this.#answerProperties(message, kind, target);
    const method = findMethod(kind, message);
    if (method === undefined) throw unknownMethod(message);
    if (message.signature !== method.inSignature) {
      const name = `${message.interface ?? ''}.${message.member}`;
      throw new CallError(
        'InvalidArgs',
        `Invalid arguments '${message.signature}' to call ${name}(), expecting '${method.inSignature}'.`,
      );
    }
    const values = bodyOf(message);
    const input: Record<string, unknown> = {};
    for (let index = 0; index < method.inNames.length; index++) input[method.inNames[index] as string] = values[index];
    const output = method.handler(target, input as never, this.#callOf(message, method.declaration.authorization));
    if (output instanceof Promise) return output.then((values: unknown) => replyOf(method, values));
    return replyOf(method, output);
  }

  #answerPeer(message: ReceivedCall): Reply {
    if (message.member === 'Ping') return noReply;
    if (message.member === 'GetMachineId') {
      if (this.#ports.hostId === undefined) throw new CallError('FileNotFound', 'This host has no machine id');
      return { signature: 's', body: [this.#ports.hostId] };
    }
    throw new CallError('UnknownMethod', `Unknown method '${message.member}' on interface '${message.interface ?? ''}'.`);
  }

  async #introspect(message: ReceivedCall, call: IncomingCall): Promise<Reply> {
    const node = this.#tree.node(message.path);
    const kind = node?.kind;
    const exists = kind !== undefined && (await kind.find(message.path, call)) !== undefined;
    const children = (await node?.children()) ?? [];
    if (!exists && children.length === 0) throw unknownObject(message.path);
    return { signature: 's', body: [describeNode(exists ? kind.interfaces : [], children)] };
  }

  #answerProperties(message: ReceivedCall, kind: ObjectKind, target: unknown): Reply | Promise<Reply> {
    switch (message.member) {
      case 'Get':
        return getProperty(kind, target, message);
      case 'GetAll':
        return getAllProperties(kind, target, message);
      case 'Set':
        return this.#setProperty(kind, message);
      default:
        throw unknownMethod(message);
    }
  }

  async #setProperty(kind: ObjectKind, message: ReceivedCall): Promise<Reply> {
    const [interfaceName, name, value] = bodyOf(message) as [string, string, unknown];
    const property = interfaceOf(kind, interfaceName)?.properties.get(name);
    if (property === undefined) throw unknownProperty(interfaceName, name);
    if (property.write === undefined || property.authorization === undefined) {
      throw new CallError('PropertyReadOnly', `Property '${name}' is not writable.`);
    }
    if (message.signature[2] !== 'v') throw noVariant(name, message.signature[2]);
    const { type } = property.declaration;
    const { signature: given, value: written } = value as Variant;
    if (given !== type) {
      throw new CallError('InvalidArgs', `Incorrect parameters for property '${name}', expected '${type}', got '${given}'.`);
    }
    const call = this.#callOf(message, property.authorization);
    await authorize(this.#ports.authority, call, {});
    await property.write(written, call);
    return noReply;
  }

  #callOf(message: ReceivedCall, authorization: Authorization): IncomingCall {
    const { bus } = this.#ports;
    let caller: Promise<Caller> | undefined;
    return {
      message,
      authorization,
      interactive: message.allowInteractive,
      caller: () => (caller ??= bus.callerOf(message.sender ?? '')),
      passDescriptor: (fd) => {
        this.#passed.set(message, [...(this.#passed.get(message) ?? []), fd]);
        return fd;
      },
    };
  }
}

/** A bus passes bodies on unchecked. */
function bodyOf(message: ReceivedCall): readonly unknown[] {
  if (message.bodyLength > bodyLimit) throw new CallError('LimitsExceeded', 'The arguments are too long');
  try {
    return message.body();
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    throw new CallError('InconsistentMessage', `The arguments cannot be read: ${error.message}`);
  }
}

const interfaceAndMember = { begins: 'ss', expected: 'Expected interface and member parameters' };

/** What the arguments of Properties have to begin with. More of them are passed over. */
const propertyArguments: Readonly<Record<string, { readonly begins: string; readonly expected: string }>> = {
  Get: interfaceAndMember,
  GetAll: { begins: 's', expected: 'Expected interface parameter' },
  Set: interfaceAndMember,
};

/** They are looked at before it is known whether there is an object. Throws CallError. */
function checkStandardArguments({ interface: interfaceName, member, signature }: ReceivedCall): void {
  if (interfaceName === 'org.freedesktop.DBus.Introspectable' && member === 'Introspect' && signature !== '') {
    throw new CallError('InvalidArgs', 'Expected no parameters');
  }
  if (interfaceName !== 'org.freedesktop.DBus.Properties' || !Object.hasOwn(propertyArguments, member)) return;
  const wanted = propertyArguments[member];
  if (wanted !== undefined && !signature.startsWith(wanted.begins)) throw new CallError('InvalidArgs', wanted.expected);
}

/** `first`: the first character of the type that is there instead, '(' of a structure; undefined: there is none. */
function noVariant(property: string, first: string | undefined): CallError {
  const expected = `Incorrect signature when setting property '${property}', expected 'v', got `;
  // libsystemd prints a NUL where there is nothing, which ends the message
  const got = first === undefined ? `'` : `'${first === '(' ? 'r' : first}'.`;
  return new CallError('InvalidSignature', expected + got);
}

function getProperty(kind: ObjectKind, target: unknown, message: ReceivedCall): Reply {
  const [interfaceName, name] = bodyOf(message) as [string, string];
  const property = interfaceOf(kind, interfaceName)?.properties.get(name);
  if (property === undefined) throw unknownProperty(interfaceName, name);
  return { signature: 'v', body: [valueOf(property, target)] };
}

function valueOf(property: BoundProperty<unknown>, target: unknown): Variant {
  return { signature: property.declaration.type, value: property.read(target) };
}

/** An empty interface name means all interfaces of the object. */
function getAllProperties(kind: ObjectKind, target: unknown, message: ReceivedCall): Reply {
  const [interfaceName] = bodyOf(message) as [string];
  const wanted = interfaceName === '' ? kind.interfaces : kind.interfaces.filter((one) => one.declaration.name === interfaceName);
  if (wanted.length === 0 && interfaceName !== '' && !isStandard(interfaceName)) {
    throw new CallError('UnknownInterface', `Unknown interface '${interfaceName}'.`);
  }
  const all = new Map<string, Variant>();
  for (const one of wanted) {
    for (const [name, property] of one.properties) {
      if (!property.declaration.hidden) all.set(name, valueOf(property, target));
    }
  }
  return { signature: 'a{sv}', body: [all] };
}

function isStandard(name: string): boolean {
  return name.startsWith('org.freedesktop.DBus.') && /\.(Peer|Introspectable|Properties)$/.test(name);
}

function interfaceOf(kind: ObjectKind, name: string): BoundInterface<unknown> | undefined {
  return kind.interfaces.find((one) => one.declaration.name === name);
}

function findMethod(kind: ObjectKind, { interface: name, member }: ReceivedCall): BoundMethod<unknown> | undefined {
  return name === undefined ? undefined : interfaceOf(kind, name)?.methods.get(member);
}

function replyOf(method: BoundMethod<unknown>, output: unknown): Reply {
  if (method.outNames.length === 0) return noReply;
  const values = output as Readonly<Record<string, unknown>>;
  return { signature: method.outSignature, body: method.outNames.map((name) => values[name]) };
}

function unknownObject(path: string): CallError {
  return new CallError('UnknownObject', `Unknown object '${path}'.`);
}

function unknownMethod(message: ReceivedCall): CallError {
  return new CallError('UnknownMethod', `Unknown method ${message.member} or interface ${message.interface ?? '(null)'}.`);
}

function unknownProperty(interfaceName: string, name: string): CallError {
  return new CallError('UnknownProperty', `Unknown interface ${interfaceName} or property ${name}.`);
}

