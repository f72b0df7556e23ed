import { Failure, isFailure, systemFailure } from '../../domain/failure.js';
import type { ProcessIdentity } from '../../domain/machine.js';
import { commandOf, type ShellRequest } from '../../domain/shell.js';
import type { Terminal, Terminals } from '../../ports/terminals.js';
import { BusConnection } from '../../transport/dbus/connection.js';
import { close } from '../kernel/libc.js';
import { UnixStream } from '../kernel/unix-stream.js';
import { readPeerCredentials } from '../kernel/peer-credentials.js';
import { openSlave } from '../kernel/pseudo-terminal.js';
import { failureOf } from '../kernel/system-error.js';
import { startEntered } from './entered-shell.js';
import { GuestManager } from './guest-manager.js';
import { HelperPool, ordinaryLimits } from './helper-pool.js';
import { leaderText } from './protocol.js';

/** Milliseconds in which the guest's bus must have let us in. */
const openingLimit = 5000;

/** What there is where nobody listens: no file, no directory, a socket of a bus that has gone. */
const noBusErrors = new Set(['ENOENT', 'ENOTDIR', 'ENOTSOCK', 'ECONNREFUSED']);

/** Asks for a name and a password by itself. */
const loginPrompt: ShellRequest = { user: 'root', command: { program: '/bin/login', arguments: ['login'] }, environment: [] };

/** A terminal before it is handed out: its ends, which are closed unless the master was taken. */
class NewTerminal implements Disposable {
  readonly number: number;
  #master: number | undefined;
  #slave: number | undefined;

  constructor(number: number, master: number) {
    this.number = number;
    this.#master = master;
  }

  /** The other end. Throws Failure 'system'. */
  get slave(): number {
    try {
      return (this.#slave ??= openSlave(this.#open));
    } catch (error) {
      throw failureOf(error, `Cannot open /dev/pts/${this.number} of the machine`);
    }
  }

  /** Gives the master away. */
  take(): Terminal {
    const fd = this.#open;
    this.#master = undefined;
    return { fd, path: `/dev/pts/${this.number}` };
  }

  [Symbol.dispose](): void {
    for (const fd of [this.#slave, this.#master]) if (fd !== undefined) close(fd);
    this.#slave = undefined;
    this.#master = undefined;
  }

  get #open(): number {
    if (this.#master === undefined) throw new Error('the terminal has been taken already');
    return this.#master;
  }
}

/**
 * Terminals of the devpts in the guest's root directory, with programs that the guest's own systemd starts on them, or
 * that enter the guest where it has none. What walks the guest's paths is done by helper processes.
 */
export class GuestTerminals implements Terminals, Disposable {
  readonly #helpers = new HelperPool(ordinaryLimits);

  [Symbol.dispose](): void {
    this.#helpers[Symbol.dispose]();
  }

  async open(leader: ProcessIdentity): Promise<Terminal> {
    using terminal = await this.#openTerminal(leader);
    return terminal.take();
  }

  async login(leader: ProcessIdentity): Promise<Terminal> {
    using terminal = await this.#openTerminal(leader);
    using manager = await this.#manager(leader);
    if (manager === undefined) await this.#enter(leader, terminal, loginPrompt);
    else await manager.startLogin(terminal.number);
    return terminal.take();
  }

  async shell(leader: ProcessIdentity, request: ShellRequest): Promise<Terminal> {
    using terminal = await this.#openTerminal(leader);
    using manager = await this.#manager(leader);
    if (manager === undefined) await this.#enter(leader, terminal, request);
    else if (await this.#isKnown(leader, request)) await manager.startKnownShell(terminal.number, terminal.slave, request);
    else if (!(await manager.startShell(terminal.number, terminal.slave, request))) await this.#requireProgram(leader, request);
    return terminal.take();
  }

  async enteredShell(leader: ProcessIdentity, request: ShellRequest): Promise<Terminal> {
    using terminal = await this.#openTerminal(leader);
    await this.#enter(leader, terminal, request);
    return terminal.take();
  }

  /** Users may be known to the guest alone, by a service of its own; and what cannot be read, its systemd may yet find. */
  async #isKnown(leader: ProcessIdentity, request: ShellRequest): Promise<boolean> {
    const { user } = request;
    const { program } = commandOf(request);
    try {
      return (await this.#helpers.ask('is-known', { leader: leaderText(leader), user, program })).output;
    } catch (error) {
      if (isFailure(error, 'system') && error.errno !== 'ETIMEDOUT') return false;
      throw error;
    }
  }

  async #requireProgram(leader: ProcessIdentity, { command }: ShellRequest): Promise<void> {
    if (command === undefined) return;
    await this.#helpers.ask('require-program', { leader: leaderText(leader), program: command.program });
  }

  /** For a guest that has nobody to start a program for us. */
  async #enter(leader: ProcessIdentity, terminal: NewTerminal, request: ShellRequest): Promise<void> {
    const { user, command } = request;
    const program = command?.program ?? '';
    const { output, fds } = await this.#helpers.ask('find-entrance', { leader: leaderText(leader), user, program });
    if (output === null) throw new Failure('no-such-user', `The machine has no user '${user}'`);
    await startEntered(terminal.slave, request, output, fds);
  }

  async #openTerminal(leader: ProcessIdentity): Promise<NewTerminal> {
    const { output: number, fds } = await this.#helpers.ask('open-terminal', { leader: leaderText(leader) });
    return new NewTerminal(number, fds[0] as number);
  }

  /** undefined if the guest has no bus, or no systemd on it. */
  async #manager(leader: ProcessIdentity): Promise<GuestManager | undefined> {
    const bus = await this.#connectBus(leader);
    if (bus === undefined) return undefined;
    const manager = new GuestManager(bus);
    try {
      if (await manager.isThere()) return manager;
    } catch (error) {
      manager[Symbol.dispose]();
      throw error;
    }
    manager[Symbol.dispose]();
    return undefined;
  }

  async #connectBus(leader: ProcessIdentity): Promise<BusConnection | undefined> {
    try {
      const { output, fds } = await this.#helpers.ask('connect-bus', { leader: leaderText(leader) });
      return await introduce(fds[0] as number, output.uid);
    } catch (error) {
      if (isFailure(error, 'system') && noBusErrors.has(error.errno ?? '')) return undefined;
      throw error;
    }
  }
}

/** Owns the descriptor. */
async function introduce(fd: number, uid: number): Promise<BusConnection> {
  let stream: UnixStream;
  try {
    stream = new UnixStream(fd, readPeerCredentials(fd), false);
  } catch (error) {
    close(fd);
    throw error;
  }
  try {
    return await BusConnection.open(stream, { uid, openingLimit, closeDescriptor: close });
  } catch (error) {
    throw systemFailure('ETIMEDOUT', `The bus of the machine cannot be talked to: ${error instanceof Error ? error.message : String(error)}`, error);
  }
}
