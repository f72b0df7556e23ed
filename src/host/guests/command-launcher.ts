// A process of its own that starts commands in machines and waits for them. It sees all files of the host read-only, so that
// a guest which gets hold of a tool of the host, while that is about to become the guest's program, cannot change it. When
// the daemon ends, however it ends, so do the commands.
import { openSync, writeFileSync, writeSync } from 'node:fs';
import { isFailure, systemFailure } from '../../domain/failure.js';
import type { CommandEnd } from '../../domain/command.js';
import { UndoStack } from '../../domain/undo.js';
import { encodeFrame, FrameReader } from '../../wire/varlink/framing.js';
import { StartedProgram, type ProcessEnd } from '../kernel/child-process.js';
import { joinNewKeyring, withPersonality } from '../kernel/inherited.js';
import { check, close, closeOnExec, pipe } from '../kernel/libc.js';
import { setLimits } from '../kernel/limits.js';
import { openPidfd } from '../kernel/pidfd.js';
import { parseParent } from '../kernel/processes.js';
import { readProcFile } from '../kernel/proc-file.js';
import { seeReadOnly } from '../kernel/read-only-view.js';
import { closeAll } from '../kernel/socket-message.js';
import { errnoNameOf, failureOf } from '../kernel/system-error.js';
import { UnixStream } from '../kernel/unix-stream.js';
import { DescriptorHolder } from './descriptor-holder.js';
import { enteringWords, mayLookAtOthers, tool } from './entering.js';
import type { LauncherMessage, StartMessage } from './launcher-protocol.js';
import { channelDescriptor } from './protocol.js';

/** Milliseconds until the guest's program must run: what it is loaded from may be a file system that a guest serves. */
const startLimit = 10_000;
/** Milliseconds until this process ends, whatever becomes of the commands, once the daemon has ended. */
const endLimit = 10_000;
/** Milliseconds between two looks at whether it runs. */
const lookInterval = 2;

const O_CLOEXEC = 0o2000000;
const O_PATH = 0o10000000;
/** What service managers give to programs. */
const usualMask = 0o022;

/** The gate is a shell of the host, which enters nothing of the guest's before it is told to: by a line on this descriptor. */
const gateDescriptor = 3;
const gate = `read -r go <&${gateDescriptor} || exit; exec ${gateDescriptor}<&-; exec "$@"`;

/** One command, from its start to its end. */
class Run {
  readonly #message: StartMessage;
  readonly #latestStart = Date.now() + startLimit;
  readonly #killFile: number | undefined;
  #streams: readonly number[];
  #procsFile: number | undefined;
  #entranceFds: readonly number[];
  /** Where the guest may not look at other processes: one with its limits, which has the entrance's descriptors. */
  #holder: DescriptorHolder | undefined;
  #waiter: StartedProgram | undefined;
  #look: NodeJS.Timeout | undefined;
  #isStarted = false;

  /** Owns the descriptors. */
  constructor(message: StartMessage, fds: readonly number[]) {
    this.#message = message;
    const streamCount = message.streams.filter((isThere) => isThere).length;
    this.#streams = fds.slice(0, streamCount);
    [this.#procsFile, this.#killFile] = fds.slice(fds.length - message.cgroupFiles);
    this.#entranceFds = fds.slice(streamCount, fds.length - message.cgroupFiles);
  }

  /** Never rejects. */
  async begin(): Promise<void> {
    const { entrance } = this.#message;
    try {
      if (!mayLookAtOthers(entrance)) this.#holder = await DescriptorHolder.start(entrance, this.#entranceFds);
      if (isEnding) throw systemFailure('ECANCELED', 'The registry has ended');
      this.#enter((index) => this.#holder?.file(index) ?? `/proc/${process.pid}/fd/${this.#entranceFds[index]}`);
    } catch (error) {
      const failure = isFailure(error) ? error : failureOf(error, 'The command cannot be started');
      this.#fail(failure.errno ?? 'EIO', failure.message);
    }
  }

  /** All of its processes, or, where there is no cgroup, those of its session's first process group. */
  kill(): void {
    try {
      if (this.#killFile !== undefined) writeSync(this.#killFile, '1');
      if (this.#waiter?.hasEnded === false) process.kill(-this.#waiter.pid, 'SIGKILL');
    } catch (error) {
      if (!['ENODEV', 'ESRCH'].includes(errnoNameOf(error) ?? '')) throw error; // it has ended, or went with its machine
    }
  }

  #enter(file: (index: number) => string): void {
    const { entrance, words, environment } = this.#message;
    const command = ['sh', '-c', gate, 'sh', ...enteringWords(entrance, file), ...words];
    using opened = new UndoStack();
    const [reader, writer] = openGate(opened);
    const given = [...this.#streams];
    const streams = this.#message.streams.map((isThere) => (isThere ? (given.shift() as number) : undefined));
    const descriptors = [...streams, reader];
    const program = { program: tool('sh'), words: command, environment: assignments(environment), descriptors, leadsSession: true, isWaitedFor: true };
    this.#waiter = withPersonality(entrance.surroundings.personality, () => {
      joinNewKeyring();
      return new StartedProgram(program, (end) => this.#ended(end));
    });
    this.#prepare(this.#waiter.pid);
    writeSync(writer, '\n');
    this.#releaseStreams();
    this.#look = setTimeout(() => this.#lookAgain(), lookInterval);
  }

  /** Makes it one of the guest's processes, while it waits at the gate. */
  #prepare(pid: number): void {
    const { limits, memoryScore } = this.#message.entrance.surroundings;
    if (this.#procsFile !== undefined) joinCgroup(this.#procsFile, pid);
    setLimits(pid, limits);
    setMemoryScore(pid, memoryScore);
  }

  #lookAgain(): void {
    const waiter = this.#waiterPid;
    const pid = programOf(waiter);
    if (pid !== undefined) return this.#started(pid, waiter);
    if (Date.now() > this.#latestStart) return this.#fail('ETIMEDOUT', 'The machine keeps its program from being started');
    this.#look = setTimeout(() => this.#lookAgain(), lookInterval);
  }

  #started(pid: number, waiter: number): void {
    const pidfd = openChild(pid, waiter);
    if (pidfd === undefined) return; // it has ended: 'exit' tells
    this.#announce(pid, waiter, [pidfd]);
    close(pidfd);
  }

  #announce(pid: number, waiter: number, fds: readonly number[]): void {
    this.#isStarted = true;
    this.#release();
    tell({ kind: 'started', id: this.#message.id, pid, waiter }, fds);
  }

  #ended({ status, signal }: ProcessEnd): void {
    this.#release();
    if (!runs.delete(this.#message.id)) return;
    if (!this.#isStarted) this.#announce(this.#waiterPid, this.#waiterPid, []); // it was too quick to be seen
    const end: CommandEnd = signal === undefined ? { kind: 'exited', status: status ?? 0 } : { kind: 'signaled', signal };
    tell({ kind: 'ended', id: this.#message.id, end });
    this.#closeKillFile();
    endIfIdle();
  }

  get #waiterPid(): number {
    return this.#waiter?.pid as number;
  }

  /** It has not run, and will not. */
  #fail(errno: string, message: string): void {
    this.#release();
    if (!runs.delete(this.#message.id)) return;
    this.kill();
    tell({ kind: 'failed', id: this.#message.id, errno, message });
    this.#closeKillFile();
    endIfIdle();
  }

  /** What is only needed until the program runs. */
  #release(): void {
    clearTimeout(this.#look);
    this.#releaseStreams();
    closeAll(this.#entranceFds);
    this.#entranceFds = [];
    this.#holder?.[Symbol.dispose]();
  }

  #releaseStreams(): void {
    closeAll(this.#streams);
    this.#streams = [];
    if (this.#procsFile !== undefined) close(this.#procsFile);
    this.#procsFile = undefined;
  }

  #closeKillFile(): void {
    if (this.#killFile !== undefined) close(this.#killFile);
  }
}

/** A pipe, closed on exec, like everything here. */
function openGate(opened: UndoStack): readonly [reader: number, writer: number] {
  const ends = new Int32Array(2);
  check(pipe(ends, O_CLOEXEC), 'pipe2');
  for (const end of ends) opened.defer(() => close(end));
  return ends as unknown as readonly [number, number];
}

function assignments(environment: Readonly<Record<string, string>>): readonly string[] {
  return Object.entries(environment).map(([name, value]) => `${name}=${value}`);
}

function joinCgroup(procsFile: number, pid: number): void {
  try {
    writeSync(procsFile, String(pid));
  } catch (error) {
    throw failureOf(error, 'The cgroup of the machine cannot be joined');
  }
}

/** Less than our own may be more than we may give. */
function setMemoryScore(pid: number, score: number): void {
  try {
    writeFileSync(`/proc/self/fd/${writableProc}/${pid}/oom_score_adj`, String(score));
  } catch (error) {
    if (!['EACCES', 'EPERM'].includes(errnoNameOf(error) ?? '')) throw error;
  }
}

/** nsenter(1) forks into the PID namespace and waits: the guest's program is its child, once that is no nsenter any more. */
function programOf(waiter: number): number | undefined {
  const [child] = (readProcFile(`/proc/${waiter}/task/${waiter}/children`) ?? '').split(' ');
  if (child === undefined || child === '') return undefined;
  const isNsenter = readProcFile(`/proc/${child}/cmdline`) === readProcFile(`/proc/${waiter}/cmdline`);
  return isNsenter ? undefined : Number(child);
}

/** A pidfd; undefined if the child has been reaped. */
function openChild(pid: number, parent: number): number | undefined {
  let pidfd: number;
  try {
    pidfd = openPidfd(pid);
  } catch (error) {
    if (errnoNameOf(error) === 'ESRCH') return undefined;
    throw error;
  }
  if (parseParent(readProcFile(`/proc/${pid}/stat`) ?? '') === parent) return pidfd;
  close(pidfd);
  return undefined;
}

const runs = new Map<number, Run>();
let isEnding = false;
const reader = new FrameReader();
const nobody = { uid: 0, gid: 0, pid: 0, groups: [], pidfd: undefined };
const channel = new UnixStream(channelDescriptor, nobody, false);

function tell(message: LauncherMessage, fds: readonly number[] = []): void {
  channel.write(encodeFrame(message), fds);
}

function start(message: StartMessage, fds: readonly number[]): void {
  const run = new Run(message, fds);
  runs.set(message.id, run);
  void run.begin();
}

/** The daemon has ended. Whoever is killed is also waited for: not every host has somebody else who does that. */
function endAll(): void {
  isEnding = true;
  for (const run of runs.values()) run.kill();
  endIfIdle();
  setTimeout(() => process.exit(1), endLimit);
}

function endIfIdle(): void {
  if (isEnding && runs.size === 0) process.exit(0);
}

process.on('SIGTERM', () => undefined); // the service manager means the daemon, too: its end is the end of this process
closeOnExec(channelDescriptor); // also what this process was given without knowing
const writableProc = openSync('/proc', O_PATH);
seeReadOnly();
process.umask(usualMask);
if (process.geteuid?.() === 0) process.setgroups?.([]);
channel.start({
  data(bytes, fds) {
    reader.push(bytes, fds);
    for (let frame = reader.next(); frame !== undefined; frame = reader.next()) start(JSON.parse(frame.text) as StartMessage, frame.fds);
  },
  end: endAll,
  closed: endAll,
});
