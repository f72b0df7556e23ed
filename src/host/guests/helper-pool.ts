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
   * Has a task carried out by a process of its own, which takes its time and nobody else's. The descriptors may be closed at
   * once. Rejects as `ask` does; with ETIMEDOUT only a copy that makes no headway. One that is canceled may take as long to
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
    const helper = this.#dedicate();
    let stopListening = () => undefined as void;
    try {
      const answer = new Promise<HelperMessage>((resolve, reject) => {
        const job: HelperJob = { request: messageOf({ task, input }, fds), resolve, reject, report };
        // it may have gone on to another job
        const cancel = () => void (helper.job === job && helper.cancel(canceled(), this.#limits.answer));
        signal.addEventListener('abort', cancel);
        stopListening = () => signal.removeEventListener('abort', cancel);
        helper.begin(job, task === 'copy' ? this.#headway : undefined);
      });
      return understood<Name>(await answer);
    } finally {
      stopListening();
    }
  }

  [Symbol.dispose](): void {
    this.#open = false;
    const failure = canceled();
    for (const job of this.#waiting.splice(0)) job.reject(failure);
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

  /** One that waits for work is spared the time that a new one takes to start. Throws Failure 'system'. */
  #dedicate(): Helper {
    const helper = this.#idle() ?? this.#start();
    this.#helpers.delete(helper);
    this.#dedicated.add(helper);
    return helper;
  }

  #idle(): Helper | undefined {
    return [...this.#helpers].reverse().find((helper) => helper.job === undefined);
  }

  #start(): Helper {
    const helper: Helper = new Helper(helperProgram, this.#limits.idle, {
      free: () => this.#freed(helper),
      gone: () => this.#gone(helper),
    });
    return helper;
  }

  #freed(helper: Helper): void {
    if (this.#dedicated.has(helper)) {
      if (helper.isCanceled || this.#helpers.size >= this.#limits.processes) return helper.kill(canceled());
      this.#dedicated.delete(helper);
      this.#helpers.add(helper);
    }
    this.#assign();
  }

  #gone(helper: Helper): void {
    this.#dedicated.delete(helper);
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
