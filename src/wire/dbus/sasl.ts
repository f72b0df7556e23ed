import { WireError } from './errors.js';

export type SaslProgress =
  /** Send these bytes (there may be none) and push what comes. */
  | { readonly state: 'continuing'; readonly send: Buffer }
  /** Send these bytes; from here on both sides send messages. */
  | {
      readonly state: 'done';
      readonly send: Buffer;
      readonly fdsNegotiated: boolean;
      /** 32 hexadecimal digits. */
      readonly serverGuid: string;
      /** What came after the handshake: the beginning of the first message. */
      readonly leftover: Buffer;
    }
  /** The server will not let this user in. */
  | { readonly state: 'rejected'; readonly reason: string };

/** Servers answer with short lines; libdbus, too, allows 16 KiB. */
const maximumLine = 16 * 1024;
const carriageReturn = 0x0d;
const lineFeed = 0x0a;
const nothing = Buffer.alloc(0);

/**
 * The client's side of the handshake: proves the user id with EXTERNAL, asks for passing descriptors unless told not to,
 * begins.
 * Send `start()`, then push what comes until it is done or rejected. Source: D-Bus Specification, "Authentication
 * Protocol".
 */
export class SaslClient {
  readonly #uid: number;
  readonly #asksForDescriptors: boolean;
  #expecting: 'authentication' | 'fd-agreement' | 'nothing' = 'authentication';
  #line = '';
  #serverGuid = '';

  constructor(uid: number, options: { readonly passDescriptors?: boolean } = {}) {
    this.#uid = uid;
    this.#asksForDescriptors = options.passDescriptors ?? true;
  }

  /** The NUL that must be the first byte on the socket, and the first command. */
  start(): Buffer {
    const identity = Buffer.from(String(this.#uid)).toString('hex');
    return Buffer.from(`\0AUTH EXTERNAL ${identity}\r\n`);
  }

  /** Throws WireError if the server does not speak the protocol. */
  push(chunk: Uint8Array): SaslProgress {
    let send = nothing;
    for (let index = 0; index < chunk.length; index++) {
      const line = this.#take(chunk[index]!);
      if (line === undefined) continue;
      const progress = this.#answer(line);
      if (progress.state === 'rejected') return progress;
      send = Buffer.concat([send, progress.send]);
      if (progress.state === 'done') return { ...progress, send, leftover: Buffer.from(chunk.subarray(index + 1)) };
    }
    return { state: 'continuing', send };
  }

  /** Adds a byte, and returns the line, without CR LF, if that completes it. */
  #take(byte: number): string | undefined {
    if (byte === lineFeed && this.#line.endsWith('\r')) {
      const line = this.#line.slice(0, -1);
      this.#line = '';
      return line;
    }
    const allowed = (byte >= 0x20 && byte < 0x7f) || byte === carriageReturn;
    if (!allowed || this.#line.endsWith('\r')) throw new WireError('The server sent something else than lines of text');
    if (this.#line.length === maximumLine) throw new WireError('The server sent an endless line');
    this.#line += String.fromCharCode(byte);
    return undefined;
  }

  #answer(line: string): SaslProgress {
    switch (this.#expecting) {
      case 'authentication':
        return this.#authenticated(line);
      case 'fd-agreement':
        return this.#agreed(line);
      case 'nothing':
        throw new WireError('The handshake is over');
    }
  }

  #authenticated(line: string): SaslProgress {
    const [command, argument = ''] = line.split(' ');
    if (command === 'REJECTED') return this.#rejected(`the server does not accept user ${this.#uid}`);
    if (command === 'ERROR') return this.#rejected(`the server answered ${JSON.stringify(line)}`);
    // An empty challenge of a server that passed over the identity sent with AUTH: the socket's credentials say it all.
    if (command === 'DATA' && argument === '') return { state: 'continuing', send: Buffer.from('DATA\r\n') };
    if (command !== 'OK' || !/^[0-9A-Fa-f]{32}$/.test(argument)) {
      throw new WireError(`The server answered ${JSON.stringify(line)} to authentication`);
    }
    this.#serverGuid = argument;
    if (!this.#asksForDescriptors) return this.#begin(false);
    this.#expecting = 'fd-agreement';
    return { state: 'continuing', send: Buffer.from('NEGOTIATE_UNIX_FD\r\n') };
  }

  #agreed(line: string): SaslProgress {
    const fdsNegotiated = line === 'AGREE_UNIX_FD';
    if (!fdsNegotiated && line.split(' ')[0] !== 'ERROR') {
      throw new WireError(`The server answered ${JSON.stringify(line)} to passing file descriptors`);
    }
    return this.#begin(fdsNegotiated);
  }

  #begin(fdsNegotiated: boolean): SaslProgress {
    this.#expecting = 'nothing';
    const send = Buffer.from('BEGIN\r\n');
    return { state: 'done', send, fdsNegotiated, serverGuid: this.#serverGuid, leftover: nothing };
  }

  #rejected(reason: string): SaslProgress {
    this.#expecting = 'nothing';
    return { state: 'rejected', reason };
  }
}
