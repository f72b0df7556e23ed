// The service manager inside a guest: org.freedesktop.systemd1(5). What a shell's unit is made of, systemd-machined 262
// was seen to send.
import { Failure, systemFailure } from '../../domain/failure.js';
import { commandOf, type ShellRequest } from '../../domain/shell.js';
import { BusError, busErrors, isBusError } from '../../transport/dbus/bus-error.js';
import type { BusConnection } from '../../transport/dbus/connection.js';
import { escapeLabel } from '../../wire/dbus/object-path.js';
import { variant, type Variant } from '../../wire/dbus/value.js';

const systemd = 'org.freedesktop.systemd1';
const manager = { destination: systemd, path: '/org/freedesktop/systemd1', interface: `${systemd}.Manager` } as const;
const jobRemoved = { type: 'signal', sender: systemd, path: manager.path, interface: manager.interface, member: 'JobRemoved' } as const;

const answerLimit = 5000; // milliseconds for each answer
/** Milliseconds that a shell may take to start before it is handed out all the same: PAM may wait for a dead logind. */
const startLimit = 3000;

/** Why systemd could not start a process, by its exit status: systemd.exec(5), "Process Exit Codes". */
const exitStatus = { exec: 203, group: 216, user: 217, pam: 224 } as const;

/** CLD_EXITED, siginfo_t's si_code: waitid(2). */
const hasExited = 1;

type Property = readonly [string, Variant];

/** The service manager of a guest, on a connection to the guest's bus, which it owns. */
export class GuestManager implements Disposable {
  readonly #bus: BusConnection;

  constructor(bus: BusConnection) {
    this.#bus = bus;
  }

  [Symbol.dispose](): void {
    this.#bus.close();
  }

  /** Whether a systemd is on the bus, and not some other service manager. Throws Failure 'system'. */
  async isThere(): Promise<boolean> {
    return asked(async () => {
      const [owned] = await this.#bus.call({
        destination: 'org.freedesktop.DBus', path: '/org/freedesktop/DBus', interface: 'org.freedesktop.DBus',
        member: 'NameHasOwner', signature: 's', body: [systemd], replySignature: 'b', timeout: answerLimit,
      });
      return owned;
    });
  }

  /** A login prompt on /dev/pts/NUMBER. Resolves when systemd has accepted that. Throws Failure 'system'. */
  async startLogin(terminal: number): Promise<void> {
    await asked(() =>
      this.#bus.call({
        ...manager, member: 'StartUnit', signature: 'ss', body: [`container-getty@${terminal}.service`, 'replace'],
        replySignature: 'o', timeout: answerLimit,
      }),
    );
  }

  /**
   * A program on /dev/pts/NUMBER that is certainly there, for a user who is, too. The caller may close the slave end
   * afterwards. Resolves when systemd has accepted that: 20 ms before the program runs. Throws Failure 'system'.
   */
  async startKnownShell(terminal: number, slave: number, request: ShellRequest): Promise<void> {
    await asked(() => this.#startTransient(shellUnit(terminal), shellProperties(terminal, slave, request)));
  }

  /**
   * The same for a program or user that may not be there. Resolves when it runs, or may have run, or takes long to start;
   * false if it may also be that there is no such program. Throws Failure 'no-such-user', 'system': ENOENT (it cannot be
   * run), or what systemd says.
   */
  async startShell(terminal: number, slave: number, request: ShellRequest): Promise<boolean> {
    const unit = shellUnit(terminal);
    return asked(async () => {
      const results = new Map<string, string>();
      let heard = () => undefined as void;
      using _jobs = await this.#bus.subscribe({ rule: jobRemoved, signature: 'uoss' }, ([, job, , result]) => {
        results.set(job, result);
        heard();
      });
      const job = await this.#startWatched(unit, shellProperties(terminal, slave, request));
      await within(startLimit, (done) => {
        heard = () => void (results.has(job) && done());
        heard();
      });
      return !results.has(job) || (await this.#hasStarted(unit, request));
    });
  }

  /** Without Type=exec, which systemd before 240 does not know, nobody learns whether the program could be run. */
  async #startWatched(unit: string, properties: readonly Property[]): Promise<string> {
    try {
      return await this.#startTransient(unit, [['Type', variant('s', 'exec')], ['AddRef', variant('b', true)], ...properties]);
    } catch (error) {
      if (!isBusError(error, 'org.freedesktop.DBus.Error.InvalidArgs')) throw error;
      return this.#startTransient(unit, properties);
    }
  }

  async #startTransient(unit: string, properties: readonly Property[]): Promise<string> {
    const [job] = await this.#bus.call({
      ...manager, member: 'StartTransientUnit', signature: 'ssa(sv)a(sa(sv))', body: [unit, 'fail', properties, []],
      replySignature: 'o', timeout: answerLimit,
    });
    return job;
  }

  /**
   * The status of a program that was started is its own affair. systemd before 256 passes over a program that is not there
   * as if it had run and succeeded.
   */
  async #hasStarted(unit: string, { user, command }: ShellRequest): Promise<boolean> {
    const [properties] = await this.#bus.call({
      destination: systemd, path: `${manager.path}/unit/${escapeLabel(unit)}`, interface: 'org.freedesktop.DBus.Properties',
      member: 'GetAll', signature: 's', body: [`${systemd}.Service`], replySignature: 'a{sv}', timeout: answerLimit,
    });
    if (properties.get('ExecMainCode')?.value !== hasExited || wasHandedOver(properties)) return true;
    switch (properties.get('ExecMainStatus')?.value) {
      case exitStatus.user:
      case exitStatus.group:
        throw new Failure('no-such-user', `The machine has no user '${user}'`);
      case exitStatus.exec:
        throw systemFailure('ENOENT', `The machine has no program ${command?.program ?? '/bin/sh'} that can be run`);
      case exitStatus.pam:
        throw systemFailure('EACCES', `The machine does not let user '${user}' in`);
      default:
        return properties.get('ExecMainStatus')?.value !== 0;
    }
  }
}

/** Since systemd 256; before, a program that ends with such a status at once passes for one that was not found. */
function wasHandedOver(properties: ReadonlyMap<string, Variant>): boolean {
  const time = properties.get('ExecMainHandoffTimestamp')?.value;
  return typeof time === 'bigint' && time > 0n;
}

function shellUnit(terminal: number): string {
  return `container-shell@${terminal}.service`;
}

function shellProperties(terminal: number, slave: number, request: ShellRequest): readonly Property[] {
  const { user, environment } = request;
  const { program, arguments: words } = commandOf(request);
  return [
    ['Description', variant('s', `Shell for User ${user}`)],
    ['StandardInputFileDescriptor', variant('h', slave)],
    ['StandardOutputFileDescriptor', variant('h', slave)],
    ['StandardErrorFileDescriptor', variant('h', slave)],
    ['SendSIGHUP', variant('b', true)],
    ['IgnoreSIGPIPE', variant('b', false)],
    ['KillMode', variant('s', 'mixed')],
    ['TTYPath', variant('s', `/dev/pts/${terminal}`)],
    ['TTYReset', variant('b', true)],
    ['UtmpIdentifier', variant('s', `pts/${terminal}`)],
    ['UtmpMode', variant('s', 'user')],
    ['PAMName', variant('s', 'login')],
    ['WorkingDirectory', variant('s', '-~')],
    ['User', variant('s', user)],
    ...(environment.length === 0 ? [] : [['Environment', variant('as', environment)] as const]),
    // true: the unit has not failed if the program has, and so leaves its name to the next shell
    ['ExecStart', variant('a(sasb)', [[program, words, true]])],
  ];
}

/** Turns what the guest answers into a Failure. */
async function asked<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof BusError)) throw error;
    const { busName, message } = error;
    if (busName === busErrors.noReply) throw systemFailure('ETIMEDOUT', 'The machine does not answer', error);
    if (busName === busErrors.disconnected) throw systemFailure('ECONNRESET', 'The machine has hung up', error);
    throw new Failure('system', message, { busError: busName, cause: error });
  }
}

function within(milliseconds: number, start: (done: () => void) => void): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    start(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}
