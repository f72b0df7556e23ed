// The standard input and output of a program as a ByteStream: ssh, for example, that leads to a bus on another host.
import { spawn, type ChildProcess } from 'node:child_process';
import type { ByteStream, PeerCredentials, StreamEvents } from '../ports/stream.js';
import type { Native } from './native.js';

/** Who is at the far end is known to the program alone. */
const unknownPeer: PeerCredentials = { uid: 0xffffffff, gid: 0xffffffff, pid: 0, groups: [], pidfd: undefined };

/** Starts the program, found in PATH if it has no slash. What it writes to standard error goes to that of this process. */
export function runProgram(path: string, parameters: readonly string[]): ByteStream {
  return new ProgramStream(spawn(path, parameters, { stdio: ['pipe', 'pipe', 'inherit'] }));
}

/**
 * The same for a program that passes descriptors if it has a socket of ours for both: systemd-stdio-bridge(1) does. It ends
 * when it is told that nothing more comes.
 */
export function runPassingProgram(native: Native, path: string, parameters: readonly string[]): ByteStream {
  const { stream, other } = native.connectedPair();
  try {
    const program = spawn(path, parameters, { stdio: [other, other, 'inherit'] });
    program.on('error', () => undefined); // is told by the end of the stream
    program.unref();
    return stream;
  } finally {
    native.close(other);
  }
}

class ProgramStream implements ByteStream {
  readonly peer = unknownPeer;
  readonly #program: ChildProcess;
  #open = true;
  #failure: Error | undefined;

  constructor(program: ChildProcess) {
    this.#program = program;
    program.on('error', (error) => (this.#failure = error));
    // Its end is told by that of its output.
    program.stdin?.on('error', () => undefined);
  }

  start(events: StreamEvents): void {
    this.#program.stdout?.on('data', (bytes: Buffer) => {
      if (this.#open) events.data(bytes, []);
    });
    this.#program.on('close', () => {
      if (!this.#open) return;
      this.#open = false;
      events.closed(this.#failure);
    });
    this.#program.stdin?.on('drain', () => events.drained?.());
  }

  write(bytes: Uint8Array, fds: readonly number[] = []): number {
    if (fds.length > 0) throw new Error('this stream passes no descriptors');
    const input = this.#program.stdin;
    if (!this.#open || input === null || !input.writable) return 0;
    input.write(bytes);
    return input.writableLength;
  }

  pause(): void {
    this.#program.stdout?.pause();
  }

  resume(): void {
    this.#program.stdout?.resume();
  }

  /** The program ends when it is told that nothing more comes. */
  end(): void {
    this.#open = false;
    this.#program.stdin?.end();
  }

  close(): void {
    this.#open = false;
    this.#program.stdin?.destroy();
    this.#program.kill('SIGTERM');
  }
}
