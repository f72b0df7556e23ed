import type { ChildProcess } from 'node:child_process';
import { StringDecoder } from 'node:string_decoder';
import { systemFailure, type Failure } from '../../domain/failure.js';
import type { ByteStream } from '../../ports/stream.js';
import { close } from '../kernel/libc.js';
import { closeAll } from '../kernel/socket-message.js';
import { failureOf } from '../kernel/system-error.js';
import { connectedPair } from '../kernel/unix-socket.js';
import { childProcess } from '../on-demand.js';
import type { Progress } from '../../domain/operations.js';
import { cancelLine, mostDescriptors, newsMark, type HelperMessage } from './protocol.js';

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
  /** It has answered, and waits for more. */
  free(): void;
  gone(): void;
}

/** One process, which is given one job at a time. */
export class Helper {
  #job: HelperJob | undefined;
  readonly #child: ChildProcess;
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
  #gone = false;

  /** Starts it; one that is idle for so many milliseconds ends. Throws Failure 'system' (EMFILE). */
  constructor(program: string, idleLimit: number, observer: HelperObserver) {
    this.#idleLimit = idleLimit;
    this.#observer = observer;
    ({ child: this.#child, stream: this.#stream } = start(program));
    this.#stream.start({
      data: (bytes, fds) => this.#receive(bytes, fds),
      end: () => undefined, // 'exit' says more
      closed: (cause) => {
        if (cause !== undefined) this.kill(systemFailure('EIO', `A helper process cannot be listened to: ${cause.message}`, cause));
      },
    });
    this.#child.once('error', (cause) => this.kill(systemFailure('EIO', `A helper process cannot be started: ${cause.message}`, cause)));
    this.#child.once('exit', (status, signal) => {
      this.kill(systemFailure('EIO', `A helper process has ended unexpectedly (${signal ?? `status ${status}`})`));
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
    this.#child.kill('SIGKILL');
    this.#stream.close();
    closeAll(this.#fds);
    this.#fds = [];
    const job = this.#job;
    this.#job = undefined;
    job?.reject(failure);
    this.#observer.gone();
  }

  #receive(bytes: Uint8Array, fds: readonly number[]): void {
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
function start(program: string): { child: ChildProcess; stream: ByteStream } {
  try {
    const { stream, other } = connectedPair();
    try {
      const stdio = ['ignore', 'ignore', 'inherit', other] as const; // the last one is channelDescriptor
      return { child: childProcess().spawn(process.execPath, [program], { stdio: [...stdio], env: {}, cwd: '/' }), stream };
    } catch (error) {
      stream.close();
      throw error;
    } finally {
      close(other);
    }
  } catch (error) {
    throw failureOf(error, 'A helper process cannot be started');
  }
}
