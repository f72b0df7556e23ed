// D-Bus calls to the registry, typed by the declarations that the server is made of.
import type { Arguments, InterfaceDeclaration, MethodDeclaration, PropertyDeclaration, SignalDeclaration, ValuesOf } from '../contract/dbus/declare.js';
import type { ByteStream } from '../ports/stream.js';
import { BusConnection } from '../transport/dbus/connection.js';
import { BusError, busErrors } from '../transport/dbus/bus-error.js';
import { parseAddresses, type ServerAddress } from '../wire/dbus/address.js';
import { WireError } from '../wire/dbus/errors.js';
import type { FromSignature } from '../wire/dbus/signature.js';
import type { Variant } from '../wire/dbus/value.js';
import { machinedError, MachinedError, unreachable } from './error.js';
import { loadNative, type Native } from './native.js';
import { connectSocket } from './socket-stream.js';

export interface BusCallOptions {
  /** Milliseconds; 0 for no limit. */
  readonly timeout?: number | undefined;
  /** Ends the waiting; the call may still be carried out. */
  readonly signal?: AbortSignal | undefined;
  /** A user may be asked for a password. */
  readonly interactive?: boolean | undefined;
}

type MethodName<D extends InterfaceDeclaration> = keyof D['methods'] & string;
type PropertyName<D extends InterfaceDeclaration> = keyof D['properties'] & string;
type SignalName<D extends InterfaceDeclaration> = keyof D['signals'] & string;
export type InputOf<D extends InterfaceDeclaration, M extends MethodName<D>> = D['methods'][M] extends MethodDeclaration<infer I> ? ValuesOf<I> : never;
export type OutputOf<D extends InterfaceDeclaration, M extends MethodName<D>> =
  D['methods'][M] extends MethodDeclaration<Arguments, infer O> ? ValuesOf<O> : never;
type SignalValues<D extends InterfaceDeclaration, S extends SignalName<D>> =
  D['signals'][S] extends SignalDeclaration<infer A> ? ValuesOf<A> : never;

/** The properties of an object; an older service does not have all of them. */
export type PropertiesOf<D extends InterfaceDeclaration> = {
  readonly [K in PropertyName<D>]?: D['properties'][K] extends PropertyDeclaration<infer S> ? FromSignature<S>[0] : never;
};

/** Where the D-Bus Specification ("Well-known Message Bus Instances") and every distribution put it. */
export const systemBusAddress = 'unix:path=/run/dbus/system_bus_socket';

const propertiesInterface = 'org.freedesktop.DBus.Properties';

/**
 * Calls to one service on a bus. Methods that receive descriptors have a second connection, which loads the native
 * library.
 *
 *     const client = new BusClient(systemBusAddress, 'org.freedesktop.machine1');
 *     const { machine } = await client.call(managerInterface, '/org/freedesktop/machine1', 'GetMachine', { name: 'web' });
 *
 * Everything rejects with MachinedError, or with the reason of the signal.
 */
export class BusClient implements Disposable {
  readonly #address: string;
  readonly #destination: string;
  #plain: Promise<BusConnection> | undefined;
  #passing: Promise<BusConnection> | undefined;
  #closed = false;

  /** Connects when it is first used. `address` as in $DBUS_SYSTEM_BUS_ADDRESS. */
  constructor(address: string, destination: string) {
    this.#address = address;
    this.#destination = destination;
  }

  /** Connects now, for the first call to come. Calls do that by themselves. */
  async connect(): Promise<void> {
    await this.#plainConnection();
  }

  async call<D extends InterfaceDeclaration, M extends MethodName<D>>(
    declaration: D,
    path: string,
    method: M,
    input: InputOf<D, M>,
    options: BusCallOptions = {},
  ): Promise<OutputOf<D, M>> {
    const connection = await this.#plainConnection();
    const request = this.#request(declaration, path, method, input, options);
    return outputOf(declaration, method, await limited(connection.call(request), options.signal));
  }

  /**
   * Calls a method that passes descriptors, the values of type 'h'. Those that are sent stay the caller's, who may close them
   * when the call has ended; those that come with the reply are the caller's to close.
   */
  async callForDescriptors<D extends InterfaceDeclaration, M extends MethodName<D>>(
    declaration: D,
    path: string,
    method: M,
    input: InputOf<D, M>,
    options: BusCallOptions = {},
  ): Promise<{ readonly output: OutputOf<D, M>; readonly fds: readonly number[] }> {
    const native = await loadNative();
    const connection = await this.#passingConnection(native);
    const answer = connection.callForDescriptors(this.#request(declaration, path, method, input, options));
    try {
      const { body, fds } = await limited(answer, options.signal);
      return { output: outputOf(declaration, method, body), fds };
    } catch (error) {
      if (options.signal?.aborted === true) answer.then(({ fds }) => fds.forEach(native.close), ignore);
      throw error;
    }
  }

  /** All properties that the object has of those declared. */
  async properties<D extends InterfaceDeclaration>(declaration: D, path: string, options: BusCallOptions = {}): Promise<PropertiesOf<D>> {
    const connection = await this.#plainConnection();
    const answer = connection.call({
      destination: this.#destination, path, interface: propertiesInterface, member: 'GetAll', signature: 's',
      body: [declaration.name], replySignature: 'a{sv}', ...limits(options),
    });
    const [all] = await limited(answer, options.signal);
    const known: Record<string, unknown> = {};
    for (const [name, { type }] of Object.entries(declaration.properties)) {
      const value = all.get(name);
      if (value !== undefined) known[name] = valueOf(name, type, value);
    }
    return known as PropertiesOf<D>;
  }

  async property<D extends InterfaceDeclaration, P extends PropertyName<D>>(
    declaration: D,
    path: string,
    name: P,
    options: BusCallOptions = {},
  ): Promise<NonNullable<PropertiesOf<D>[P]>> {
    const connection = await this.#plainConnection();
    const answer = connection.call({
      destination: this.#destination, path, interface: propertiesInterface, member: 'Get', signature: 'ss',
      body: [declaration.name, name], replySignature: 'v', ...limits(options),
    });
    const [value] = await limited(answer, options.signal);
    return valueOf(name, declaration.properties[name]?.type ?? '', value) as NonNullable<PropertiesOf<D>[P]>;
  }

  /** Calls the handler for every such signal of the service, until the result is disposed of. */
  async subscribe<D extends InterfaceDeclaration, S extends SignalName<D>>(
    declaration: D,
    path: string,
    name: S,
    handler: (values: SignalValues<D, S>) => void,
  ): Promise<Disposable> {
    const args = declaration.signals[name]?.arguments ?? {};
    const connection = await this.#plainConnection();
    const subscription = connection.subscribe(
      {
        rule: { type: 'signal', sender: this.#destination, path, interface: declaration.name, member: name },
        signature: Object.values(args).join(''),
      },
      (body) => handler(named(args, body) as SignalValues<D, S>),
    );
    return limited(subscription, undefined);
  }

  /** Resolves when the connection that signals come on is over. */
  async whenClosed(): Promise<Error | undefined> {
    return (await this.#plainConnection()).closed;
  }

  close(): void {
    this.#closed = true;
    for (const connection of [this.#plain, this.#passing]) connection?.then((open) => open.close(), ignore);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #request(declaration: InterfaceDeclaration, path: string, method: string, input: Readonly<Record<string, unknown>>, options: BusCallOptions) {
    const { in: args, out } = declaration.methods[method] as MethodDeclaration;
    return {
      destination: this.#destination, path, interface: declaration.name, member: method,
      signature: Object.values(args).join(''), body: Object.keys(args).map((name) => input[name]),
      replySignature: Object.values(out).join(''), ...limits(options),
    };
  }

  async #plainConnection(): Promise<BusConnection> {
    const access = { connect: connectSocket, run: startProgram, closeDescriptor: noDescriptors, passDescriptors: false };
    this.#plain ??= this.#connect(access, () => (this.#plain = undefined));
    return this.#plain;
  }

  async #passingConnection(native: Native): Promise<BusConnection> {
    const run = async ({ path, arguments: parameters }: ProgramAddress) => (await programs()).runPassingProgram(native, path, parameters);
    const access = { connect: native.connectUnix, run, closeDescriptor: native.close, passDescriptors: true };
    this.#passing ??= this.#connect(access, () => (this.#passing = undefined));
    return this.#passing;
  }

  /** `over` is called when there is no such connection (any more). */
  async #connect(access: Access, over: () => void): Promise<BusConnection> {
    try {
      if (this.#closed) throw new MachinedError('disconnected', 'This client was closed');
      const connection = await openFirst(this.#address, access);
      void connection.closed.then(over);
      return connection;
    } catch (error) {
      over();
      throw error;
    }
  }
}

type ProgramAddress = Extract<ServerAddress, { transport: 'unixexec' }>;

/** How a socket is connected to, or a program started that leads to one, and what it can do. */
interface Access {
  readonly connect: (address: string) => Promise<ByteStream>;
  readonly run: (address: ProgramAddress) => Promise<ByteStream>;
  readonly closeDescriptor: (fd: number) => void;
  readonly passDescriptors: boolean;
}

/** The first of several addresses at which a bus answers. */
async function openFirst(addresses: string, { connect, run, ...options }: Access): Promise<BusConnection> {
  let failure: unknown;
  for (const address of readAddresses(addresses)) {
    try {
      const stream = await (address.transport === 'unixexec' ? run(address) : connect(socketName(address)));
      return await BusConnection.open(stream, { uid: process.geteuid?.() ?? 0, ...options });
    } catch (error) {
      failure ??= error;
    }
  }
  throw unreachable(addresses, failure);
}

async function startProgram({ path, arguments: parameters }: ProgramAddress): Promise<ByteStream> {
  return (await programs()).runProgram(path, parameters);
}

/** Few callers need them, and what it takes to start programs is slow to load. */
function programs() {
  return import('./program-stream.js');
}

function readAddresses(text: string): readonly ServerAddress[] {
  try {
    return parseAddresses(text);
  } catch (error) {
    if (error instanceof WireError) throw new MachinedError('invalid-argument', error.message, { cause: error });
    throw error;
  }
}

function socketName(address: Exclude<ServerAddress, { transport: 'unixexec' }>): string {
  switch (address.transport) {
    case 'unix':
      return address.path;
    case 'unix-abstract':
      return `@${address.name}`;
    case 'unsupported':
      throw new MachinedError('unreachable', `There is no way to the bus at ${address.text}: only UNIX sockets and programs (unixexec) are supported`);
  }
}

function limits({ timeout, interactive = false }: BusCallOptions) {
  return timeout === undefined ? { allowInteractive: interactive } : { timeout, allowInteractive: interactive };
}

/** The promise, unless the signal comes first; and failures as this library reports them. */
async function limited<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal?.aborted === true) promise.catch(ignore);
  signal?.throwIfAborted();
  let onAbort: () => void = ignore;
  const aborted = new Promise<never>((_resolve, reject) => {
    onAbort = () => reject(signal?.reason as Error);
    signal?.addEventListener('abort', onAbort);
  });
  try {
    return await Promise.race([promise, aborted]);
  } catch (error) {
    throw machinedError(error);
  } finally {
    signal?.removeEventListener('abort', onAbort);
  }
}

function outputOf<D extends InterfaceDeclaration, M extends MethodName<D>>(declaration: D, method: M, body: readonly unknown[]): OutputOf<D, M> {
  return named((declaration.methods[method] as MethodDeclaration).out, body) as OutputOf<D, M>;
}

function named(args: Readonly<Record<string, string>>, body: readonly unknown[]): Record<string, unknown> {
  return Object.fromEntries(Object.keys(args).map((name, index) => [name, body[index]]));
}

function valueOf(name: string, type: string, { signature, value }: Variant): unknown {
  if (signature === type) return value;
  throw machinedError(new BusError(busErrors.inconsistentMessage, `Property ${name} has type '${signature}' instead of '${type}'`));
}

/** On a socket of node:net, none can come. */
function noDescriptors(fd: number): never {
  throw new Error(`descriptor ${fd} came out of nowhere`);
}

function ignore(): void {
  // whoever called has been told
}
