import { spawn, type ChildProcessByStdio } from 'node:child_process';
import type { Socket } from 'node:net';
import { StringDecoder } from 'node:string_decoder';
import { Failure, systemFailure } from '../../domain/failure.js';

export interface HelperLimits {
  /** How many may run at a time. */
  readonly processes: number;
  /** How many requests may wait for one of them. */
  readonly waiting: number;
  /** From the question to the answer, waiting included, in milliseconds. */
  readonly answer: number;
  /** How long one without work is kept, in milliseconds. */
  readonly idle: number;
}

export const ordinaryLimits: HelperLimits = { processes: 4, waiting: 256, answer: 5000, idle: 60_000 };

/** Node's own is a gigabyte and more; a helper handles a megabyte or two. */
const heapSize = 64; // in MiB

/** More than the longest answer to come from the largest file that a helper reads. In characters. */
const longestAnswer = 16 << 20;

interface Job {
  readonly request: string;
  readonly resolve: (answer: string) => void;
  readonly reject: (failure: Failure) => void;
  readonly timer: NodeJS.Timeout;
}

/**
 * Processes that answer requests, a line of JSON each, one at a time. They are started when they are needed, kept warm
 * for a while, and killed and forgotten when an answer takes too long.
 */
export class HelperPool implements Disposable {
  readonly #program: string;
  readonly #limits: HelperLimits;
  readonly #helpers = new Set<Helper>();
  readonly #waiting: Job[] = [];
  #open = true;

  constructor(program: string, limits: HelperLimits) {
    this.#program = program;
    this.#limits = limits;
  }

  /**
   * The answer to a request, both JSON without newlines. Rejects with Failure 'system': ETIMEDOUT, EIO (the helper has
   * failed), ECANCELED (the pool was disposed of); or 'too-many-operations'.
   */
  ask(request: string): Promise<string> {
    return new Promise((resolve, reject) => {
      if (!this.#open) throw new Error('the helpers have been disposed of');
      if (this.#waiting.length >= this.#limits.waiting) {
        throw new Failure('too-many-operations', 'Too many requests to look into machines are waiting');
      }
      const timer = setTimeout(() => this.#expire(job), this.#limits.answer);
      const job: Job = { request, resolve, reject, timer };
      this.#waiting.push(job);
      this.#assign();
    });
  }

  [Symbol.dispose](): void {
    this.#open = false;
    const failure = systemFailure('ECANCELED', 'The daemon stops');
    for (const job of this.#waiting.splice(0)) settle(job, failure);
    for (const helper of [...this.#helpers]) helper.kill(failure);
  }

  #assign(): void {
    while (this.#waiting.length > 0) {
      const helper = this.#free();
      if (helper === undefined) return;
      helper.begin(this.#waiting.shift() as Job);
    }
  }

  /** The one that worked last is the one to work next, so that the others may retire. */
  #free(): Helper | undefined {
    const free = [...this.#helpers].reverse().find((helper) => helper.job === undefined);
    if (free !== undefined || this.#helpers.size >= this.#limits.processes) return free;
    const helper: Helper = new Helper(this.#program, this.#limits.idle, {
      free: () => this.#assign(),
      gone: () => {
        this.#helpers.delete(helper);
        if (this.#open) this.#assign();
      },
    });
    this.#helpers.add(helper);
    return helper;
  }

  #expire(job: Job): void {
    const failure = systemFailure('ETIMEDOUT', 'The guest keeps a look at its files waiting');
    const index = this.#waiting.indexOf(job);
    if (index >= 0) {
      this.#waiting.splice(index, 1);
      settle(job, failure);
      return;
    }
    for (const helper of this.#helpers) {
      if (helper.job === job) helper.kill(failure);
    }
  }
}

function settle(job: Job, outcome: string | Failure): void {
  clearTimeout(job.timer);
  if (typeof outcome === 'string') job.resolve(outcome);
  else job.reject(outcome);
}

interface HelperObserver {
  free(): void;
  gone(): void;
}

/** One process; while it is idle, it does not keep this one from ending. */
class Helper {
  job: Job | undefined;
  readonly #child: ChildProcessByStdio<Socket, Socket, null>;
  readonly #idleLimit: number;
  readonly #observer: HelperObserver;
  readonly #decoder = new StringDecoder('utf8');
  #received = '';
  #idle: NodeJS.Timeout | undefined;
  #gone = false;

  constructor(program: string, idleLimit: number, observer: HelperObserver) {
    this.#idleLimit = idleLimit;
    this.#observer = observer;
    // Standard streams of kind 'pipe' are sockets.
    this.#child = spawn(process.execPath, [`--max-old-space-size=${heapSize}`, program], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: {},
      cwd: '/',
    }) as ChildProcessByStdio<Socket, Socket, null>;
    this.#child.stdout.on('data', (bytes: Buffer) => this.#receive(bytes));
    this.#child.stdin.on('error', () => undefined); // its end is heard of by 'exit'
    this.#child.once('error', (cause) => this.kill(systemFailure('EIO', `A helper process cannot be started: ${cause.message}`, cause)));
    this.#child.once('exit', (status, signal) => {
      this.kill(systemFailure('EIO', `A helper process has ended unexpectedly (${signal ?? `status ${status}`})`));
    });
  }

  begin(job: Job): void {
    clearTimeout(this.#idle);
    this.job = job;
    this.#child.ref();
    this.#child.stdin.ref();
    this.#child.stdout.ref();
    this.#child.stdin.write(`${job.request}\n`);
  }

  /** Its work, if it has any, ends in this failure. */
  kill(failure: Failure): void {
    if (this.#gone) return;
    this.#gone = true;
    clearTimeout(this.#idle);
    this.#child.kill('SIGKILL');
    this.#child.stdin.destroy();
    this.#child.stdout.destroy();
    const job = this.job;
    this.job = undefined;
    if (job !== undefined) settle(job, failure);
    this.#observer.gone();
  }

  #receive(bytes: Buffer): void {
    this.#received += this.#decoder.write(bytes);
    if (this.#received.length > longestAnswer) {
      this.kill(systemFailure('EIO', 'A helper process answers at too great a length'));
      return;
    }
    if (!this.#received.endsWith('\n')) return;
    const answer = this.#received;
    const job = this.job;
    this.#received = '';
    this.job = undefined;
    this.#rest();
    if (job !== undefined) settle(job, answer);
    this.#observer.free();
  }

  #rest(): void {
    this.#child.unref();
    this.#child.stdin.unref();
    this.#child.stdout.unref();
    this.#idle = setTimeout(() => this.kill(systemFailure('ECANCELED', 'It was idle')), this.#idleLimit);
    this.#idle.unref();
  }
}
