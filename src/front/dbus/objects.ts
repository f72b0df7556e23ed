import type { InterfaceDeclaration, MethodDeclaration, PropertyDeclaration } from '../../contract/dbus/declare.js';
import type { Authorization } from '../../contract/authorization.js';
import type { IncomingCall } from './incoming.js';

/** One declared method, ready to be called: what it takes, and who carries it out. */
export interface BoundMethod<Target> {
  readonly declaration: MethodDeclaration;
  readonly inSignature: string;
  readonly inNames: readonly string[];
  readonly outSignature: string;
  readonly outNames: readonly string[];
  readonly handler: (target: Target, input: never, call: IncomingCall) => unknown;
}

export interface BoundProperty<Target> {
  readonly declaration: PropertyDeclaration;
  readonly read: (target: Target) => unknown;
  readonly write: ((value: unknown, call: IncomingCall) => void | Promise<void>) | undefined;
  readonly authorization: Authorization | undefined;
}

/** An interface with everything that serves it. */
export interface BoundInterface<Target> {
  readonly declaration: InterfaceDeclaration;
  readonly methods: ReadonlyMap<string, BoundMethod<Target>>;
  readonly properties: ReadonlyMap<string, BoundProperty<Target>>;
}

/** A place in the object tree: objects of one kind, at one path or at all paths below a prefix. */
export interface ObjectKind<Target = unknown> {
  readonly interfaces: readonly BoundInterface<Target>[];
  /** The object at `path`, or undefined if there is none. May have to ask who calls ('self'). */
  find(path: string, call: IncomingCall | undefined): Target | undefined | Promise<Target | undefined>;
}

export function bindInterface<Target>(
  declaration: InterfaceDeclaration,
  handlers: Readonly<Record<string, unknown>>,
  readers: Readonly<Record<string, (target: Target) => unknown>>,
  writers: Readonly<Record<string, BoundProperty<Target>['write']>> = {},
): BoundInterface<Target> {
  const methods = new Map<string, BoundMethod<Target>>();
  for (const [name, method] of Object.entries(declaration.methods)) {
    methods.set(name, bindMethod(declaration, name, method, handlers[name]));
  }
  const properties = new Map<string, BoundProperty<Target>>();
  for (const [name, property] of Object.entries(declaration.properties)) {
    const read = readers[name];
    if (read === undefined) throw new Error(`nothing reads ${declaration.name}.${name}`);
    properties.set(name, { declaration: property, read, write: writers[name], authorization: property.set });
  }
  return { declaration, methods, properties };
}

function bindMethod<Target>(
  declaration: InterfaceDeclaration,
  name: string,
  method: MethodDeclaration,
  handler: unknown,
): BoundMethod<Target> {
  if (typeof handler !== 'function') throw new Error(`nothing carries out ${declaration.name}.${name}`);
  return {
    declaration: method,
    inSignature: Object.values(method.in).join(''),
    inNames: Object.keys(method.in),
    outSignature: Object.values(method.out).join(''),
    outNames: Object.keys(method.out),
    handler: handler as BoundMethod<Target>['handler'],
  };
}
