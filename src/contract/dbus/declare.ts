import type { FromSignature } from '../../wire/dbus/signature.js';
import type { Authorization } from '../authorization.js';

/** Argument names and their D-Bus types, each one complete type, in the order they have on the wire. */
export type Arguments = Readonly<Record<string, string>>;

/** The JavaScript values of such arguments, by name. */
export type ValuesOf<A extends Arguments> = { readonly [K in keyof A]: FromSignature<A[K]>[0] };

export interface MethodDeclaration<I extends Arguments = Arguments, O extends Arguments = Arguments> {
  readonly in: I;
  readonly out: O;
  readonly authorization: Authorization;
  /** Its arguments carry no names in the introspection data. */
  readonly unnamed: boolean;
}

export type EmitsChanged = 'const' | 'false' | 'invalidates' | 'true';

export interface PropertyDeclaration<S extends string = string> {
  readonly type: S;
  readonly emitsChanged: EmitsChanged;
  /** Who may set it; absent: nobody. */
  readonly set: Authorization | undefined;
  /** For those who know of it: neither the introspection data nor GetAll show it. */
  readonly hidden: boolean;
}

export interface SignalDeclaration<A extends Arguments = Arguments> {
  readonly arguments: A;
}

export interface InterfaceDeclaration<
  M extends Readonly<Record<string, MethodDeclaration>> = Readonly<Record<string, MethodDeclaration>>,
  P extends Readonly<Record<string, PropertyDeclaration>> = Readonly<Record<string, PropertyDeclaration>>,
  S extends Readonly<Record<string, SignalDeclaration>> = Readonly<Record<string, SignalDeclaration>>,
> {
  readonly name: string;
  readonly methods: M;
  readonly properties: P;
  readonly signals: S;
}

export function method<const I extends Arguments, const O extends Arguments>(declaration: {
  in?: I;
  out?: O;
  authorization: Authorization;
  unnamed?: boolean;
}): MethodDeclaration<I, O> {
  return {
    in: declaration.in ?? ({} as I),
    out: declaration.out ?? ({} as O),
    authorization: declaration.authorization,
    unnamed: declaration.unnamed ?? false,
  };
}

export function property<const S extends string>(
  type: S,
  emitsChanged: EmitsChanged,
  options: { set?: Authorization; hidden?: boolean } = {},
): PropertyDeclaration<S> {
  return { type, emitsChanged, set: options.set, hidden: options.hidden ?? false };
}

export function signal<const A extends Arguments>(args: A): SignalDeclaration<A> {
  return { arguments: args };
}

export function dbusInterface<
  const M extends Readonly<Record<string, MethodDeclaration>>,
  const P extends Readonly<Record<string, PropertyDeclaration>>,
  const S extends Readonly<Record<string, SignalDeclaration>>,
>(name: string, members: { methods: M; properties: P; signals: S }): InterfaceDeclaration<M, P, S> {
  return { name, ...members };
}

/** One handler per declared method: named values in, named values out. `Call` is the front end's context of a call. */
export type Handlers<D extends InterfaceDeclaration, Call, Target> = {
  readonly [K in keyof D['methods']]: D['methods'][K] extends MethodDeclaration<infer I, infer O>
    ? (target: Target, input: ValuesOf<I>, call: Call) => ValuesOf<O> | Promise<ValuesOf<O>>
    : never;
};

/** One reader per declared property. */
export type Readers<D extends InterfaceDeclaration, Target> = {
  readonly [K in keyof D['properties']]: D['properties'][K] extends PropertyDeclaration<infer S>
    ? (target: Target) => FromSignature<S>[0]
    : never;
};
