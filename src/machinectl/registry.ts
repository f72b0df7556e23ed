// The registry as verbs use it: calls over D-Bus, which both the original and this project's daemon answer.
import { BusClient, type InputOf, type OutputOf, type PropertiesOf } from '../client/bus.js';
import type { MachinedError } from '../client/error.js';
import { isMachinedError } from '../client/error.js';
import { imageInterface } from '../contract/dbus/image.js';
import { machineInterface } from '../contract/dbus/machine.js';
import { managerInterface } from '../contract/dbus/manager.js';
import { busTarget, connectFailure, type BusTarget } from './bus-address.js';
import { CommandFailure } from './failure.js';
import type { Settings } from './settings.js';
import { errnoText } from './system-errors.js';

type Manager = typeof managerInterface;
type Method = keyof Manager['methods'];
type Input<M extends Method> = InputOf<Manager, M>;
type Output<M extends Method> = OutputOf<Manager, M>;

export type MachineProperties = PropertiesOf<typeof machineInterface>;
export type ImageProperties = PropertiesOf<typeof imageInterface>;
export type PoolProperties = PropertiesOf<typeof managerInterface>;

const service = 'org.freedesktop.machine1';
const accessDenied = 'org.freedesktop.DBus.Error.AccessDenied';
const managerPath = '/org/freedesktop/machine1';

export interface CallOptions {
  /** It may take as long as it likes: copies and clones do. */
  readonly patient?: boolean;
}

export class Registry implements Disposable {
  readonly #settings: Settings;
  #target: BusTarget | undefined;
  readonly #clients = new Map<string, BusClient>();

  constructor(settings: Settings) {
    this.#settings = settings;
  }

  /** How the bus is reached; machines of other hosts have no terminals here. Throws CommandFailure. */
  get target(): BusTarget {
    this.#target ??= busTarget(this.#settings, process.env);
    return this.#target;
  }

  /** The client of a service on that bus. */
  client(destination: string): BusClient {
    const known = this.#clients.get(destination);
    if (known !== undefined) return known;
    const client = new BusClient(this.target.address, destination);
    this.#clients.set(destination, client);
    return client;
  }

  /** Calls a method of the manager; the user may be asked for a password. Rejects with MachinedError or CommandFailure. */
  async call<M extends Method>(method: M, input: Input<M>, options: CallOptions = {}): Promise<Output<M>> {
    return this.attempt(this.client(service).call(managerInterface, managerPath, method, input, await this.callOptions(options, method)));
  }

  /** Like `call`, of a method that answers with descriptors, which are the caller's to close. */
  async callForDescriptors<M extends Method>(method: M, input: Input<M>): Promise<{ readonly output: Output<M>; readonly fds: readonly number[] }> {
    const options = await this.callOptions({ patient: true }, method);
    return this.attempt(this.client(service).callForDescriptors(managerInterface, managerPath, method, input, options));
  }

  machineProperties(path: string): Promise<MachineProperties> {
    return this.attempt(this.client(service).properties(machineInterface, path));
  }

  imageProperties(path: string): Promise<ImageProperties> {
    return this.attempt(this.client(service).properties(imageInterface, path));
  }

  poolProperties(): Promise<PoolProperties> {
    return this.attempt(this.client(service).properties(managerInterface, managerPath));
  }

  /** Resolves with the first machine of that name that ends; `ready` is called when none can be missed any more. */
  async machineRemoved(name: string, ready: () => void): Promise<void> {
    const removed = new Promise<void>((resolve, reject) => {
      this.client(service)
        .subscribe(managerInterface, managerPath, 'MachineRemoved', ({ machine }) => {
          if (machine === name) resolve();
        })
        .then(ready, reject);
    });
    await this.attempt(removed);
  }

  /** Connects, to fail early where there is no bus; what a call rejects with says the same as the original does. */
  async attempt<T>(call: Promise<T>): Promise<T> {
    try {
      return await call;
    } catch (error) {
      if (isMachinedError(error) && error.errorName === undefined && error.errno !== undefined && isConnectFailure(error)) {
        throw connectFailure(this.#settings.scope, this.target.transport, errnoText(error.errno));
      }
      throw error;
    }
  }

  async callOptions({ patient = false }: CallOptions, method = ''): Promise<{ readonly interactive: boolean; readonly timeout?: number }> {
    const isQuery = /^(Get|List)/.test(method);
    const interactive = isQuery ? this.#settings.askPassword : await this.allowQuestions();
    return patient ? { interactive, timeout: 0 } : { interactive };
  }

  /** Whether the user may be asked for a password; somebody who asks is there then. */
  async allowQuestions(): Promise<boolean> {
    if (!this.#settings.askPassword) return false;
    if (this.target.transport === 'local' && process.geteuid?.() !== 0) {
      const { openPolkitAgent } = await import('./polkit-agent.js');
      await openPolkitAgent();
    }
    return true;
  }

  [Symbol.dispose](): void {
    for (const client of this.#clients.values()) client.close();
  }
}

function isConnectFailure(error: MachinedError): boolean {
  return error.code === 'unreachable' || error.code === 'access-denied';
}

/** What went wrong, for people: the text of the service's error, or of the operating system's. */
export function reasonOf(error: unknown): string {
  const isOver = isMachinedError(error, 'disconnected') || (isMachinedError(error, 'unreachable') && error.errorName === undefined);
  if (isOver) return 'Transport endpoint is not connected';
  if (isMachinedError(error, 'timed-out') && error.errorName === undefined) return 'Connection timed out';
  if (isMachinedError(error) && error.errorName === accessDenied) return 'Access denied'; // as systemd's tools have it, whatever the service says
  if (error instanceof Error) return error.message;
  throw error;
}

/** 'Could not kill machine: No machine 'x' known'. Bugs are thrown on. */
export function failureOf(what: string, error: unknown): unknown {
  if (!isMachinedError(error)) return error;
  return new CommandFailure(`${what}: ${reasonOf(error)}`);
}

/** What a call answers; undefined if it was refused, for whatever reason. */
export async function unlessRefused<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (isMachinedError(error)) return undefined;
    throw error;
  }
}
