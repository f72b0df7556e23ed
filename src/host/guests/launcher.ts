import { fileURLToPath } from 'node:url';
import type { CommandEnd } from '../../domain/command.js';
import { systemFailure, type Failure } from '../../domain/failure.js';
import type { ByteStream } from '../../ports/stream.js';
import { encodeFrame, FrameReader } from '../../wire/varlink/framing.js';
import type { WritableObject } from '../../wire/varlink/json.js';
import { closeAll } from '../kernel/socket-message.js';
import { failureOf } from '../kernel/system-error.js';
import { startListening } from './node-process.js';
import type { LauncherMessage, StartMessage } from './launcher-protocol.js';

/** The launcher's program lies beside this module, whether that is bundled or not. */
const program = fileURLToPath(new URL('./command-launcher.js', import.meta.url));

/** In MiB. */
const heapSize = 64;

/** A command that has been started. */
export interface LaunchedCommand {
  readonly pid: number;
  /** The leader of its session, and of the first process group in it. */
  readonly waiter: number;
  /** The receiver's to close; undefined: it has ended already. */
  readonly pidfd: number | undefined;
  /** Never rejects. */
  readonly ended: Promise<CommandEnd>;
}

interface Expected {
  readonly started: (command: LaunchedCommand) => void;
  readonly failed: (failure: Failure) => void;
  /** Undefined until it runs. */
  ended: ((end: CommandEnd) => void) | undefined;
}

/** SIGKILL: what has become of commands whose launcher has ended. */
export const lostCommand: CommandEnd = { kind: 'signaled', signal: 9 };

/** One launcher process, and the commands that it has started. */
export class Launcher {
  readonly #stream: ByteStream;
  readonly #reader = new FrameReader();
  readonly #expected = new Map<number, Expected>();
  readonly #onIdle: () => void;
  #isOver = false;
  #lastId = 0;

  /** `onIdle` is called whenever it has nothing more to wait for. Throws Failure 'system' (EMFILE). */
  constructor(onIdle: () => void) {
    this.#onIdle = onIdle;
    this.#stream = startLauncher(() => this.#lose());
    this.#stream.start({
      data: (bytes, fds) => this.#receive(bytes, fds),
      end: () => this.#lose(),
      closed: () => this.#lose(),
    });
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  get isIdle(): boolean {
    return this.#expected.size === 0;
  }

  /** The descriptors may be closed at once. Rejects with Failure 'system'. */
  start(message: Omit<StartMessage, 'id'>, fds: readonly number[]): Promise<LaunchedCommand> {
    const id = ++this.#lastId;
    return new Promise((started, failed) => {
      this.#expected.set(id, { started, failed, ended: undefined });
      this.#stream.write(encodeFrame({ ...message, id } as unknown as WritableObject), fds);
    });
  }

  /** All of its commands end with it. */
  end(): void {
    this.#stream.close();
    this.#lose();
  }

  #receive(bytes: Uint8Array, fds: readonly number[]): void {
    this.#reader.push(bytes, fds);
    for (let frame = this.#reader.next(); frame !== undefined; frame = this.#reader.next()) {
      this.#take(JSON.parse(frame.text) as LauncherMessage, frame.fds);
    }
  }

  #take(message: LauncherMessage, fds: readonly number[]): void {
    const expected = this.#expected.get(message.id);
    if (expected === undefined) return closeAll(fds);
    if (message.kind === 'started') {
      const ended = new Promise<CommandEnd>((resolve) => (expected.ended = resolve));
      expected.started({ pid: message.pid, waiter: message.waiter, pidfd: fds[0], ended });
      return;
    }
    this.#expected.delete(message.id);
    if (message.kind === 'failed') expected.failed(systemFailure(message.errno, message.message));
    else expected.ended?.(message.end);
    if (this.isIdle) this.#onIdle();
  }

  #lose(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#stream.close();
    closeAll(this.#reader.abandon());
    for (const { failed, ended } of this.#expected.values()) {
      if (ended === undefined) failed(systemFailure('EIO', 'The process that starts commands has ended unexpectedly'));
      else ended(lostCommand);
    }
    this.#expected.clear();
  }
}

/** Throws Failure 'system'. */
function startLauncher(onEnd: () => void): ByteStream {
  const words = [`--max-old-space-size=${heapSize}`, program];
  try {
    return startListening({ words, environment: [`PATH=${process.env['PATH'] ?? ''}`], isWaitedFor: false }, onEnd).stream;
  } catch (error) {
    throw failureOf(error, 'The process that starts commands cannot be started');
  }
}
