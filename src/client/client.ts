import type { Backend, CommandRequest, Copy } from './backend.js';
import { signalNumber } from './convert.js';
import type { DBusBackend } from './dbus-backend.js';
import { isMachinedError, MachinedError } from './error.js';
import { Execution, type ExecSettings } from './execution.js';
import { MachineImages, type Runner } from './images.js';
import type {
  Address, CallSettings, KillWhom, Machine, MachineEvent, MetadataSettings, NewMachine, Progress, TerminalRequest,
} from './model.js';
import { loadNative } from './native.js';
import { directoryNotices, signalNotices } from './notice.js';
import { CopyFollower } from './progress.js';
import { Registration } from './registration.js';
import { RootDirectory } from './root-directory.js';
import { MachineTerminal } from './terminal.js';
import type { VarlinkBackend } from './varlink-backend.js';
import { comparedEvents, subscribedEvents } from './watch.js';

/** Milliseconds. */
const defaultTimeout = 30_000;
/** What a user takes to find a password. */
const interactiveTimeout = 120_000;

export interface ClientParts {
  readonly transport: 'auto' | 'varlink' | 'dbus';
  readonly varlink: VarlinkBackend;
  readonly dbus: DBusBackend;
  readonly stateDirectory: string;
  readonly timeout: number | undefined;
}

export interface CopySettings extends CallSettings {
  /** Whether an existing destination is replaced. */
  readonly replace?: boolean | undefined;
  /** Called as the copy goes on; only machined tells. */
  readonly onProgress?: ((progress: Progress) => void) | undefined;
}

export interface BindSettings extends CallSettings {
  /** Whether the machine may only read it. */
  readonly readOnly?: boolean | undefined;
  /** Whether to make the mount point first if there is none. */
  readonly mkdir?: boolean | undefined;
}

/**
 * The registry of machines, systemd-machined or machined. Get one from `connect`.
 *
 * All methods reject with MachinedError, whose `code` says what is wrong, or with the reason of the signal that they were
 * given. Methods that pass descriptors (terminals, root directories) need the package koffi, and load it when they are
 * called.
 */
export class MachineClient implements AsyncDisposable {
  /** What machines are started from. */
  readonly images: MachineImages;
  readonly #parts: ClientParts;
  readonly #backends: readonly Backend[];

  /** @internal */
  constructor(parts: ClientParts) {
    this.#parts = parts;
    this.#backends = { auto: [parts.varlink, parts.dbus], varlink: [parts.varlink], dbus: [parts.dbus] }[parts.transport];
    this.images = new MachineImages(this.#run);
  }

  /** All machines, the host itself ('.host') included. */
  list(settings: MetadataSettings = {}): Promise<readonly Machine[]> {
    return this.#run((backend, limits) => backend.list({ ...limits, metadata: settings.metadata }), settings);
  }

  /** One machine, by its name. Rejects with `no-such-machine`. */
  get(name: string, settings: MetadataSettings = {}): Promise<Machine> {
    return this.#run((backend, limits) => backend.get(name, { ...limits, metadata: settings.metadata }), settings);
  }

  /** The machine that a process runs in. Rejects with `no-such-machine`. */
  getByPid(pid: number, settings: MetadataSettings = {}): Promise<Machine> {
    return this.#run((backend, limits) => backend.getByPid(pid, { ...limits, metadata: settings.metadata }), settings);
  }

  /**
   * The machines that there are, then `ready`, and then what becomes of them, until the caller stops or the signal is
   * aborted. machined tells every change; with systemd-machined, what comes and goes within a moment may not be noticed.
   * Ends with MachinedError `disconnected` when the daemon goes.
   *
   *     for await (const event of client.watch()) if (event.type !== 'ready') console.log(event.type, event.machine.name);
   */
  async *watch(settings: CallSettings = {}): AsyncGenerator<MachineEvent, void, undefined> {
    const { transport, varlink, dbus, stateDirectory } = this.#parts;
    const list = (): Promise<readonly Machine[]> => this.list(settings);
    if (transport === 'dbus') return yield* comparedEvents(await signalNotices(dbus.bus), list, settings);
    const subscription = subscribedEvents(varlink.own, settings);
    let first: IteratorResult<MachineEvent, void>;
    try {
      first = await subscription.next();
    } catch (error) {
      if (!isElsewhere(error)) throw error;
      return yield* comparedEvents(directoryNotices(stateDirectory), list, settings);
    }
    if (first.done === true) return;
    yield first.value;
    yield* subscription;
  }

  /**
   * Adds a machine. What it returns holds the registration: `await using` it, or `release` it to leave the machine
   * registered for as long as its leader lives. Rejects with `machine-exists`.
   */
  async register(machine: NewMachine, settings: CallSettings = {}): Promise<Registration> {
    const leader = machine.leader ?? process.pid;
    await this.#run((backend, limits) => backend.register({ ...machine, leader }, limits), settings);
    return new Registration(this, machine.name, leader);
  }

  /** Forgets a machine; its processes go on. */
  unregister(name: string, settings: CallSettings = {}): Promise<void> {
    return this.#run((backend, limits) => backend.unregister(name, limits), settings);
  }

  /** Ends a machine with all of its processes. */
  terminate(name: string, settings: CallSettings = {}): Promise<void> {
    return this.#run((backend, limits) => backend.terminate(name, limits), settings);
  }

  /** Sends a signal, a number or a name ('SIGTERM', 'RTMIN+4'), to all processes of a machine, or to one. */
  async kill(name: string, signal: number | string, settings: CallSettings & { readonly whom?: KillWhom | undefined } = {}): Promise<void> {
    const number = signalNumber(signal);
    return this.#run((backend, limits) => backend.kill(name, number, settings.whom ?? 'all', limits), settings);
  }

  /** The network addresses of a machine. Rejects with `no-private-networking` if it shares those of the host. */
  addresses(name: string, settings: CallSettings = {}): Promise<readonly Address[]> {
    return this.#run((backend, limits) => backend.addresses(name, limits), settings);
  }

  /** What a machine's os-release(5) says. */
  osRelease(name: string, settings: CallSettings = {}): Promise<Readonly<Record<string, string>>> {
    return this.#run((backend, limits) => backend.osRelease(name, limits), settings);
  }

  /** The host's id of a machine's root user. Rejects with `no-uid-shift` if its ids are not mapped in one piece. */
  uidShift(name: string, settings: CallSettings = {}): Promise<number> {
    return this.#run((backend, limits) => backend.uidShift(name, limits), settings);
  }

  /** Where ssh reaches a machine. Rejects with `not-available` if it did not say. */
  async sshInfo(name: string, settings: CallSettings = {}): Promise<{ readonly address: string; readonly privateKeyPath?: string | undefined }> {
    const { sshAddress, sshPrivateKeyPath } = await this.get(name, settings);
    if (sshAddress === undefined) throw new MachinedError('not-available', `${name} did not say where ssh reaches it`);
    return sshPrivateKeyPath === undefined ? { address: sshAddress } : { address: sshAddress, privateKeyPath: sshPrivateKeyPath };
  }

  /**
   * Opens a terminal in a machine: with a shell or another program on its other end, with a login prompt, or with nothing.
   * What is typed before the program shows something may be lost.
   *
   *     const terminal = await client.openTerminal('web', { mode: 'shell', user: 'root' });
   *     process.stdin.pipe(terminal).pipe(process.stdout);
   */
  async openTerminal(name: string, request: TerminalRequest, settings: CallSettings = {}): Promise<MachineTerminal> {
    const { fd, path } = await this.#run((backend, limits) => backend.openTerminal(name, request, limits), settings);
    return new MachineTerminal(await loadNative(), fd, path, request.mode === 'login');
  }

  /**
   * Runs a command in a machine, without a terminal: its input, its output, how it ends. machined only.
   *
   *     await using command = await client.exec('web', ['uname', '-r']);
   *     for await (const bytes of command.stdout) process.stdout.write(bytes);
   *     const { status } = await command.ended;
   */
  async exec(name: string, command: readonly string[], settings: ExecSettings = {}): Promise<Execution> {
    const start = (request: CommandRequest) => this.#run((backend, limits) => backend.exec(request, limits), settings);
    return Execution.start(start, name, command, settings);
  }

  /** Opens the root directory of a container. */
  async openRoot(name: string, settings: CallSettings = {}): Promise<RootDirectory> {
    const fd = await this.#run((backend, limits) => backend.openRoot(name, limits), settings);
    return new RootDirectory(await loadNative(), fd);
  }

  /** Makes a file or directory of the host appear in a container, at the same path if no other is given. */
  bind(name: string, source: string, destination = source, settings: BindSettings = {}): Promise<void> {
    const options = { readOnly: settings.readOnly ?? false, mkdir: settings.mkdir ?? false };
    return this.#run((backend, limits) => backend.bind(name, source, destination, options, limits), settings);
  }

  /** Takes away what `bind` has mounted. machined only. */
  unbind(name: string, destination: string, settings: CallSettings = {}): Promise<void> {
    return this.#run((backend, limits) => backend.unbind(name, destination, limits), settings);
  }

  /**
   * Copies a file or directory of the host into a container, to the same path if no other is given. Takes as long as it
   * takes, unless a time limit is given. With machined, aborting the signal takes back what has been copied.
   */
  copyTo(name: string, source: string, destination = source, settings: CopySettings = {}): Promise<void> {
    return this.#copy({ direction: 'to', machine: name, source, destination, replace: settings.replace ?? false }, settings);
  }

  /** Copies a file or directory of a container to the host; otherwise as `copyTo`. */
  copyFrom(name: string, source: string, destination = source, settings: CopySettings = {}): Promise<void> {
    return this.#copy({ direction: 'from', machine: name, source, destination, replace: settings.replace ?? false }, settings);
  }

  /** The host's id of a user of a container. */
  mapUserFrom(name: string, uid: number, settings: CallSettings = {}): Promise<number> {
    return this.#run((backend, limits) => backend.mapFrom(name, 'user', uid, limits), settings);
  }

  /** The host's id of a group of a container. */
  mapGroupFrom(name: string, gid: number, settings: CallSettings = {}): Promise<number> {
    return this.#run((backend, limits) => backend.mapFrom(name, 'group', gid, limits), settings);
  }

  /** The container that a user id of the host belongs to, and the user's id there. Rejects with `no-such-user`. */
  mapUserTo(uid: number, settings: CallSettings = {}): Promise<{ readonly machine: string; readonly id: number }> {
    return this.#run((backend, limits) => backend.mapTo('user', uid, limits), settings);
  }

  /** The container that a group id of the host belongs to, and the group's id there. */
  mapGroupTo(gid: number, settings: CallSettings = {}): Promise<{ readonly machine: string; readonly id: number }> {
    return this.#run((backend, limits) => backend.mapTo('group', gid, limits), settings);
  }

  /** Ends all connections; what is under way rejects with `disconnected`. */
  close(): void {
    this.#parts.varlink[Symbol.dispose]();
    this.#parts.dbus[Symbol.dispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  async #copy(copy: Copy, { onProgress, ...settings }: CopySettings): Promise<void> {
    const { signal } = settings;
    const carryOut = (): Promise<void> => this.#run((backend, limits) => backend.copy(copy, limits), settings, 'long');
    if (onProgress === undefined && signal === undefined) return carryOut();
    using follower = await CopyFollower.start(this.#parts.varlink.own, copy, settings, onProgress ?? (() => undefined));
    try {
      await carryOut();
    } catch (error) {
      if (signal?.aborted === true) await follower.cancel();
      throw error;
    }
  }

  readonly #run: Runner = async (run, settings, long) => {
    let failure: unknown;
    for (const backend of this.#backends) {
      try {
        return await run(backend, this.#limits(settings, long));
      } catch (error) {
        if (!isElsewhere(error)) throw error;
        // "There is no such method" tells more than "nobody answers there, either".
        if (failure === undefined || isMachinedError(error, 'not-offered')) failure = error;
      }
    }
    throw failure;
  };

  #limits({ timeout, signal, interactive }: CallSettings, long: 'long' | undefined): CallSettings {
    const usual = interactive === true ? interactiveTimeout : (this.#parts.timeout ?? defaultTimeout);
    return { timeout: timeout ?? (long === undefined ? usual : 0), signal, interactive };
  }
}

/** Another protocol may have what this one has not. */
function isElsewhere(error: unknown): boolean {
  return isMachinedError(error, 'not-offered') || isMachinedError(error, 'unreachable');
}
