import type { ByteStream } from '../../ports/stream.js';
import { StartedProgram, type ProcessEnd } from '../kernel/child-process.js';
import { close } from '../kernel/libc.js';
import { connectedPair } from '../kernel/unix-socket.js';

/** What Node is to run. */
export interface NodeScript {
  /** Options of Node, and the path of the script. */
  readonly words: readonly string[];
  /** KEY=value. */
  readonly environment: readonly string[];
  /** Whether this process keeps running until it has ended. */
  readonly isWaitedFor: boolean;
}

const standardError = 2;

/**
 * Starts a process of ours that has one end of a socket, as channelDescriptor, and our standard error. Throws SystemError and Node's
 * errors.
 */
export function startListening(
  { words, environment, isWaitedFor }: NodeScript,
  onEnd: (end: ProcessEnd) => void,
): { readonly process: StartedProgram; readonly stream: ByteStream } {
  const { stream, other } = connectedPair();
  try {
    const descriptors = [undefined, undefined, standardError, other];
    const given = { program: process.execPath, words: [process.execPath, ...words], environment, descriptors, leadsSession: false, isWaitedFor };
    return { process: new StartedProgram(given, onEnd), stream };
  } catch (error) {
    stream.close();
    throw error;
  } finally {
    close(other);
  }
}
