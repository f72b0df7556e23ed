import { fileURLToPath } from 'node:url';
import { Failure, isFailure, systemFailure } from '../../domain/failure.js';
import type { WorkControl } from '../../domain/operations.js';
import { closeAll } from '../kernel/socket-message.js';
import { Helper, type HeadwayLimit, type HelperJob } from './helper.js';
import type { Answer, HelperMessage, Request, TaskName, Tasks } from './protocol.js';

/** The helper's program lies beside this module, whether that is bundled or not. */
const helperProgram = fileURLToPath(new URL('./guest-helper.js', import.meta.url));

export interface HelperLimits {
  /** How many may run at a time. */
  readonly processes: number;
  /** How many of them for one guest. */
  readonly processesPerGuest: number;
  /** How many requests may wait for one of them. */
  readonly waiting: number;
  /** From the question to the answer, waiting included, in milliseconds. */
  readonly answer: number;
  /** How long one without work is kept, in milliseconds. */
  readonly idle: number;
  /** How long a copy may go on without getting any further, in milliseconds. */
  readonly headway: number;
}

export const ordinaryLimits: HelperLimits = { processes: 4, processesPerGuest: 2, waiting: 256, answer: 5000, idle: 60_000, headway: 60_000 };

interface PoolJob extends HelperJob {
  /** The PID of its leader; undefined: it is about none. */
  readonly guest: number | undefined;
}

/** One for a process of its own. */
interface DedicatedJob extends HelperJob {
  readonly headway: HeadwayLimit | undefined;
}

/** Milliseconds until one that has not said anything is taken for one that works, and takes its time. */
const longestStart = 1000;

/** What a helper has found out. */
export interface HelperResult<Name extends TaskName> {
  readonly output: Tasks[Name]['output'];
  /** Descriptors that it has opened: the receiver owns them. */
  readonly fds: readonly number[];
}

/**
 * Processes that carry out tasks, one at a time each. They are started when they are needed, kept warm for a while, whatever
 * they have done, and killed and forgotten when an answer takes too long. They keep this process running until the pool is
 * disposed of.
 */
export class HelperPool implements Disposable {
  readonly #limits: HelperLimits;
  readonly #helpers = new Set<Helper>();
  readonly #dedicated = new Set<Helper>();
  readonly #waiting: PoolJob[] = [];
  readonly #begun = new Set<PoolJob>();
  /** Those that wait for a process of their own: as long as there is one, another's is starting. */
  readonly #queue: DedicatedJob[] = [];
  #starting: { readonly helper: Helper; readonly limit: NodeJS.Timeout } | undefined;
  #open = true;

  constructor(limits: HelperLimits) {
    this.#limits = limits;
  }

  /**
   * Has a task carried out within the time limit. Rejects with Failure 'system': what the task fails with, or ETIMEDOUT, EIO
   * (the helper has failed), ECANCELED (the pool was disposed of); or 'too-many-operations'.
   */
  async ask<Name extends TaskName>(task: Name, input: Tasks[Name]['input']): Promise<HelperResult<Name>> {
    const guest = 'leader' in input ? input.leader.pid : undefined;
    return understood<Name>(await this.#enqueue(messageOf({ task, input }, []), guest));
  }

  /**
   * Has a task carried out by a process of its own, which takes its time and nobody else's. The descriptors stay open until it
   * is over. Rejects as `ask` does; with ETIMEDOUT only a copy that makes no headway. One that is canceled may take as long to
   * tidy up as it needs, if it says something now and then, and fails with ECANCELED.
   */
  async dedicated<Name extends TaskName>(
    task: Name,
    input: Tasks[Name]['input'],
    fds: readonly number[],
    { report, canceled: signal }: WorkControl,
  ): Promise<HelperResult<Name>> {
    if (signal.aborted) throw canceled();
    this.#assertOpen();
    let stopListening = () => undefined as void;
    try {
      const answer = new Promise<HelperMessage>((resolve, reject) => {
        const headway = task === 'copy' ? this.#headway : undefined;
        const job: DedicatedJob = { request: messageOf({ task, input }, fds), resolve, reject, report, headway };
        const cancel = () => this.#cancel(job);
        signal.addEventListener('abort', cancel);
        stopListening = () => signal.removeEventListener('abort', cancel);
        this.#queue.push(job);
        this.#dedicate();
      });
      return understood<Name>(await answer);
    } finally {
      stopListening();
    }
  }

  [Symbol.dispose](): void {
    this.#open = false;
    const failure = canceled();
    clearTimeout(this.#starting?.limit);
    for (const job of [...this.#waiting.splice(0), ...this.#queue.splice(0)]) job.reject(failure);
    for (const helper of [...this.#helpers, ...this.#dedicated]) helper.kill(failure);
  }

  /** Until it is disposed of. */
  get isOpen(): boolean {
    return this.#open;
  }

  get #headway(): HeadwayLimit {
    const limit = this.#limits.headway;
    return { limit, failure: systemFailure('ETIMEDOUT', `It was given up, as it got no further for ${limit / 1000} seconds`) };
  }

  #assertOpen(): void {
    if (!this.#open) throw new Error('the helpers have been disposed of');
  }

  async #enqueue(request: HelperMessage, guest: PoolJob['guest']): Promise<HelperMessage> {
    this.#assertOpen();
    if (this.#waiting.length >= this.#limits.waiting) {
      throw new Failure('too-many-operations', 'Too many requests to look into machines are waiting');
    }
    let timer: NodeJS.Timeout | undefined;
    try {
      return await new Promise<HelperMessage>((resolve, reject) => {
        const over = () => void this.#begun.delete(job);
        const job: PoolJob = {
          request,
          guest,
          resolve: (answer) => (over(), resolve(answer)),
          reject: (failure) => (over(), reject(failure)),
        };
        timer = setTimeout(() => this.#expire(job), this.#limits.answer);
        this.#waiting.push(job);
        this.#assign();
      });
    } finally {
      clearTimeout(timer);
    }
  }

  #assign(): void {
    for (let job = this.#next(); job !== undefined; job = this.#next()) {
      try {
        const helper = this.#free();
        if (helper === undefined) return;
        this.#waiting.splice(this.#waiting.indexOf(job), 1);
        this.#begun.add(job);
        helper.begin(job);
      } catch (error) {
        if (!isFailure(error)) throw error;
        this.#waiting.splice(this.#waiting.indexOf(job), 1);
        job.reject(error);
      }
    }
  }

  /** A guest that keeps its helpers waiting leaves some to the others. */
  #next(): PoolJob | undefined {
    const busyFor = (guest: number) => [...this.#begun].filter((job) => job.guest === guest).length;
    return this.#waiting.find(({ guest }) => guest === undefined || busyFor(guest) < this.#limits.processesPerGuest);
  }

  /** The one that worked last is the one to work next, so that the others may retire. Throws Failure 'system'. */
  #free(): Helper | undefined {
    const idle = this.#idle();
    if (idle !== undefined || this.#helpers.size >= this.#limits.processes) return idle;
    const helper = this.#start();
    this.#helpers.add(helper);
    return helper;
  }

  /** Most tasks take less time than a process takes to start: of many at once, some wait for the process of another. */
  #dedicate(): void {
    while (this.#queue.length > 0) {
      const idle = this.#idle();
      if (idle === undefined && this.#starting !== undefined) return;
      const job = this.#queue.shift() as DedicatedJob;
      try {
        const helper = idle ?? this.#startInTurn();
        this.#helpers.delete(helper);
        this.#dedicated.add(helper);
        helper.begin(job, job.headway);
      } catch (error) {
        if (!isFailure(error)) throw error;
        job.reject(error);
      }
    }
  }

  /** Throws Failure 'system'. */
  #startInTurn(): Helper {
    const helper = this.#start();
    this.#starting = { helper, limit: setTimeout(() => this.#started(helper), longestStart) };
    return helper;
  }

  #started(helper: Helper): void {
    if (this.#starting?.helper !== helper) return;
    clearTimeout(this.#starting.limit);
    this.#starting = undefined;
    if (this.#open) this.#dedicate();
  }

  /** Does nothing if it is over: its helper may have gone on to another job. */
  #cancel(job: DedicatedJob): void {
    const index = this.#queue.indexOf(job);
    if (index >= 0) {
      this.#queue.splice(index, 1);
      job.reject(canceled());
      return;
    }
    for (const helper of this.#dedicated) {
      if (helper.job === job) helper.cancel(canceled(), this.#limits.answer);
    }
  }

  #idle(): Helper | undefined {
    return [...this.#helpers].reverse().find((helper) => helper.job === undefined);
  }

  #start(): Helper {
    const helper: Helper = new Helper(helperProgram, this.#limits.idle, {
      started: () => this.#started(helper),
      free: () => this.#freed(helper),
      gone: () => this.#gone(helper),
    });
    return helper;
  }

  #freed(helper: Helper): void {
    if (this.#dedicated.has(helper)) {
      if (helper.isCanceled) return helper.kill(canceled());
      const next = this.#queue.shift();
      if (next !== undefined) return helper.begin(next, next.headway);
      if (this.#helpers.size >= this.#limits.processes) return helper.kill(canceled());
      this.#dedicated.delete(helper);
      this.#helpers.add(helper);
    }
    this.#assign();
    this.#dedicate();
  }

  #gone(helper: Helper): void {
    this.#dedicated.delete(helper);
    this.#started(helper);
    if (this.#helpers.delete(helper) && this.#open) this.#assign();
  }

  #expire(job: PoolJob): void {
    const failure = systemFailure('ETIMEDOUT', 'The guest keeps a look at its files waiting');
    const index = this.#waiting.indexOf(job);
    if (index >= 0) {
      this.#waiting.splice(index, 1);
      job.reject(failure);
      return;
    }
    for (const helper of this.#helpers) {
      if (helper.job === job) helper.kill(failure);
    }
  }
}

function messageOf(request: Request<TaskName>, fds: readonly number[]): HelperMessage {
  return { text: JSON.stringify(request), fds };
}

function understood<Name extends TaskName>({ text, fds }: HelperMessage): HelperResult<Name> {
  const answer = JSON.parse(text) as Answer<Name>;
  if ('output' in answer) return { output: answer.output, fds };
  closeAll(fds);
  throw systemFailure(answer.errno, answer.message);
}

function canceled(): Failure {
  return systemFailure('ECANCELED', 'Operation canceled');
}
