import { StringDecoder } from 'node:string_decoder';
import { systemFailure, type Failure } from '../../domain/failure.js';
import type { ByteStream } from '../../ports/stream.js';
import type { StartedProgram, ProcessEnd } from '../kernel/child-process.js';
import { closeAll } from '../kernel/socket-message.js';
import { failureOf } from '../kernel/system-error.js';
import { startListening } from './node-process.js';
import type { Progress } from '../../domain/operations.js';
import { cancelLine, mostDescriptors, newsMark, type HelperMessage } from './protocol.js';

const SIGKILL = 9;

/** More than the longest answer to come from the largest file that a helper reads. In characters. */
const longestAnswer = 16 << 20;

export interface HelperJob {
  /** Its descriptors stay the asker's. */
  readonly request: HelperMessage;
  /** The descriptors of the answer are the asker's from here on. */
  readonly resolve: (answer: HelperMessage) => void;
  readonly reject: (failure: Failure) => void;
  /** How far it has come. */
  readonly report?: (progress: Progress) => void;
}

export interface HeadwayLimit {
  /** Milliseconds. */
  readonly limit: number;
  readonly failure: Failure;
}

export interface HelperObserver {
  /** It has said something for the first time: it is at work, or free. */
  started(): void;
  /** It has answered, and waits for more. */
  free(): void;
  gone(): void;
}

/** One process, which is given one job at a time. */
export class Helper {
  #job: HelperJob | undefined;
  readonly #process: StartedProgram;
  readonly #stream: ByteStream;
  readonly #idleLimit: number;
  readonly #observer: HelperObserver;
  readonly #decoder = new StringDecoder('utf8');
  #received = '';
  #fds: number[] = [];
  #idle: NodeJS.Timeout | undefined;
  /** Runs once the job is to be given up: the helper is killed if it says nothing for so long. */
  #patience: NodeJS.Timeout | undefined;
  #headway: NodeJS.Timeout | undefined;
  #hasStarted = false;
  #gone = false;

  /** Starts it; one that is idle for so many milliseconds ends. Throws Failure 'system' (EMFILE). */
  constructor(program: string, idleLimit: number, observer: HelperObserver) {
    this.#idleLimit = idleLimit;
    this.#observer = observer;
    ({ process: this.#process, stream: this.#stream } = start(program, (end) => this.#ended(end)));
    this.#stream.start({
      data: (bytes, fds) => this.#receive(bytes, fds),
      end: () => undefined, // its end says more
      closed: (cause) => {
        if (cause !== undefined) this.kill(systemFailure('EIO', `A helper process cannot be listened to: ${cause.message}`, cause));
      },
    });
  }

  get job(): HelperJob | undefined {
    return this.#job;
  }

  /** It has been asked to give up its work, and may not have read that before its answer. */
  get isCanceled(): boolean {
    return this.#patience !== undefined;
  }

  /** With a `headway`, it is killed if it reports nothing at all for so long. */
  begin(job: HelperJob, headway?: HeadwayLimit): void {
    clearTimeout(this.#idle);
    this.#job = job;
    if (headway !== undefined) this.#headway = setTimeout(() => this.kill(headway.failure), headway.limit);
    this.#stream.write(Buffer.from(`${job.request.text}\n`), job.request.fds);
  }

  /** Asks it to give up its work, and kills it if it says nothing at all for so many milliseconds. */
  cancel(failure: Failure, silence: number): void {
    if (this.#gone || this.#patience !== undefined) return;
    this.#patience = setTimeout(() => this.kill(failure), silence);
    this.#stream.write(Buffer.from(`${cancelLine}\n`));
  }

  /** Its work, if it has any, ends in this failure. */
  kill(failure: Failure): void {
    if (this.#gone) return;
    this.#gone = true;
    clearTimeout(this.#idle);
    clearTimeout(this.#patience);
    clearTimeout(this.#headway);
    this.#process.kill(SIGKILL);
    this.#stream.close();
    closeAll(this.#fds);
    this.#fds = [];
    const job = this.#job;
    this.#job = undefined;
    job?.reject(failure);
    this.#observer.gone();
  }

  #ended({ status, signal }: ProcessEnd): void {
    this.kill(systemFailure('EIO', `A helper process has ended unexpectedly (${signal === undefined ? `status ${status}` : `signal ${signal}`})`));
  }

  #receive(bytes: Uint8Array, fds: readonly number[]): void {
    this.#take(bytes, fds);
    if (this.#hasStarted) return;
    this.#hasStarted = true;
    this.#observer.started();
  }

  #take(bytes: Uint8Array, fds: readonly number[]): void {
    this.#fds.push(...fds);
    this.#patience?.refresh();
    this.#headway?.refresh();
    this.#received += this.#decoder.write(bytes);
    this.#takeNews();
    if (this.#received.length > longestAnswer || this.#fds.length > mostDescriptors) {
      this.kill(systemFailure('EIO', 'A helper process answers at too great a length'));
      return;
    }
    if (!this.#received.endsWith('\n')) return;
    const answer = { text: this.#received, fds: this.#fds };
    const job = this.#job;
    this.#received = '';
    this.#fds = [];
    this.#job = undefined;
    clearTimeout(this.#headway);
    this.#headway = undefined;
    this.#idle = setTimeout(() => this.kill(systemFailure('ECANCELED', 'It was idle')), this.#idleLimit);
    if (job === undefined) closeAll(answer.fds);
    else job.resolve(answer);
    this.#observer.free();
  }

  /** There may be several of them before the answer. */
  #takeNews(): void {
    while (this.#received.startsWith(newsMark)) {
      const end = this.#received.indexOf('\n');
      if (end < 0) return;
      const progress = JSON.parse(this.#received.slice(newsMark.length, end)) as Progress;
      this.#received = this.#received.slice(end + 1);
      this.#job?.report?.(progress);
    }
  }
}

/** Throws Failure 'system'. */
function start(program: string, onEnd: (end: ProcessEnd) => void): { process: StartedProgram; stream: ByteStream } {
  try {
    return startListening({ words: [program], environment: [], isWaitedFor: true }, onEnd);
  } catch (error) {
    throw failureOf(error, 'A helper process cannot be started');
  }
}
