// Programs that this process starts and waits for without Node's help. That takes a program which a realtime signal has ended
// for one that has exited with 0; and it copies this process (fork(2)) for each, which holds up everybody for milliseconds, the
// more the larger the process is. Sources: posix_spawn(3), waitid(2).
import { openSync } from 'node:fs';
import { bind, check, close, pidfdSendSignal, type Memory } from './libc.js';
import { EPOLLIN, eventHub, type Watch } from './event-loop.js';
import { openPidfd } from './pidfd.js';
import { errnos, SystemError } from './system-error.js';

/** More than posix_spawn_file_actions_t and posix_spawnattr_t have in any C library. */
const structureSize = 512;
const POSIX_SPAWN_SETSIGDEF = 0x04;
const POSIX_SPAWN_SETSIGMASK = 0x08;
const POSIX_SPAWN_SETSID = 0x80;
const signalSetSize = 128; // sigset_t

const P_PIDFD = 3;
const WNOHANG = 1;
const WEXITED = 4;
const CLD_EXITED = 1;

const calls = {
  spawn: bind<(pid: Memory, path: string, actions: Memory, attributes: Memory, words: Strings, environment: Strings) => number>(
    'int posix_spawn(void *, const char *, void *, void *, const char **, const char **)',
  ),
  initActions: bind<(actions: Memory) => number>('int posix_spawn_file_actions_init(void *)'),
  addDuplicate: bind<(actions: Memory, fd: number, as: number) => number>('int posix_spawn_file_actions_adddup2(void *, int, int)'),
  addDirectory: bind<(actions: Memory, path: string) => number>('int posix_spawn_file_actions_addchdir_np(void *, const char *)'),
  destroyActions: bind<(actions: Memory) => number>('int posix_spawn_file_actions_destroy(void *)'),
  initAttributes: bind<(attributes: Memory) => number>('int posix_spawnattr_init(void *)'),
  setFlags: bind<(attributes: Memory, flags: number) => number>('int posix_spawnattr_setflags(void *, short)'),
  setMask: bind<(attributes: Memory, signals: Memory) => number>('int posix_spawnattr_setsigmask(void *, const void *)'),
  setDefaults: bind<(attributes: Memory, signals: Memory) => number>('int posix_spawnattr_setsigdefault(void *, const void *)'),
  destroyAttributes: bind<(attributes: Memory) => number>('int posix_spawnattr_destroy(void *)'),
  wait: bind<(kind: number, pidfd: number, information: Memory, options: number) => number>('int waitid(int, unsigned int, void *, int)'),
};

type Strings = readonly (string | null)[];

/** How it has ended, by wait(2): one of both is there. */
export interface ProcessEnd {
  readonly status: number | undefined;
  readonly signal: number | undefined;
}

export interface ProgramToStart {
  /** An absolute path. */
  readonly program: string;
  /** Its own name first. */
  readonly words: readonly string[];
  /** KEY=value. */
  readonly environment: readonly string[];
  /**
   * What becomes its descriptors 0, 1, 2 and so on; undefined is /dev/null. They stay the caller's; none of them may have the number of
   * an earlier one's place. Of the others, it gets those that are not closed on exec.
   */
  readonly descriptors: readonly (number | undefined)[];
  /** Whether it has a session and a process group of its own. */
  readonly leadsSession: boolean;
  /** Whether this process keeps running until it has ended. */
  readonly isWaitedFor: boolean;
}

/** A program that runs in the root directory, with no signal blocked or ignored. */
export class StartedProgram {
  readonly pid: number;
  #end: ProcessEnd | undefined;
  readonly #pidfd: number;
  readonly #watch: Watch;

  /** `onEnd` is called once, later. Throws SystemError: ENOENT, E2BIG, EAGAIN, EINVAL (a NUL in a word). */
  constructor(program: ProgramToStart, onEnd: (end: ProcessEnd) => void) {
    this.pid = start(program);
    this.#pidfd = openOrKill(this.pid);
    const told = () => {
      this.#end = this.#reap();
      onEnd(this.#end);
    };
    this.#watch = eventHub().watch(this.#pidfd, EPOLLIN, told, program.isWaitedFor ? 'keeps alive' : 'in passing');
  }

  get hasEnded(): boolean {
    return this.#end !== undefined;
  }

  /** Does nothing once it has ended. */
  kill(signal: number): void {
    if (this.#end === undefined) pidfdSendSignal(this.#pidfd, signal);
  }

  #reap(): ProcessEnd {
    const information = Buffer.alloc(128); // siginfo_t: si_signo, si_errno, si_code, …, si_status at 24
    check(calls.wait(P_PIDFD, this.#pidfd, information, WEXITED | WNOHANG), 'waitid');
    this.#watch[Symbol.dispose]();
    close(this.#pidfd);
    const number = information.readInt32LE(24);
    return information.readInt32LE(8) === CLD_EXITED ? { status: number, signal: undefined } : { status: undefined, signal: number };
  }
}

function start({ program, words, environment, descriptors, leadsSession }: ProgramToStart): number {
  const isCutOff = [program, ...words, ...environment].some((text) => text.includes('\0'));
  if (isCutOff) throw new SystemError(errnos.EINVAL, 'posix_spawn');
  const [actions, attributes] = [Buffer.alloc(structureSize), Buffer.alloc(structureSize)];
  const pid = new Int32Array(1);
  const nothing = openSync('/dev/null', 'r+');
  done(calls.initActions(actions), 'posix_spawn_file_actions_init');
  done(calls.initAttributes(attributes), 'posix_spawnattr_init');
  try {
    descriptors.forEach((fd = nothing, index) => done(calls.addDuplicate(actions, fd, index), 'posix_spawn_file_actions_adddup2'));
    done(calls.addDirectory(actions, '/'), 'posix_spawn_file_actions_addchdir_np');
    done(calls.setMask(attributes, Buffer.alloc(signalSetSize)), 'posix_spawnattr_setsigmask');
    done(calls.setDefaults(attributes, Buffer.alloc(signalSetSize, 0xff)), 'posix_spawnattr_setsigdefault');
    const flags = POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | (leadsSession ? POSIX_SPAWN_SETSID : 0);
    done(calls.setFlags(attributes, flags), 'posix_spawnattr_setflags');
    done(calls.spawn(pid, program, actions, attributes, [...words, null], [...environment, null]), 'posix_spawn');
    return pid[0] as number;
  } finally {
    calls.destroyActions(actions);
    calls.destroyAttributes(attributes);
    close(nothing);
  }
}

/** Nobody else waits for it: it is there, if only as a zombie. */
function openOrKill(pid: number): number {
  try {
    return openPidfd(pid);
  } catch (error) {
    process.kill(pid, 'SIGKILL');
    throw error;
  }
}

/** These return the errno. */
function done(errno: number, call: string): void {
  if (errno !== 0) throw new SystemError(errno, call);
}
