import type { CommandEnd, CommandRequest } from '../../domain/command.js';
import { Failure, invalidArgument, systemFailure } from '../../domain/failure.js';
import type { ProcessIdentity } from '../../domain/machine.js';
import type { Commands, CommandStreams, RunningCommand } from '../../ports/commands.js';
import { close, pidfdSendSignal } from '../kernel/libc.js';
import { openPidfd } from '../kernel/pidfd.js';
import { closeAll } from '../kernel/socket-message.js';
import { errnoNameOf } from '../kernel/system-error.js';
import { cryptography } from '../on-demand.js';
import { CommandCgroup, openMachineCgroup } from './command-cgroup.js';
import { guestPath, userEnvironment } from './entering.js';
import type { CommandEntrance } from './entrance.js';
import { HelperPool, ordinaryLimits, type HelperLimits } from './helper-pool.js';
import { Launcher, lostCommand, type LaunchedCommand } from './launcher.js';
import { leaderText } from './protocol.js';

const SIGKILL = 9;
const SIGTERM = 15;
const SIGCONT = 18;

/** How long a launcher without work is kept, in milliseconds. */
const idleLimit = 60_000;

/**
 * Variables that say to the host's own shell, setpriv(1), nsenter(1) and their loader what to load, to run or to write: they
 * reach the guest's program only by way of the guest's env(1). Source: ld.so(8), "Secure-execution mode"; dash(1), bash(1).
 */
const hostVariables =
  new RegExp(`^(${[
    'LD_.*|GLIBC_.*|MALLOC_.*|GCONV_PATH|GETCONF_DIR|HOSTALIASES|LOCALDOMAIN|LOCPATH|NIS_PATH|NLSPATH|RESOLV_HOST_CONF|RES_OPTIONS',
    'TMPDIR|TZ|TZDIR|LANG|LANGUAGE|LC_.*|TEXTDOMAIN.*|OUTPUT_CHARSET|MUSL_.*',
    'BASH.*|SHELLOPTS|POSIXLY_CORRECT|ENV|IFS|PS[0-9]|CDPATH|LIBMOUNT_.*|UL_.*|UTIL.*|SELINUX.*',
  ].join('|')})$`);

/** Commands that enter the guest's namespaces, whatever the guest is made of. The guest's own systemd, if any, has no part in it. */
export class GuestCommands implements Commands, Disposable {
  readonly #helpers: HelperPool;
  #launcher: Launcher | undefined;
  #idle: NodeJS.Timeout | undefined;

  constructor(limits: HelperLimits = ordinaryLimits) {
    this.#helpers = new HelperPool(limits);
  }

  async run(leader: ProcessIdentity, request: CommandRequest, streams: CommandStreams): Promise<RunningCommand> {
    if (process.geteuid?.() !== 0) throw systemFailure('EPERM', "Only root's registry can enter machines");
    const { output: entrance, fds } = await this.#helpers.ask('find-command', {
      leader: leaderText(leader),
      user: request.user,
      needs: {
        program: request.words[0],
        searchPath: valueIn(request.environment, 'PATH') ?? guestPath,
        directory: request.workingDirectory ?? null,
      },
    });
    if (entrance === null) throw new Failure('no-such-user', `The machine has no user '${request.user}'`);
    try {
      return await this.#start(entrance, fds, request, streams);
    } finally {
      closeAll(fds);
    }
  }

  /** All commands that still run end. */
  [Symbol.dispose](): void {
    clearTimeout(this.#idle);
    this.#helpers[Symbol.dispose]();
    this.#launcher?.end();
  }

  async #start(entrance: CommandEntrance, entranceFds: readonly number[], request: CommandRequest, streams: CommandStreams) {
    const { environment, wrapper } = splitEnvironment(entrance, request.environment);
    const cgroup = CommandCgroup.make(entrance.cgroup, cryptography().randomUUID());
    const machineCgroup = cgroup === undefined ? openMachineCgroup(entrance.cgroup) : undefined;
    const cgroupFds = cgroup?.fds ?? (machineCgroup === undefined ? [] : [machineCgroup]);
    const given = [streams.input, streams.output, streams.error];
    const present = given.filter((fd) => fd !== undefined);
    try {
      const launched = await this.#current().start(
        {
          entrance,
          words: [...wrapper, ...request.words], // nsenter(1) looks for the program as this PATH says
          environment,
          streams: [streams.input !== undefined, streams.output !== undefined, streams.error !== undefined],
          cgroupFiles: cgroupFds.length,
        },
        [...present, ...entranceFds, ...cgroupFds],
      );
      return new EnteredCommand(launched, cgroup);
    } catch (error) {
      cgroup?.[Symbol.dispose]();
      throw error;
    } finally {
      if (machineCgroup !== undefined) close(machineCgroup);
    }
  }

  #current(): Launcher {
    clearTimeout(this.#idle);
    if (this.#launcher === undefined || this.#launcher.isOver) {
      const launcher: Launcher = new Launcher(() => this.#retireLater(launcher));
      this.#launcher = launcher;
    }
    return this.#launcher;
  }

  #retireLater(launcher: Launcher): void {
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => {
      if (launcher.isIdle) launcher.end();
    }, idleLimit);
    this.#idle.unref();
  }
}

/** A command, for as long as it runs. */
class EnteredCommand implements RunningCommand {
  readonly pid: number;
  readonly ended: Promise<CommandEnd>;
  readonly #waiter: number;
  #pidfd: number | undefined;
  #cgroup: CommandCgroup | undefined;
  #isEnding = false;
  #isOver = false;

  /** Owns the pidfd and the cgroup. */
  constructor({ pid, waiter, pidfd, ended }: LaunchedCommand, cgroup: CommandCgroup | undefined) {
    this.pid = pid;
    this.#waiter = waiter;
    this.#pidfd = pidfd;
    this.#cgroup = cgroup;
    this.ended = ended.then((end) => {
      if (end === lostCommand || this.#isEnding) this.#cgroup?.kill(); // what it leaves behind
      this.#release();
      return end;
    });
  }

  signal(signal: number): void {
    if (this.#isOver) return;
    if (this.#pidfd !== undefined) pidfdSendSignal(this.#pidfd, signal);
    if (signal === SIGCONT) signalUnlessEnded(this.#waiter, 'SIGCONT'); // it stopped when the command did
  }

  terminate(): void {
    if (this.#isOver) return;
    this.#isEnding = true;
    this.signal(SIGCONT); // what is stopped ends no sooner
    if (this.#cgroup === undefined) return signalUnlessEnded(-this.#waiter, 'SIGTERM');
    this.signal(SIGTERM);
    for (const pid of this.#cgroup.processes()) {
      if (pid !== this.pid && pid !== this.#waiter) this.#signalMember(pid, SIGTERM);
    }
  }

  kill(): void {
    if (this.#isOver) return;
    this.#isEnding = true;
    if (this.#cgroup !== undefined) this.#cgroup.kill();
    else signalUnlessEnded(-this.#waiter, 'SIGKILL');
    this.signal(SIGKILL);
  }

  /** Its PID may have become another process's since it was read. */
  #signalMember(pid: number, signal: number): void {
    let pidfd: number;
    try {
      pidfd = openPidfd(pid);
    } catch {
      return; // it has ended
    }
    if (this.#cgroup?.processes().includes(pid) === true) pidfdSendSignal(pidfd, signal);
    close(pidfd);
  }

  #release(): void {
    this.#isOver = true;
    if (this.#pidfd !== undefined) close(this.#pidfd);
    this.#pidfd = undefined;
    this.#cgroup?.[Symbol.dispose]();
    this.#cgroup = undefined;
  }
}

/** A negative number is that of a process group: kill(2). */
function signalUnlessEnded(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (errnoNameOf(error) !== 'ESRCH') throw error;
  }
}

function valueIn(environment: readonly string[], name: string): string | undefined {
  return environment.find((assignment) => assignment.startsWith(`${name}=`))?.slice(name.length + 1);
}

/** What may be in the environment on the way into the guest, and what a tool of the guest has to set. Throws Failure 'invalid-argument'. */
function splitEnvironment(entrance: CommandEntrance, assignments: readonly string[]) {
  const forHost = assignments.filter((assignment) => hostVariables.test(nameOf(assignment)));
  const others = assignments.filter((assignment) => !forHost.includes(assignment));
  const values = others.map((assignment) => [nameOf(assignment), assignment.slice(nameOf(assignment).length + 1)]);
  const environment = { ...userEnvironment(entrance), ...(Object.fromEntries(values) as Record<string, string>) };
  if (forHost.length === 0) return { environment, wrapper: [] };
  if (entrance.environmentTool === null) {
    throw invalidArgument('environment', `${nameOf(forHost[0] as string)} can only be set in a machine that has env(1)`);
  }
  return { environment, wrapper: [entrance.environmentTool, ...forHost] };
}

function nameOf(assignment: string): string {
  return assignment.slice(0, assignment.indexOf('='));
}
