import { StringDecoder } from 'node:string_decoder';
import { closeAll, receiveWaiting, receiveWithDescriptors, sendWaiting } from '../kernel/socket-message.js';
import { errnos, SystemError } from '../kernel/system-error.js';
import { cancelLine, type HelperMessage } from './protocol.js';

/** The helper's end of the socket: it waits for requests, and does nothing else meanwhile. */
export class HelperChannel {
  readonly #fd: number;

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** The next request, whose descriptors are the caller's to release; undefined at the end. Throws SystemError. */
  receive(): HelperMessage | undefined {
    const decoder = new StringDecoder('utf8');
    const all: number[] = [];
    for (let text = ''; ; ) {
      const { length, bytes, fds, truncated } = receiveWaiting(this.#fd);
      if (length === 0) return undefined;
      if (length === -errnos.EINTR) continue;
      if (length < 0) throw new SystemError(-length, 'recvmsg');
      if (truncated) throw new SystemError(errnos.EMFILE, 'recvmsg');
      all.push(...fds);
      text += decoder.write(bytes);
      if (text === `${cancelLine}\n`) text = ''; // it came too late
      if (text.endsWith('\n')) return { text: text.slice(0, -1), fds: all }; // there is one request at a time
    }
  }

  /** Whether the daemon has asked to give up the request that is being carried out, or is gone. */
  isCanceled(): boolean {
    const { length, fds } = receiveWithDescriptors(this.#fd);
    closeAll(fds);
    return length >= 0; // nothing else is sent before the answer
  }

  /** Sends an answer, and closes its descriptors. Throws SystemError. */
  send({ text, fds }: HelperMessage): void {
    try {
      sendWaiting(this.#fd, Buffer.from(`${text}\n`), fds);
    } finally {
      closeAll(fds);
    }
  }

  release(fds: readonly number[]): void {
    closeAll(fds);
  }
}
